"""`wes run --dry-run`: what would be sent where, and why; nothing is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

import typer

from common.errors import WesError
from common.json_types import Json, JsonObject
from engines.registry import engines_for_type
from wes_cli.bundle import Bundle
from wes_cli.client import WesClient
from wes_cli.display import clean, print_warnings, size, table
from wes_cli.upload import language_fields
from wes_cli.views import ServiceView

INCOMPLETE = 2
"""The exit code where the run could not be submitted like this."""


@dataclass(frozen=True, kw_only=True)
class FileToSend:
    """An attachment: its name, its path here, its size in bytes, and why it belongs to the workflow."""

    name: str
    path: str
    size: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What `wes run` would send, as far as that is known here. `problems`: why the server would not take it."""

    server: str
    service: str
    workflow_url: str
    workflow_type: str
    workflow_type_version: str
    engine: str
    engine_version: str
    params: JsonObject
    engine_parameters: Mapping[str, str]
    tags: Mapping[str, str]
    missing: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    files: tuple[FileToSend, ...]
    bytes: int

    @property
    def exit_code(self) -> int:
        """0 where nothing is known that would keep it from being sent."""
        return INCOMPLETE if self.missing or self.problems else 0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What of `wes run` does not come from files."""

    type_name: str | None = None
    type_version: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    engine_parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def submission_of(client: WesClient, bundle: Bundle, options: RunOptions) -> Submission:
    """Asks the server for its service-info, and nothing else; one that gives no answer is a problem among others."""
    problems: list[str] = []
    service = ServiceView(name="", version="", types={}, engines={})
    fields: dict[str, str] = {}
    try:
        service = client.service_info()
        fields = language_fields(service, bundle, options.type_name, options.type_version)
    except WesError as error:
        problems.append(str(error))
    engine, version = _engine(service, fields.get("workflow_type", ""), options)
    files = tuple(
        FileToSend(name=name, path=str(path), size=path.stat().st_size, reason=bundle.reasons.get(name, ""))
        for name, path in bundle.attachments.items()
    )
    return Submission(
        server=client.url,
        service=f"{service.name} {service.version}".strip(),
        workflow_url=bundle.workflow_url,
        workflow_type=fields.get("workflow_type") or options.type_name or bundle.language or "",
        workflow_type_version=fields.get("workflow_type_version") or options.type_version or bundle.version or "",
        engine=engine,
        engine_version=version,
        params=bundle.params,
        engine_parameters={**bundle.engine_parameters, **options.engine_parameters},
        tags=options.tags,
        missing=bundle.missing,
        problems=(*problems, *(_refusals(service, engine, version, fields, options) if fields else ())),
        warnings=bundle.warnings,
        files=files,
        bytes=sum(one.size for one in files),
    )


def _engine(service: ServiceView, workflow_type: str, options: RunOptions) -> tuple[str, str]:
    """Its name and version: the one that is asked for, else what our servers take; empty where that is not known."""
    usual = [one.name for one in engines_for_type(workflow_type)] if workflow_type else []
    name = options.engine or next((one for one in usual if one in service.engines), "")
    return name, options.engine_version or next(iter(service.engines.get(name, ())), "")


def _refusals(
    service: ServiceView, engine: str, version: str, fields: Mapping[str, str], options: RunOptions
) -> Iterator[str]:
    """By what the server lists; one that lists no engines may have some."""
    kind = fields["workflow_type"]
    versions = next((listed for name, listed in service.types.items() if name.casefold() == kind.casefold()), None)
    if service.types and versions is None:
        yield f"the server runs no {kind}; it lists {', '.join(service.types)}"
    elif versions and fields["workflow_type_version"].casefold() not in {one.casefold() for one in versions}:
        yield f"the server does not list version {fields['workflow_type_version']} of {kind}, but {', '.join(versions)}"
    listed = service.engines.get(engine)
    if options.engine_version and listed and version not in listed:
        yield f"the server does not list version {version} of {engine}, but {', '.join(listed)}"


def print_submission(found: Submission, *, as_json: bool) -> None:
    """To stdout; warnings and problems to stderr, but as JSON all in one."""
    if as_json:
        typer.echo(json.dumps({**asdict(found), "dry_run": True}, indent=2, ensure_ascii=False))
        return
    typer.echo("\n".join(_lines(found)))
    print_warnings(found.warnings)
    for problem in found.problems:
        typer.secho(f"error: {clean(problem)}", fg="red", err=True)
    if found.missing:
        typer.secho(f"error: the workflow needs {', '.join(found.missing)}: give them by --params", fg="red", err=True)


def _lines(found: Submission) -> Iterator[str]:
    engine = f"{found.engine} {found.engine_version}".strip() or "the server's choice"
    yield f"server      {found.server}" + (f"  ({clean(found.service)})" if found.service else "")
    yield f"workflow    {found.workflow_url}  ({f'{found.workflow_type} {found.workflow_type_version}'.strip()})"
    yield f"engine      {clean(engine)}"
    values: tuple[tuple[str, Json], ...] = (
        ("params", dict(found.params)),
        ("settings", dict(found.engine_parameters)),
        ("tags", dict(found.tags)),
    )
    yield from (f"{name:10}  {json.dumps(value, ensure_ascii=False)}" for name, value in values if value)
    count = len(found.files)
    yield f"files       {count}, {size(found.bytes)}; nothing was sent"
    if count:
        rows = [(one.name, size(one.size), one.reason) for one in found.files]
        yield ""
        yield table(("FILE", "SIZE", "WHY"), [[clean(cell) for cell in row] for row in rows])
