from pathlib import Path

import pytest

from tests.acceptance.conformance.__main__ import split, suite_file
from tests.acceptance.conformance.results import read_results, summary

LIST = """\
# `all` tests
## List of passed tests
- [one](http://suite/1)[tool](t), [job](j)
- [two](http://suite/2)[tool](t)
## List of failed tests
- [bad](http://suite/3)[tool](t)
## List of unsupported tests
- [odd](http://suite/4)[tool](t)
"""


def test_the_lists_of_cwltest_are_read_by_their_headings() -> None:
    results = read_results(LIST)
    assert (results.passed, results.failed, results.unsupported) == (["one", "two"], ["bad"], ["odd"])


def test_the_summary_tells_figures_and_the_names_of_what_did_not_pass(tmp_path: Path) -> None:
    (tmp_path / "all.md").write_text(LIST)
    (tmp_path / "required.md").write_text(LIST.replace("- [bad](http://suite/3)[tool](t)\n", ""))
    assert summary(tmp_path) == (
        "passed 2 of 4 tests, failed 1\npassed 2 of 3 required tests\nNOT SUPPORTED odd\nFAILED bad",
        False,
    )


def test_a_suite_of_which_nothing_ran_did_not_pass(tmp_path: Path) -> None:
    (tmp_path / "all.md").write_text("# `all` tests\n")
    assert summary(tmp_path) == ("passed 0 of 0 tests, failed 0", False)


@pytest.mark.parametrize("name", ["conformance_tests.yaml", "v1.0/conformance_test_v1.0.yaml"])
def test_a_checkout_of_any_version_is_known_by_its_file_of_tests(tmp_path: Path, name: str) -> None:
    assert suite_file(tmp_path) is None
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert suite_file(tmp_path) == suite_file(path) == path


def test_what_follows_two_dashes_is_for_cwltest() -> None:
    assert split(["suite", "-j4", "--", "-n", "1"]) == (["suite", "-j4"], ["-n", "1"])
    assert split(["suite"]) == (["suite"], [])
