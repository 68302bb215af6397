cwlVersion: v1.2
class: Workflow
label: Read report
doc: Counts, base composition and quality of sequencing reads, per sample, merged into one report.
requirements:
  ScatterFeatureRequirement: {}
inputs:
  samples:
    type: string[]
    doc: A name for each file of reads, in the same order.
  reads:
    type: File[]
    doc: FASTQ, compressed with gzip.
steps:
  count_reads:
    run: tools/count-reads.cwl
    scatter: [sample, reads]
    scatterMethod: dotproduct
    in: {sample: samples, reads: reads}
    out: [numbers]
  base_composition:
    run: tools/base-composition.cwl
    scatter: [sample, reads]
    scatterMethod: dotproduct
    in: {sample: samples, reads: reads}
    out: [numbers]
  quality_by_position:
    run: tools/quality-by-position.cwl
    scatter: [sample, reads]
    scatterMethod: dotproduct
    in: {sample: samples, reads: reads}
    out: [numbers]
  merge_report:
    run: tools/merge-report.cwl
    in:
      counts: count_reads/numbers
      bases: base_composition/numbers
      qualities: quality_by_position/numbers
    out: [report, table, plot]
outputs:
  report:
    type: File
    outputSource: merge_report/report
  table:
    type: File
    outputSource: merge_report/table
  plot:
    type: File
    outputSource: merge_report/plot
