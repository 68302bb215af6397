"""`wes resume`: a run that has ended is started anew, and what it has done already is not done again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from common.json_types import Json
from wes_cli.bundle import Bundle, BundleRequest, build_addition, build_bundle
from wes_cli.client import connect
from wes_cli.display import print_warnings
from wes_cli.errors import InvalidArgument
from wes_cli.ls import find_run_id
from wes_cli.options import DEFAULT_SERVER, RunId, Server, TokenFile
from wes_cli.outputs import Download, Force
from wes_cli.run import (
    Detach,
    RepeatKey,
    SetForStep,
    finish,
    name_values,
    step_resources,
    upload,
    watch,
)
from wes_service.languages.sources import language_named


def resume(
    run: RunId,
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    workflow: Annotated[
        Path | None,
        typer.Option(
            "--workflow",
            "-w",
            metavar="FILE",
            help="The workflow as it is now, where it was mended: it is uploaded with its files, as in 'wes run'.",
        ),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option("--params", "-p", metavar="FILE", help="Inputs in place of the run's, as JSON or YAML."),
    ] = None,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            "--attach", "-a", metavar="FILE", help="Upload this too, in place of what has the same name (repeat)."
        ),
    ] = None,
    in_place: Annotated[
        list[Path] | None,
        typer.Option("--in-place", metavar="DIR", help="As in 'wes run': the server reads it there (repeat)."),
    ] = None,
    engine_param: Annotated[
        list[str] | None,
        typer.Option("--engine-param", metavar="NAME=VALUE", help="Settings in place of all of the run's (repeat)."),
    ] = None,
    set_for_step: SetForStep = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", "-t", metavar="NAME=VALUE", help="Tags in place of all of the run's (repeat)."),
    ] = None,
    idempotency_key: RepeatKey = None,
    detach: Detach = False,
    download: Download = None,
    force: Force = False,
) -> None:
    """Start a run that has ended anew, without the steps that it has done already.

    A step counts as done where its command, its image and the contents of its inputs are the same, and its outputs are
    there. The new run has an id of its own, and the request and the files of the earlier one.

    \b
    wes resume last                              what was canceled goes on
    wes resume 01J9 --workflow align.cwl         after the workflow was mended
    wes resume 01J9 --params other.yml
    wes resume last --set align.memory=16GB      after a step ran out of memory
    """
    client = connect(server, token_file)
    parent = find_run_id(client, run)
    request = client.run(parent).request
    url, name = str(request.get("workflow_url", "")), str(request.get("workflow_type", ""))
    wanted = BundleRequest(
        workflow=url if workflow is None else str(workflow),
        params=params,
        attach=attach or (),
        in_place=in_place or (),
        language=language_named(name) or name,
        params_known=True,
    )
    bundle = build_addition(wanted) if workflow is None else _mended(wanted, url)
    parameters = {**name_values(engine_param, "--engine-param"), **step_resources(set_for_step)}
    if set_for_step and not engine_param:
        parameters = {**_texts(request.get("workflow_engine_parameters")), **parameters}
    fields = _fields(bundle, params, name_values(tag, "--tag"), parameters)
    print_warnings(bundle.warnings)
    run_id = upload(client, fields, bundle, idempotency_key, parent)
    if detach:
        typer.echo(run_id)
        return
    finish(client, watch(client, run_id), download, force=force)


def _mended(wanted: BundleRequest, url: str) -> Bundle:
    bundle = build_bundle(wanted)
    if bundle.workflow_url.partition("#")[0] != url.partition("#")[0]:
        raise InvalidArgument(f"--workflow: the run's workflow is {url}, and this would be {bundle.workflow_url}")
    return bundle


def _texts(value: Json) -> dict[str, str]:
    """What the run had, to which something is added."""
    return {name: str(text) for name, text in value.items()} if isinstance(value, Mapping) else {}


def _fields(
    bundle: Bundle, params: Path | None, tags: dict[str, str], engine_parameters: dict[str, str]
) -> dict[str, str]:
    """Only what is to be another."""
    whole = {
        "workflow_params": bundle.params if params is not None else None,
        "tags": tags or None,
        "workflow_engine_parameters": {**bundle.engine_parameters, **engine_parameters} or None,
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in whole.items() if value is not None}
