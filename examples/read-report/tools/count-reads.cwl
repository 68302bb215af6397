cwlVersion: v1.2
class: CommandLineTool
label: Count the reads of one sample
doc: Number of reads, number of bases, and the reads' lengths.
hints:
  DockerRequirement:
    dockerPull: docker.io/library/python:3-slim
  ResourceRequirement:
    coresMin: 1
    ramMin: 128
baseCommand: sh
inputs:
  script:
    type: File
    default:
      class: File
      location: ../scripts/count-reads.sh
    inputBinding: {position: 1}
  sample:
    type: string
    inputBinding: {position: 2}
  reads:
    type: File
    inputBinding: {position: 3}
stdout: $(inputs.sample).counts.tsv
outputs:
  numbers:
    type: stdout
