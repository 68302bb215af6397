// Counts, base composition and quality of sequencing reads, per sample, merged into one report.

params.samples = []
params.reads = []

process count_reads {
  tag "$sample"
  container 'docker.io/library/python:3-slim'
  cpus 1
  memory '128 MB'

  input:
  tuple val(sample), path(reads)
  path script

  output:
  path "${sample}.counts.tsv"

  script:
  "sh $script $sample $reads > ${sample}.counts.tsv"
}

process base_composition {
  tag "$sample"
  container 'docker.io/library/python:3-slim'
  cpus 1
  memory '128 MB'

  input:
  tuple val(sample), path(reads)
  path script

  output:
  path "${sample}.bases.tsv"

  script:
  "python3 $script $sample $reads > ${sample}.bases.tsv"
}

process quality_by_position {
  tag "$sample"
  container 'docker.io/library/python:3-slim'
  cpus 1
  memory '128 MB'

  input:
  tuple val(sample), path(reads)
  path script

  output:
  path "${sample}.qualities.tsv"

  script:
  "python3 $script $sample $reads > ${sample}.qualities.tsv"
}

process merge_report {
  container 'docker.io/library/python:3-slim'
  cpus 1
  memory '128 MB'
  publishDir 'results', mode: 'copy'

  input:
  path counts
  path bases
  path qualities
  path script

  output:
  tuple path('report.html'), path('table.tsv'), path('quality.svg')

  script:
  "python3 $script --counts $counts --bases $bases --qualities $qualities"
}

workflow {
  reads = [params.samples, params.reads].transpose().collect { sample, path -> tuple(sample, file(path)) }
  samples = channel.fromList(reads)

  counts = count_reads(samples, file("$projectDir/scripts/count-reads.sh"))
  bases = base_composition(samples, file("$projectDir/scripts/base_composition.py"))
  qualities = quality_by_position(samples, file("$projectDir/scripts/quality_by_position.py"))

  // In the order of the samples, whichever was ready first.
  def order = { file -> params.samples.indexOf(file.name.tokenize('.')[0]) }
  merge_report(
    counts.toSortedList { a, b -> order(a) <=> order(b) },
    bases.toSortedList { a, b -> order(a) <=> order(b) },
    qualities.toSortedList { a, b -> order(a) <=> order(b) },
    file("$projectDir/scripts/merge_report.py"),
  )
}
