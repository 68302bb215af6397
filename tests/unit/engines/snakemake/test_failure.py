"""Snakemake's errors as one sentence."""

from typing import Any

import pytest

from engines.snakemake.executor.failure import condensed, explained

LINES = {"/r/Snakefile": {10: 4, 11: 5}}


class SnakemakeError(Exception):
    """Stands for Snakemake's own: where it is from counts."""

    __module__ = "snakemake.exceptions"

    def __init__(self, message: str, **places: Any) -> None:
        super().__init__(message)
        self.__dict__.update(places)


def test_a_syntax_error_has_its_place() -> None:
    error = SyntaxError("invalid syntax", ("/r/Snakefile", 3, 1, "rule a"))
    assert explained(error, {}) == "/r/Snakefile:3: syntax error: invalid syntax"


def test_lines_are_those_of_the_snakefile() -> None:
    error = SnakemakeError("Missing input files", snakefile="/r/Snakefile", lineno=10)
    assert explained(error, LINES) == "/r/Snakefile:4: Missing input files"
    assert explained(KeyError("sample"), LINES, lambda *_: (11, "/r/Snakefile")) == "/r/Snakefile:5: KeyError: 'sample'"


def test_included_errors_come_first_and_none_is_said_twice() -> None:
    inner = SnakemakeError("no such file", rule="b")
    outer = SnakemakeError("can't make it", _include=[inner, SnakemakeError("no such file", rule="b")])
    assert explained(outer, {}) == "in rule b: no such file; can't make it"


def test_an_error_without_words_has_its_kind() -> None:
    assert explained(ValueError(), {}) == "ValueError"
    assert explained(SnakemakeError(""), {}) == "SnakemakeError"


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("The package snakemake-storage-plugin-s3 is not installed", "storage() is not supported"),
        ("Could not resolve host: github.com", "this server gives engines no network"),
        (
            "unable to access 'https://github.com/': CONNECT tunnel failed, response 403",
            "lets engines reach other addresses",
        ),
        ("No module named 'scipy'", "the engine has Snakemake's own packages and pandas only"),
    ],
)
def test_some_errors_come_with_advice(message: str, advice: str) -> None:
    assert advice in explained(SnakemakeError(message), {})


def test_of_a_wrapper_that_can_not_be_had_git_is_heard_once() -> None:
    tried = "GitCommandError: Cmd('git') failed due to: exit code(128)\n  stderr: 'Cloning into 'x'...\n"
    fatal = "fatal: unable to access 'https://github.com/snakemake/wrappers/': CONNECT tunnel failed, response 502"
    text = "Unable to locate wrapper script in https://github.com/x. Encountered errors:\n" + "".join(
        f"wrapper.{kind}: {tried}{fatal}\n'\n" for kind in ("py", "R")
    )
    assert explained(SnakemakeError(text), {}) == (
        f"Unable to locate wrapper script in https://github.com/x. {fatal.removeprefix('fatal: ')} "
        "(it could not be reached from this server)"
    )


def test_several_lines_become_one() -> None:
    assert condensed("Missing input files for rule a:\n    output: x\n    gone.txt\n\n") == (
        "Missing input files for rule a: output: x, gone.txt"
    )
