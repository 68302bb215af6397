cwlVersion: v1.2
class: CommandLineTool
label: Merge the samples into one report
doc: A table of all samples, a plot of their qualities, and a page that shows both.
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
      location: ../scripts/merge_report.py
    inputBinding: {position: 1}
  counts:
    type: File[]
    inputBinding: {position: 2, prefix: --counts}
  bases:
    type: File[]
    inputBinding: {position: 3, prefix: --bases}
  qualities:
    type: File[]
    inputBinding: {position: 4, prefix: --qualities}
outputs:
  report:
    type: File
    outputBinding: {glob: report.html}
  table:
    type: File
    outputBinding: {glob: table.tsv}
  plot:
    type: File
    outputBinding: {glob: quality.svg}
