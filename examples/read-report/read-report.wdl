version 1.1

import "tools/read-tools.wdl" as tools

workflow read_report {
  meta {
    description: "Counts, base composition and quality of sequencing reads, per sample, merged into one report."
  }
  parameter_meta {
    samples: "A name for each file of reads, in the same order."
    reads: "FASTQ, compressed with gzip."
  }
  input {
    Array[String] samples
    Array[File] reads
    File count_script
    File composition_script
    File quality_script
    File merge_script
  }

  scatter (sample in zip(samples, reads)) {
    call tools.count_reads {
      input: script = count_script, sample = sample.left, reads = sample.right
    }
    call tools.base_composition {
      input: script = composition_script, sample = sample.left, reads = sample.right
    }
    call tools.quality_by_position {
      input: script = quality_script, sample = sample.left, reads = sample.right
    }
  }
  call tools.merge_report {
    input:
      script = merge_script,
      counts = count_reads.numbers,
      bases = base_composition.numbers,
      qualities = quality_by_position.numbers
  }

  output {
    File report = merge_report.report
    File table = merge_report.table
    File plot = merge_report.plot
  }
}
