#!/usr/bin/env python3
"""Simulates the three samples in reads/ from the phiX174 genome; the same seed always gives the same reads.

usage: python3 simulate_reads.py [FOLDER]      (default: reads/ beside this script)

Every base that is read wrong is wrong with the probability that its quality states, so a report on the qualities is a
report on the errors too.
"""

import gzip
import random
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 1422
READS = 400
PHRED_OFFSET = 33
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How a sample's reads look: lengths in bases, qualities on the Phred scale.

    Qualities begin around `first` and fall to around `last` at the longest read's end, more steeply towards it.
    """

    name: str
    shortest: int
    longest: int
    first: float
    last: float
    unread: float = 0.0


SAMPLES = (
    Sample(name="fresh", shortest=100, longest=100, first=38, last=33),
    Sample(name="aged", shortest=100, longest=100, first=36, last=12, unread=0.002),
    Sample(name="degraded", shortest=35, longest=80, first=34, last=20),
)


def read_genome(path: Path) -> str:
    """The one sequence of a FASTA file."""
    return "".join(line.strip() for line in path.read_text().splitlines() if not line.startswith(">"))


def simulate(sample: Sample, genome: str, seed: int) -> str:
    """The sample's reads as FASTQ text."""
    # Only random() is drawn from: its sequence is what Python promises to keep for a seed.
    draw = random.Random(f"{seed}-{sample.name}").random
    circle = genome + genome[: sample.longest]
    records = []
    for number in range(1, READS + 1):
        start = int(draw() * len(genome))
        length = sample.shortest + int(draw() * (sample.longest - sample.shortest + 1))
        fragment = circle[start : start + length]
        forward = draw() < 0.5
        bases = fragment if forward else fragment.translate(COMPLEMENT)[::-1]
        read, qualities = sequence(sample, bases, draw)
        strand = "+" if forward else "-"
        records.append(f"@{sample.name}.{number} phiX174:{start + 1}{strand}\n{read}\n+\n{qualities}\n")
    return "".join(records)


def sequence(sample: Sample, bases: str, draw) -> tuple[str, str]:
    """The bases as the machine reads them, and their qualities."""
    read, qualities = [], []
    for position, true_base in enumerate(bases):
        base = true_base
        worn = (position / max(1, sample.longest - 1)) ** 2
        quality = round(sample.first + (sample.last - sample.first) * worn + 6 * (draw() - 0.5))
        quality = max(2, min(40, quality))
        if draw() < sample.unread:
            base, quality = "N", 2
        elif draw() < 10 ** (-quality / 10):
            base = "ACGT".replace(base, "")[int(draw() * 3)]
        read.append(base)
        qualities.append(chr(PHRED_OFFSET + quality))
    return "".join(read), "".join(qualities)


def main(folder: Path) -> None:
    genome = read_genome(HERE / "genome" / "phiX174.fasta")
    folder.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        text = simulate(sample, genome, SEED)
        path = folder / f"{sample.name}.fastq.gz"
        # No name and no time in the header, so that only the zlib version can change the compressed bytes.
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
            file.write(text.encode())
        print(f"{path}: {READS} reads")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reads")
