"""What a check found, one line each: `wes doctor` and `wes tes check`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import typer

Need = Literal["needed", "better", "optional"]
WORDS: dict[Need, tuple[str, str]] = {
    "needed": ("missing", "red"),
    "better": ("better", "yellow"),
    "optional": ("absent", "bright_black"),
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `need` says how bad it is where `ok` is false; `fix` is then what to do."""

    name: str
    ok: bool
    found: str
    need: Need = "needed"
    fix: str = ""


def report(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Prints them; exits with 1 where something needed is missing."""
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            _print(finding)
    if any(not finding.ok and finding.need == "needed" for finding in findings):
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    word, color = ("OK", "green") if finding.ok else WORDS[finding.need]
    typer.echo(f"{typer.style(word, fg=color)}{' ' * (9 - len(word))}{finding.name:<12}{finding.found}")
    if not finding.ok and finding.fix:
        typer.echo(f"{' ' * 21}→ {finding.fix}")
