"""`wes doctor`: what works on this machine, what is missing, and the command that helps."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from common.settings import read_token
from wes_cli.checks import Finding, findings
from wes_cli.client import WesClient
from wes_cli.options import DEFAULT_SERVER, Server, TokenFile
from wes_service.settings import read_settings

CONNECT_SECONDS = 3.0
WORDS = {"needed": ("missing", "red"), "better": ("better", "yellow"), "optional": ("absent", "bright_black")}


def doctor(
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="WES_DATA", help="Data folder that 'wes up' is to use.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON, for scripts.")] = False,
) -> None:
    """Check what works on this machine and what to do about the rest.

    'missing' is needed, 'better' makes it safer or quicker, 'absent' is not needed by everybody. Exit code 1 if
    something needed is missing.

    \b
    wes doctor --json      for a script
    """
    settings = read_settings(data=data)
    client = WesClient(server, read_token(token_file), timeout=CONNECT_SECONDS)
    found = list(findings(settings, client))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    else:
        for finding in found:
            _print(finding)
    if any(not finding.ok and finding.need == "needed" for finding in found):
        raise typer.Exit(1)


def _print(finding: Finding) -> None:
    word, color = ("OK", "green") if finding.ok else WORDS[finding.need]
    typer.echo(f"{typer.style(word, fg=color)}{' ' * (9 - len(word))}{finding.name:<12}{finding.found}")
    if not finding.ok and finding.fix:
        typer.echo(f"{' ' * 21}→ {finding.fix}")
