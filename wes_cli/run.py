"""`wes run`: submits a workflow with its local files, then shows its steps until it ends."""

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from common.step_resources import STEP_CHANGES, step_changes
from wes_cli.bundle import Bundle, BundleRequest, build_bundle
from wes_cli.client import WesClient, connect
from wes_cli.display import clean, colored, print_warnings, size
from wes_cli.dry_run import RunOptions, print_submission, submission_of
from wes_cli.errors import InvalidArgument
from wes_cli.follow import ProgressPrinter, follow, live_printer
from wes_cli.options import DEFAULT_SERVER, Server, TokenFile, complete_engine
from wes_cli.outputs import Download, Force, print_outputs, save
from wes_cli.upload import form_fields, language_fields, open_attachments
from wes_cli.views import SUCCESS, RunView
from wes_service.languages.sources import language_named

INTERRUPTED = 130
RepeatKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", help="The same key and request again give the same run."),
]
SetForStep = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STEP.FIELD=VALUE",
        help="What a step gets whatever the workflow says: align.memory=4GB, align.cpu=2, '*.disk=10GB', "
        "align.image=NAME; the step as 'wes tasks' shows it, or a pattern (repeat).",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Print the run's id and don't wait for its end.")]


def run(
    workflow: Annotated[
        str,
        typer.Argument(
            metavar="WORKFLOW",
            help="A workflow file (.cwl, Snakefile, .smk, .nf, .wdl; 'packed.cwl#main' too), or a URL that the server "
            "fetches (https://…, a link of GitHub or GitLab to a file, git+https://HOST/REPOSITORY@REVISION#PATH).",
        ),
    ],
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    params: Annotated[
        Path | None,
        typer.Option("--params", "-p", metavar="FILE", help="Inputs, as JSON or YAML; their files are uploaded."),
    ] = None,
    attach: Annotated[
        list[Path] | None, typer.Option("--attach", "-a", metavar="FILE", help="Upload this too (repeat).")
    ] = None,
    in_place: Annotated[
        list[Path] | None,
        typer.Option(
            "--in-place",
            metavar="DIR",
            help="Don't upload files of this folder that the params name: the server reads them there (repeat).",
        ),
    ] = None,
    allow_outside: Annotated[
        bool,
        typer.Option("--allow-outside", help="Upload files outside of the workflow's folder too that it refers to."),
    ] = False,
    type_name: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="CWL, SMK, NFL or WDL; default: by the file's name.")
    ] = None,
    type_version: Annotated[
        str | None,
        typer.Option(
            "--type-version", metavar="V", help="E.g. v1.2; default: what the document says, else the newest."
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="NAME", help="E.g. cwltool.", autocompletion=complete_engine),
    ] = None,
    engine_version: Annotated[str | None, typer.Option("--engine-version", metavar="V")] = None,
    engine_param: Annotated[
        list[str] | None, typer.Option("--engine-param", metavar="NAME=VALUE", help="A setting of the engine (repeat).")
    ] = None,
    set_for_step: SetForStep = None,
    priority: Annotated[
        int | None,
        typer.Option(
            min=-100, max=100, help="Of your queued runs those with a higher one begin first.", show_default="0"
        ),
    ] = None,
    max_time: Annotated[
        str | None, typer.Option("--max-time", metavar="SPAN", help="End the run after so long: 90min, 12h, 2d.")
    ] = None,
    reuse: Annotated[
        bool | None,
        typer.Option(
            "--reuse/--no-reuse",
            help="Don't run steps again that any of your runs has done.",
            show_default="as the server has it",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", metavar="NAME=VALUE", help="To find the run again (repeat).")
    ] = None,
    idempotency_key: RepeatKey = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Send nothing: list what would be sent, why, and what would run it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: as JSON, for scripts.")] = False,
    detach: Detach = False,
    download: Download = None,
    force: Force = False,
) -> None:
    """Submit a workflow with the local files that it and its params refer to, and show its steps.

    Ctrl-C stops watching; the run goes on. Exit code: 0 COMPLETE, 1 the run failed, 2 it could not be submitted.

    \b
    wes run hello.cwl --params hello.yml
    wes run align.cwl -p sample7.yml --in-place /data/reads --tag sample=7 -d results
    wes run packed.cwl#main --detach
    wes run workflow/Snakefile -a . --dry-run
    wes run main.nf --set ALIGN.memory=4GB --engine-param max_cpu=4
    wes run https://github.com/OWNER/NAME/blob/v1.0/workflow/main.nf -p params.json
    """
    if as_json and not dry_run:
        raise InvalidArgument("--json goes with --dry-run; of a run, 'wes status RUN --json' prints it")
    client = connect(server, token_file, patience=0 if dry_run else None)
    request = BundleRequest(
        workflow=workflow,
        params=params,
        attach=attach or (),
        in_place=in_place or (),
        language=_language(type_name),
        allow_outside=allow_outside,
        may_lack=dry_run,
    )
    bundle = build_bundle(request)
    asked = {
        "priority": None if priority is None else str(priority),
        "max_time": max_time,
        "reuse": None if reuse is None else str(reuse).lower(),
    }
    options = RunOptions(
        type_name=type_name,
        type_version=type_version,
        engine=engine,
        engine_version=engine_version,
        engine_parameters={
            **name_values(engine_param, "--engine-param"),
            **{name: value for name, value in asked.items() if value is not None},
            **step_resources(set_for_step),
        },
        tags=name_values(tag, "--tag"),
    )
    if dry_run:
        found = submission_of(client, bundle, options)
        print_submission(found, as_json=as_json)
        raise typer.Exit(found.exit_code)
    run_id = submit_bundle(client, bundle, options, idempotency_key=idempotency_key)
    if detach:
        typer.echo(run_id)
        return
    finish(client, watch(client, run_id), download, force=force)


