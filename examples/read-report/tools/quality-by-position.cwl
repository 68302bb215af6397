cwlVersion: v1.2
class: CommandLineTool
label: Summarise the qualities of one sample
doc: Base quality by position in the read.
hints:
  DockerRequirement:
    dockerPull: docker.io/library/python:3-slim
  ResourceRequirement:
    coresMin: 1
    ramMin: 128
baseCommand: python3
inputs:
  script:
    type: File
    default:
      class: File
      location: ../scripts/quality_by_position.py
    inputBinding: {position: 1}
  sample:
    type: string
    inputBinding: {position: 2}
  reads:
    type: File
    inputBinding: {position: 3}
stdout: $(inputs.sample).qualities.tsv
outputs:
  numbers:
    type: stdout
