"""Files whose bytes are in a store until this process opens them.

An audit hook stays for ever, so each test has a process of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from engines.kit.outputs_on_demand import is_withheld

PROGRAM = """
import os, pathlib, shutil, sys
from engines.kit.outputs_on_demand import fetch_when_opened
from engines.kit.tes_client import TesRefused
asked = []
def fetch(path):
    asked.append(path)
    if path.endswith("gone"):
        raise TesRefused(410, "the store does not have it any more")
    os.unlink(path)
    pathlib.Path(path).write_text("bytes")
fetch_when_opened(fetch)
os.chdir(sys.argv[1])
"""


def said(folder: Path, program: str) -> str:
    argv = [sys.executable, "-c", PROGRAM + program, str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "gone"):
        path = tmp_path / name
        path.touch(0)
        path.chmod(0)
        # Only its size: a file that root, too, would read zeros from.
        path.chmod(0o600)
        with path.open("wb") as file:
            file.truncate(5)
        path.chmod(0)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "plain").write_text("plain")
    return tmp_path


@pytest.mark.parametrize(
    "read",
    [
        "open('a').read()",
        "open(b'a').read()",
        "pathlib.Path('a').read_text()",
        "os.read(os.open('a', os.O_RDONLY), 9).decode()",
        "open('link').read()",
        "open(shutil.copy('a', 'copy')).read()",
    ],
)
def test_whoever_opens_it_gets_its_bytes(folder: Path, read: str) -> None:
    assert said(folder, f"print({read}, len(asked))") == "bytes 1\n"


def test_other_files_and_what_needs_no_bytes_ask_for_nothing(folder: Path) -> None:
    program = "open('plain').read(); os.listdir(); os.path.getsize('a'); os.rename('a', 'b'); print(asked)"
    assert said(folder, program) == "[]\n"
    assert is_withheld(folder / "b")
    assert not is_withheld(folder / "plain")
    assert not is_withheld(folder / "nothing")


def test_what_can_not_be_fetched_is_an_error_that_says_so(folder: Path) -> None:
    program = "try: open('gone')\nexcept OSError as error: print(error)"
    told = said(folder, program)
    assert "its contents can't be fetched" in told
    assert "the store does not have it any more" in told
    assert str(folder / "gone") in told
