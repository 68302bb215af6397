#!/bin/sh
# usage: count-reads.sh SAMPLE READS.fastq.gz
# Writes one line of numbers on the sample, lengths in bases. A file that is no whole gzip file is an error.
set -eu
export LC_ALL=C
sample=$1 reads=$2

gzip -t "$reads"
gzip -dc "$reads" | awk -v sample="$sample" '
  BEGIN { OFS = "\t"; print "sample", "reads", "bases", "shortest", "longest", "mean_length" }
  NR % 4 == 2 {
    n = length($0)
    if (reads == 0 || n < shortest) shortest = n
    if (n > longest) longest = n
    reads += 1
    bases += n
  }
  END {
    if (NR % 4 != 0) { print "the last record of " sample " is not whole" > "/dev/stderr"; exit 1 }
    print sample, reads + 0, bases + 0, shortest + 0, longest + 0, sprintf("%.1f", reads ? bases / reads : 0)
  }'
