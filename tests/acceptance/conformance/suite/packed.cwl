cwlVersion: v1.2
$graph:
  - id: folders
    class: CommandLineTool
    baseCommand: [sh, -c, 'mkdir -p full/deeper empty; echo a > full/a.txt; echo b > full/deeper/b.txt']
    inputs: []
    outputs:
      full: {type: Directory, outputBinding: {glob: full, loadListing: deep_listing}}
      empty: {type: Directory, outputBinding: {glob: empty, loadListing: deep_listing}}
    requirements: {LoadListingRequirement: {loadListing: deep_listing}}
  - id: number
    class: CommandLineTool
    baseCommand: echo
    stdout: number.txt
    inputs:
      value: {type: int, inputBinding: {}}
    outputs:
      file: stdout
  - id: twice
    class: Workflow
    requirements: {ScatterFeatureRequirement: {}}
    inputs:
      values: {type: 'int[]', default: [1, 2]}
    steps:
      number: {run: '#number', scatter: value, in: {value: values}, out: [file]}
    outputs:
      both: {type: 'File[]', outputSource: number/file}
