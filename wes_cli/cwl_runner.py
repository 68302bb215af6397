"""`wes-cwl-runner`: runs a CWL document on a WES server, with the arguments and exit codes of cwltool.

For people who type a CWL runner's command, and for programs that call one, as cwltest does.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from common import __version__
from common.errors import WesError
from common.json_types import JsonObject
from common.settings import read_token
from wes_cli.bundle import Bundle, BundleRequest, build_bundle, find_workflow, is_remote
from wes_cli.client import WesClient
from wes_cli.cwl_objects import absolute_files, job_parser, local_outputs, read_inputs
from wes_cli.errors import ClientError, InvalidArgument
from wes_cli.follow import ProgressObserver, ProgressPrinter, StepEvent, follow
from wes_cli.outputs import download_all
from wes_cli.private_server import private_server
from wes_cli.upload import form_fields, open_attachments, workflow_type_version
from wes_cli.views import SUCCESS, LogView, RunView
from wes_service.languages.documents import read_document
from wes_service.settings import ClientSettings

PROGRAM = "wes-cwl-runner"
FAILED = 1
UNSUPPORTED = 33
"""As cwltool has it: the document needs what the runner does not have."""
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line. `job` is all that follows the workflow: a job file, inputs as options, or both."""

    workflow: str
    job: Sequence[str]
    outdir: Path
    basedir: Path | None
    server: str | None
    token_file: Path | None
    allow_outside: bool
    quiet: bool
    debug: bool
    tool_help: bool


def main() -> None:
    """The entry point of `wes-cwl-runner`; exits with the codes of cwltool."""
    arguments = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _run(arguments)
    except WesError as error:
        _print(f"{PROGRAM}: {error}")
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def parse(argv: Sequence[str]) -> Arguments:
    """Options come before the workflow; what follows it belongs to the workflow, as cwltool has it."""
    defaults = ClientSettings()
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Run a CWL tool or workflow on a GA4GH WES server; its output object is printed as JSON. Where "
        "no server is named, one is started on this machine and ended with the run.",
        epilog="Exit code: 0 where it is COMPLETE, 33 where it needs what is not supported, else 1.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--outdir", type=Path, default=Path(), help="folder for the output files (default: this one)")
    parser.add_argument("--basedir", type=Path, help="what relative paths in the job are relative to (default: it)")
    parser.add_argument("--server", default=defaults.server, metavar="URL", help="base URL (WES_SERVER)")
    parser.add_argument(
        "--token-file", type=Path, default=defaults.token_file, metavar="FILE", help="bearer token (WES_TOKEN_FILE)"
    )
    parser.add_argument(
        "--allow-outside", action="store_true", help="upload files outside of the workflow's folder too"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but why it failed")
    parser.add_argument("--debug", action="store_true", help="print the engine's log too")
    parser.add_argument("--tool-help", action="store_true", help="list the workflow's inputs and exit")
    parser.add_argument("workflow", help="a CWL file, FILE#NAME, or a URL that the server fetches")
    parser.add_argument(
        "job",
        nargs=argparse.REMAINDER,
        metavar="JOB | --INPUT VALUE …",
        help="a file of inputs, or inputs as options",
    )
    return Arguments(**vars(parser.parse_args(argv)))


def _run(arguments: Arguments) -> int:
    if arguments.tool_help:
        job_parser(_inputs(arguments.workflow), f"{PROGRAM} {arguments.workflow}").print_help()
        return 0
    with _job_file(arguments) as job_file:
        outside = arguments.allow_outside
        bundle = build_bundle(
            BundleRequest(workflow=arguments.workflow, params=job_file, language="CWL", allow_outside=outside)
        )
    with _server(arguments) as client:
        watcher = SilentObserver() if arguments.quiet else ProgressPrinter()
        return _finish(arguments, client, _ended(client, _submit(client, bundle), watcher))


@contextmanager
def _job_file(arguments: Arguments) -> Iterator[Path | None]:
    """The job file, or one that is made of it and of the options after the workflow."""
    job = arguments.job
    if not job or (len(job) == 1 and not job[0].startswith("-") and arguments.basedir is None):
        yield Path(job[0]) if job else None
        return
    with tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-") as folder:
        path = Path(folder) / "job.json"
        path.write_text(json.dumps(_job(arguments)))
        yield path


def _job(arguments: Arguments) -> JsonObject:
    parser = job_parser(_inputs(arguments.workflow), f"{PROGRAM} {arguments.workflow}")
    options = vars(parser.parse_args(arguments.job))
    file = options.pop("job_order")
    document = read_document(file) if file else {}
    if not isinstance(document, dict):
        raise InvalidArgument(f"{file} must hold an object that maps input names to values")
    base = arguments.basedir or (file.parent if file else Path())
    own = {name: value for name, value in options.items() if value is not None}
    return {**absolute_files(document, base), **absolute_files(own, Path())}


def _inputs(workflow: str) -> JsonObject:
    if is_remote(workflow):
        raise InvalidArgument(f"the inputs of {workflow} are not known here: give them in a job file")
    path, fragment = find_workflow(workflow)
    return read_inputs(path, fragment.lstrip("#"))


@contextmanager
def _server(arguments: Arguments) -> Iterator[WesClient]:
    token = read_token(arguments.token_file)
    if arguments.server:
        yield WesClient(arguments.server, token)
        return
    with private_server(lambda text: None if arguments.quiet else _print(text)) as url:
        yield WesClient(url, token)


def _submit(client: WesClient, bundle: Bundle) -> str:
    info = client.service_info()
    version = bundle.version or workflow_type_version("CWL", "CWL", info)
    language = {"workflow_type": "CWL", "workflow_type_version": version, "workflow_url": bundle.workflow_url}
    fields = form_fields(params=bundle.params, tags={}, engine=None, engine_version=None, engine_parameters={})
    with open_attachments(bundle.attachments, bar=False) as files:
        return client.submit(language | fields, files)


def _ended(client: WesClient, run_id: str, watcher: ProgressObserver) -> RunView:
    """The run at its end; who interrupts the command cancels the run."""
    try:
        return follow(client, run_id, watcher)
    except KeyboardInterrupt:
        client.cancel(run_id)
        raise


def _finish(arguments: Arguments, client: WesClient, view: RunView) -> int:
    if arguments.debug:
        _print_log(client, view)
    if view.state != SUCCESS:
        _print(f"{PROGRAM}: {view.id} ended {view.state}: {view.reason or 'the server does not say why'}")
        return UNSUPPORTED if view.log.exit_code == UNSUPPORTED else FAILED
    outputs = local_outputs(view.outputs, arguments.outdir.resolve())
    for folder in outputs.folders:
        folder.mkdir(parents=True, exist_ok=True)
    download_all(client, outputs.files, arguments.outdir.resolve(), force=True)
    print(json.dumps(outputs.document, indent=4, ensure_ascii=False))  # noqa: T201 - the result
    return 0


def _print_log(client: WesClient, view: RunView) -> None:
    try:
        for chunk in client.content(view.log.stderr) if view.log.stderr else ():
            sys.stderr.buffer.write(chunk)
    except ClientError as error:
        _print(f"the engine's log can't be read: {error}")


class SilentObserver:
    """See `ProgressObserver`."""

    def state(self, state: str) -> None:
        pass

    def waits(self, reason: str) -> None:
        pass

    def step(self, change: StepEvent) -> None:
        pass

    def progress(self, steps: Sequence[LogView], known: int | None) -> None:
        pass


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _print(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
