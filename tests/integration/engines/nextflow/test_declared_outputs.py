"""What a Nextflow task leaves in its folder where a store takes all of it: its own script, in a real bash."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from engines.nextflow.plugin.build import JAR

PRINTER = """package wes.nextflow;
import java.util.Arrays;
import java.util.List;
public final class Printer {
    public static void main(String[] cases) {
        for (String names : cases) {
            System.out.print(Links.script(names.isEmpty() ? List.of() : Arrays.asList(names.split("\\n"))) + "\\0");
        }
    }
}
"""
CASES: Mapping[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "names": (["a.txt", "./b.txt"], ["a.txt", "b.txt"], ["a_txt", "aa.txt", "d/a.txt"]),
    "a folder": (["out/"], ["out/a", "out/d/b", "out/.hidden"], ["out2/a", "x/out/a"]),
    "stars": (["*.bam", "d/*.txt"], ["x.bam", ".y.bam", "d/a.txt"], ["d/x.bam", "d/e/a.txt"]),
    "two stars": (["**.txt", "q/**/z"], ["a.txt", "d/e/b.txt", "q/z", "q/1/2/z"], ["a.bam", "q/1/y"]),
    "groups": (["{a,b*}.{txt,csv}"], ["a.txt", "bc.csv"], ["c.txt", "a.bam"]),
    "characters": (["x?.[ab]", "m[!0-9]"], ["x1.a", "xé.b", "mé", "mx"], ["x.a", "m"]),
    "signs": (["a+(b).x", "it's $HOME", "l[0].y", "n{"], ["a+(b).x", "it's $HOME", "l[0].y", "n{"], ["aab.x"]),
    "escaped": ([r"\*.txt"], ["*.txt"], ["b.txt"]),
    "none": ([], [], ["a", ".b", "d/c"]),
    "lines": (["out"], ["out/a\nb"], ["x\nout"]),
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Of each case, as the plugin writes it."""
    folder = tmp_path_factory.mktemp("java")
    source = folder / "Printer.java"
    source.write_text(PRINTER)
    subprocess.run(["javac", "-cp", str(JAR), "-d", str(folder), str(source)], check=True)
    names = ["\n".join(outputs) for outputs, _, _ in CASES.values()]
    argv = ["java", "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "-cp", f"{JAR}:{folder}"]
    done = subprocess.run([*argv, "wes.nextflow.Printer", *names], check=True, capture_output=True)
    return dict(zip(CASES, done.stdout.decode().split("\0"), strict=False))


def left(script: str, folder: Path, run: str, files: str = "store") -> set[str]:
    """The files, and links, that are there when the task has ended."""
    (folder / ".command.tes").write_text(script)
    (folder / ".command.run").write_text(run)
    done = subprocess.run(
        ["bash", ".command.tes"], cwd=folder, env={"PATH": "/usr/bin:/bin", "WES_FILES": files}, check=False
    )
    assert done.returncode == (3 if "exit 3" in run else 0)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    return found - {".command.tes", ".command.run"}


def made(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


@pytest.mark.parametrize("case", CASES)
def test_only_what_is_declared_is_left(scripts: Mapping[str, str], tmp_path: Path, case: str) -> None:
    _, kept, removed = CASES[case]
    own = [".command.out", ".exitcode", ".command.env"]
    made(tmp_path, [*kept, *removed, *own])
    assert left(scripts[case], tmp_path, "true") == {*kept, *own}


def test_all_is_left_after_a_failure_and_where_no_store_takes_it(scripts: Mapping[str, str], tmp_path: Path) -> None:
    made(tmp_path, ["a.txt", "scratch"])
    assert left(scripts["names"], tmp_path, "exit 3") == {"a.txt", "scratch"}
    assert left(scripts["names"], tmp_path, "true", files="") == {"a.txt", "scratch"}


def test_what_a_declared_link_leads_to_is_left(scripts: Mapping[str, str], tmp_path: Path) -> None:
    assert left(scripts["names"], tmp_path, "echo x > scratch; ln -s scratch a.txt") == {"a.txt", "scratch"}


def test_a_name_can_not_become_a_command(scripts: Mapping[str, str], tmp_path: Path) -> None:
    assert json.dumps(scripts["signs"]).count("$HOME") == 2
    made(tmp_path, ["-rf", "$(touch bad)", "it's $HOME"])
    assert left(scripts["signs"], tmp_path, "true") == {"it's $HOME"}
