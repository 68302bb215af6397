"""The commands in fenced blocks of README and docs are taken by the real command line: command and options exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from wes_cli.main import load

REPOSITORY = Path(__file__).parents[3]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^wes (?P<words>.+)$", re.MULTILINE)
REST = re.compile(r"\s#.*|\s[|>&].*|\s{2,}.*")
"""What follows a command in its line: a comment, another program, or words that explain it in a column of their own."""


def documented() -> list[str]:
    blocks = [block for page in PAGES for block in FENCED.findall(page.read_text())]
    return [REST.sub("", found["words"]) for block in blocks for found in COMMAND.finditer(block)]


def parse(line: str) -> None:
    """As the shell and the command line take it apart, but nothing is done."""
    name, *words = shlex.split(line)
    command: Any = load(name)
    # `wes tes` is a command by itself, too, with options of its own.
    if words and not words[0].startswith("-") and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(name, words)


@pytest.mark.parametrize("line", sorted(set(documented())))
def test_a_documented_command_is_one_that_there_is(line: str) -> None:
    parse(line)


def test_a_command_or_an_option_that_there_is_not_would_be_found() -> None:
    assert len(documented()) > 10
    for line in ("bakcup FILE", "database bakcup FILE", "ls --sicne 2d", "tes --sicne 2d"):
        with pytest.raises(Exception, match=r"(bakcup|sicne)"):
            parse(line)
