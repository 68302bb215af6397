cwlVersion: v1.2
class: CommandLineTool
label: Count the bases of one sample
doc: How often each base was read, and the share of G and C.
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
      location: ../scripts/base_composition.py
    inputBinding: {position: 1}
  sample:
    type: string
    inputBinding: {position: 2}
  reads:
    type: File
    inputBinding: {position: 3}
stdout: $(inputs.sample).bases.tsv
outputs:
  numbers:
    type: stdout