def submit_bundle(
    client: WesClient, bundle: Bundle, options: RunOptions | None = None, *, idempotency_key: str | None = None
) -> str:
    """Uploads it all; the new run's id."""
    print_warnings(bundle.warnings)
    asked = options or RunOptions()
    fields = language_fields(client.service_info(), bundle, asked.type_name, asked.type_version) | form_fields(
        params=bundle.params,
        tags=asked.tags,
        engine=asked.engine,
        engine_version=asked.engine_version,
        engine_parameters={**bundle.engine_parameters, **asked.engine_parameters},
    )
    return upload(client, fields, bundle, idempotency_key)


def upload(
    client: WesClient,
    fields: Mapping[str, str],
    bundle: Bundle,
    idempotency_key: str | None,
    resumed: str | None = None,
) -> str:
    """Sends form and attachments, as the run that resumes `resumed` where that is given; the new run's id."""
    with open_attachments(bundle.attachments, bar=sys.stderr.isatty()) as files:
        count = len(files)
        if count:
            total = sum(path.stat().st_size for path in bundle.attachments.values())
            typer.echo(f"uploading {count} file{'' if count == 1 else 's'}, {size(total)}", err=True)
        return client.submit(fields, files, idempotency_key, resumed)


def finish(client: WesClient, view: RunView, download: Path | None, *, force: bool) -> None:
    """Prints how the run ended, and its outputs; exits with 1 where it failed."""
    if view.state != SUCCESS:
        typer.echo(f"\n{view.id} ended {colored(view.state)}", err=True)
        for line in view.reason.splitlines() or ["the server does not say why"]:
            typer.echo(f"  {clean(line)}", err=True)
        typer.echo(f"see 'wes logs {view.id}' and 'wes tasks {view.id}'", err=True)
        raise typer.Exit(1)
    print_warnings(map(clean, view.cautions))
    if download is None:
        print_outputs(client, view)
    else:
        save(client, view, download, force=force)


def _language(type_name: str | None) -> str | None:
    return (language_named(type_name) or type_name) if type_name else None


def watch(client: WesClient, run_id: str, *, err: bool = True) -> RunView:
    """Shows the run until it ends, on stderr or stdout; Ctrl-C leaves it going and exits with 130."""
    typer.echo(f"run {run_id}", err=err)
    terminal = (sys.stderr if err else sys.stdout).isatty()
    try:
        with live_printer(err=err) if terminal else nullcontext(ProgressPrinter(err=err)) as lines:
            return follow(client, run_id, lines)
    except KeyboardInterrupt:
        typer.echo(
            f"\nthe run goes on: see it with 'wes status {run_id}', stop it with 'wes cancel {run_id}'", err=True
        )
        raise typer.Exit(INTERRUPTED) from None


def name_values(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """`NAME=VALUE`, each once; `InvalidArgument` names the option."""
    pairs = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidArgument(f"{option} {text!r}: write it as NAME=VALUE")
        pairs[name] = value
    return pairs


def step_resources(texts: Sequence[str] | None) -> dict[str, str]:
    """The engine parameter that `--set STEP.FIELD=VALUE` stands for; none without any. `InvalidArgument`."""
    changes: dict[str, dict[str, str]] = {}
    for text in texts or ():
        place, equals, value = text.partition("=")
        step, dot, name = place.rpartition(".")
        if not (equals and dot and step and name):
            raise InvalidArgument(f"--set {text!r}: write it as STEP.FIELD=VALUE, as in align.memory=4GB")
        changes.setdefault(step, {})[name] = value
    written = json.dumps(changes, ensure_ascii=False)
    try:
        step_changes(written)
    except ValueError as error:
        raise InvalidArgument(f"--set: {str(error).removeprefix(f'{STEP_CHANGES}: ')}") from None
    return {STEP_CHANGES: written} if changes else {}
