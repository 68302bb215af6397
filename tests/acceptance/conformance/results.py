"""What cwltest's report says: which tests passed, which failed, which asked for what is not supported."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECTION = re.compile(r"## List of (passed|failed|unsupported) tests")
TEST = re.compile(r"- \[(.+?)\]\(")


@dataclass(frozen=True, kw_only=True)
class Results:
    """Names of tests."""

    passed: Sequence[str]
    failed: Sequence[str]
    unsupported: Sequence[str]

    @property
    def total(self) -> int:
        return len(self.passed) + len(self.failed) + len(self.unsupported)


def read_results(report: str) -> Results:
    """The results in one of the lists that cwltest writes per tag (`--badgedir`, Markdown)."""
    names: dict[str, list[str]] = {"passed": [], "failed": [], "unsupported": []}
    section = names["passed"]
    for line in report.splitlines():
        heading, test = SECTION.match(line), TEST.match(line)
        if heading:
            section = names[heading[1]]
        elif test:
            section.append(test[1])
    return Results(**names)


def summary(folder: Path) -> tuple[str, bool]:
    """Figures and the names of what did not pass, from the folder of lists; whether all that ran passed."""
    every = read_results((folder / "all.md").read_text())
    required = folder / "required.md"
    lines = [f"passed {len(every.passed)} of {every.total} tests, failed {len(every.failed)}"]
    if required.exists():
        results = read_results(required.read_text())
        lines.append(f"passed {len(results.passed)} of {results.total} required tests")
    lines += [f"NOT SUPPORTED {name}" for name in every.unsupported]
    lines += [f"FAILED {name}" for name in every.failed]
    return "\n".join(lines), bool(every.passed) and not every.failed
