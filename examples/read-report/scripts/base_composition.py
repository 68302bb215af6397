"""usage: base_composition.py SAMPLE READS.fastq.gz

Writes how often each base was read, and the share of G and C among the bases that were read at all, in percent.
"""

import gzip
import sys
from collections import Counter
from itertools import islice

BASES = "ACGTN"


def main(sample: str, reads: str) -> None:
    counts: Counter[str] = Counter()
    with gzip.open(reads, "rt", encoding="ascii") as file:
        for line in islice(file, 1, None, 4):
            counts.update(line.strip().upper())
    read = sum(counts[base] for base in "ACGT")
    gc = 100 * (counts["G"] + counts["C"]) / read if read else 0.0
    print("sample", *BASES, "gc_percent", sep="\t")
    print(sample, *(counts[base] for base in BASES), f"{gc:.2f}", sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:3])
