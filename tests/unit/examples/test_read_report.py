"""The example's data and scripts, without any engine."""

import gzip
import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from wes_cli.bundle import BundleRequest, build_bundle
from wes_service.languages.documents import read_document

EXAMPLE = Path(__file__).parents[3] / "examples" / "read-report"
SAMPLES = ("fresh", "aged", "degraded")
# The MD5 sum that sequence archives know NC_001422.1 by (of the bases alone, in capitals).
PHIX174 = "3332ed720ac7eaa9b3655c06f6b9e196"
OUTPUTS = {
    "table.tsv": "5da0ae11cefe1f2cde481cf355560e925f17c20f05d558252aada4fa1a1bb31d",
    "quality.svg": "6c928a2b9b746d411b9a43e3a40fe1f2283f3dfbdaa5aabf9ee8f43e2f9b0542",
    "report.html": "4d364e76e03e1c8c489593995b7946cfd29af49d551f032f5a49a7b5910f5929",
}


def run(folder: Path, *argv: object) -> str:
    done = subprocess.run([str(each) for each in argv], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def table(text: str) -> dict[str, str]:
    names, values = (line.split("\t") for line in text.splitlines())
    return dict(zip(names, values, strict=True))


def make_report(folder: Path, samples: tuple[str, ...]) -> None:
    scripts = EXAMPLE / "scripts"
    files: dict[str, list[Path]] = {"counts": [], "bases": [], "qualities": []}
    for sample in samples:
        reads = EXAMPLE / "reads" / f"{sample}.fastq.gz"
        commands: dict[str, list[object]] = {
            "counts": ["sh", scripts / "count-reads.sh"],
            "bases": [sys.executable, scripts / "base_composition.py"],
            "qualities": [sys.executable, scripts / "quality_by_position.py"],
        }
        for kind, command in commands.items():
            path = folder / f"{sample}.{kind}.tsv"
            path.write_text(run(folder, *command, sample, reads))
            files[kind].append(path)
    options = [word for kind, paths in files.items() for word in (f"--{kind}", *paths)]
    run(folder, sys.executable, scripts / "merge_report.py", *options)


def test_the_genome_is_phix174() -> None:
    header, *lines = (EXAMPLE / "genome/phiX174.fasta").read_text().splitlines()
    sequence = "".join(lines)
    assert header.startswith(">NC_001422.1 ")
    assert len(sequence) == 5386
    assert hashlib.md5(sequence.encode(), usedforsecurity=False).hexdigest() == PHIX174


def test_the_simulation_writes_the_reads_that_are_here(tmp_path: Path) -> None:
    run(tmp_path, sys.executable, EXAMPLE / "simulate_reads.py", tmp_path / "reads")
    for sample in SAMPLES:
        # The content, not the compressed bytes: these depend on the version of zlib.
        made, kept = (
            gzip.decompress((at / f"{sample}.fastq.gz").read_bytes()) for at in (tmp_path / "reads", EXAMPLE / "reads")
        )
        assert made == kept
        assert kept.count(b"\n") == 4 * 400


def test_the_reports_bytes_depend_on_the_reads_alone(tmp_path: Path) -> None:
    make_report(tmp_path, SAMPLES[::-1])
    assert {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in OUTPUTS} == OUTPUTS


def test_the_plot_is_well_formed_and_has_a_line_per_sample(tmp_path: Path) -> None:
    make_report(tmp_path, SAMPLES)
    plot = ET.parse(tmp_path / "quality.svg")  # noqa: S314 - written by our own script
    lines = plot.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 3


def test_the_numbers_are_those_of_the_reads(tmp_path: Path) -> None:
    reads = tmp_path / "x.fastq.gz"
    reads.write_bytes(gzip.compress(b"@1\nACGTN\n+\nIIIII\n@2\nGG\n+\n+5\n"))
    scripts = EXAMPLE / "scripts"
    counts = table(run(tmp_path, "sh", scripts / "count-reads.sh", "x", reads))
    assert counts == {"sample": "x", "reads": "2", "bases": "7", "shortest": "2", "longest": "5", "mean_length": "3.5"}
    bases = table(run(tmp_path, sys.executable, scripts / "base_composition.py", "x", reads))
    assert bases == {"sample": "x", "A": "1", "C": "1", "G": "3", "T": "1", "N": "1", "gc_percent": "66.67"}
    rows = run(tmp_path, sys.executable, scripts / "quality_by_position.py", "x", reads).splitlines()
    assert rows[1:4] == ["x\t1\t2\t25.00\t10\t40", "x\t2\t2\t30.00\t20\t40", "x\t3\t1\t40.00\t40\t40"]


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"@1\nAC\n+\nII\n")[:-9], gzip.compress(b"@1\nAC\n+\n")],
    ids=["no gzip", "cut short", "no quality"],
)
def test_broken_reads_are_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path, "sh", EXAMPLE / "scripts/count-reads.sh", "x", tmp_path / "x.gz")


def test_the_client_finds_all_that_the_workflow_needs() -> None:
    bundle = build_bundle(BundleRequest(workflow=str(EXAMPLE / "read-report.cwl"), params=EXAMPLE / "params.yml"))
    needed = [
        *EXAMPLE.glob("tools/*.cwl"),
        *EXAMPLE.glob("scripts/*"),
        *EXAMPLE.glob("reads/*"),
        EXAMPLE / "read-report.cwl",
    ]
    assert set(bundle.attachments) == {str(path.relative_to(EXAMPLE)) for path in needed if path.is_file()}
    assert bundle.warnings == ()


def test_every_tool_names_an_image() -> None:
    for path in EXAMPLE.glob("tools/*.cwl"):
        document = read_document(path)
        assert isinstance(document, Mapping)
        assert "python:3-slim" in str(document["hints"])


def test_the_client_finds_all_that_the_snakefile_needs() -> None:
    bundle = build_bundle(BundleRequest(workflow=str(EXAMPLE / "Snakefile"), params=EXAMPLE / "snakemake.yml"))
    needed = [*EXAMPLE.glob("scripts/*"), *EXAMPLE.glob("reads/*"), EXAMPLE / "Snakefile"]
    assert set(bundle.attachments) == {str(path.relative_to(EXAMPLE)) for path in needed if path.is_file()}
    assert bundle.warnings == ()
    assert bundle.language == "SMK"
