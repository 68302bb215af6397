version 1.1

task count_reads {
  meta {
    description: "Number of reads, number of bases, and the reads' lengths, of one sample."
  }
  input {
    File script
    String sample
    File reads
  }
  command <<<
    sh "~{script}" "~{sample}" "~{reads}" > "~{sample}.counts.tsv"
  >>>
  output {
    File numbers = "~{sample}.counts.tsv"
  }
  runtime {
    container: "docker.io/library/python:3-slim"
    cpu: 1
    memory: "128 MiB"
  }
}

task base_composition {
  meta {
    description: "How often each base was read in one sample, and the share of G and C."
  }
  input {
    File script
    String sample
    File reads
  }
  command <<<
    python3 "~{script}" "~{sample}" "~{reads}" > "~{sample}.bases.tsv"
  >>>
  output {
    File numbers = "~{sample}.bases.tsv"
  }
  runtime {
    container: "docker.io/library/python:3-slim"
    cpu: 1
    memory: "128 MiB"
  }
}

task quality_by_position {
  meta {
    description: "Base quality by position in the read, of one sample."
  }
  input {
    File script
    String sample
    File reads
  }
  command <<<
    python3 "~{script}" "~{sample}" "~{reads}" > "~{sample}.qualities.tsv"
  >>>
  output {
    File numbers = "~{sample}.qualities.tsv"
  }
  runtime {
    container: "docker.io/library/python:3-slim"
    cpu: 1
    memory: "128 MiB"
  }
}

task merge_report {
  meta {
    description: "A table of all samples, a plot of their qualities, and a page that shows both."
  }
  input {
    File script
    Array[File]+ counts
    Array[File]+ bases
    Array[File]+ qualities
  }
  command <<<
    python3 "~{script}" \
      --counts ~{sep(" ", quote(counts))} \
      --bases ~{sep(" ", quote(bases))} \
      --qualities ~{sep(" ", quote(qualities))}
  >>>
  output {
    File report = "report.html"
    File table = "table.tsv"
    File plot = "quality.svg"
  }
  runtime {
    container: "docker.io/library/python:3-slim"
    cpu: 1
    memory: "128 MiB"
  }
}
