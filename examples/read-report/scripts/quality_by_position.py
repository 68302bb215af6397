"""usage: quality_by_position.py SAMPLE READS.fastq.gz

Writes, for each position in the reads (from 1 on), how many reads reach it, their mean quality, and the qualities that
10 % and 90 % of them do not exceed; all on the Phred scale.
"""

import gzip
import sys
from collections import Counter
from itertools import islice

PHRED_OFFSET = 33


def quantile(counts: Counter[int], share: float) -> int:
    """The smallest quality that at least `share` of the reads do not exceed."""
    wanted, seen = share * sum(counts.values()), 0
    for quality in sorted(counts):
        seen += counts[quality]
        if seen >= wanted:
            return quality
    raise ValueError("no reads")


def main(sample: str, reads: str) -> None:
    positions: list[Counter[int]] = []
    with gzip.open(reads, "rt", encoding="ascii") as file:
        for line in islice(file, 3, None, 4):
            qualities = [ord(character) - PHRED_OFFSET for character in line.rstrip("\n")]
            positions += [Counter() for _ in range(len(qualities) - len(positions))]
            for position, quality in enumerate(qualities):
                positions[position][quality] += 1
    print("sample", "position", "reads", "mean", "low", "high", sep="\t")
    for position, counts in enumerate(positions, start=1):
        total = sum(counts.values())
        mean = sum(quality * count for quality, count in counts.items()) / total
        print(sample, position, total, f"{mean:.2f}", quantile(counts, 0.1), quantile(counts, 0.9), sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:3])
