"""`wes config show`: every setting that is in effect and where it is from, without secrets."""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from common.configuration import EMBEDDED, SECRET_KEYS
from common.errors import SettingsError
from common.hooks import shown_hook_url
from common.json_types import Json
from common.masking import masked
from common.object_store import STORE_SECRETS
from common.settings import read_secret
from wes_cli.options import Config
from wes_service.settings import Settings, read_settings

app = typer.Typer(no_args_is_help=True, add_completion=False)


@dataclass(frozen=True, kw_only=True)
class EffectiveValue:
    """One setting: the table that it belongs to (empty: none), its value without secrets, and where that is from."""

    table: str
    key: str
    value: Json
    source: str
    problem: str = ""
    """Why a file that it names can't be used."""


@app.callback()
def config() -> None:
    """What this service is told by its file, its variables and its options."""


@app.command()
def show(
    ctx: typer.Context,
    config: Config = None,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="WES_DATA", help="Folder of database, runs and logs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for scripts.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also print what has its default.")] = False,
) -> None:
    """Print the configuration that 'wes up' and its parts would have here, and where each value is from.

    Files with secrets are named and looked at, but what is in them is not shown. Settings that have their default are
    left out, unless --all asks for them.

    \b
    wes config show --config /etc/wes/wes.toml
    wes config show --all --json             everything, for a script
    """
    settings = read_settings(config=config, data=data)
    options = {name for name in ("config", "data") if _is_option(ctx, name)}
    found = [
        *_settings(settings, options, everything=everything),
        *_servers(settings),
        *_stores(settings),
        *_hooks(settings),
        *_smtp(settings),
    ]
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(found)))


def _is_option(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _settings(settings: Settings, options: Container[str], *, everything: bool) -> Iterator[EffectiveValue]:
    document = settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        given = name in settings.model_fields_set
        if given or everything:
            variable = f"--{name}" if name in options else f"WES_{name.upper()}"
            source = variable if given else "default"
            yield EffectiveValue(table="", key=name, value=masked(document[name]), source=source)


def _servers(settings: Settings) -> Iterator[EffectiveValue]:
    for server in settings.tes_servers:
        source = "WES_TES_URLS" if server.file is None else str(server.file)
        document = server.model_dump(mode="json", exclude={"name"}, exclude_none=True)
        if server.api_key_file is None:
            del document["api_key_header"]
        if server.is_embedded:
            # Where it is, and its token, are `wes up`'s to know.
            document["url"] = EMBEDDED
            del document["token_file"]
        for key, value in document.items():
            given = key in server.model_fields_set
            yield EffectiveValue(
                table=_table("tes", server.name),
                key=key,
                value=masked(value),
                source=source if given else "default",
                problem=_problem(partial(server.secret, key)) if key in SECRET_KEYS else "",
            )


def _stores(settings: Settings) -> Iterator[EffectiveValue]:
    for prefix, store in settings.stores.items():
        for key, value in store.model_dump(mode="json", exclude_none=True).items():
            given = key in store.model_fields_set
            source = str(settings.config) if given else "default"
            yield EffectiveValue(
                table=_table("stores", prefix),
                key=key,
                value=masked(value),
                source=source,
                problem=_problem(partial(read_secret, key, getattr(store, key))) if key in STORE_SECRETS else "",
            )


def _hooks(settings: Settings) -> Iterator[EffectiveValue]:
    for name, hook in settings.hooks.items():
        for key, value in hook.model_dump(mode="json", exclude_none=True).items():
            yield EffectiveValue(
                table=_table("hooks", name),
                key=key,
                # The path may be a secret, as that of a chat's hooks.
                value=shown_hook_url(hook.url) if key == "url" else value,
                source=str(settings.config) if key in hook.model_fields_set else "default",
                problem=_problem(hook.keys) if key == "secret_file" else "",
            )


def _smtp(settings: Settings) -> Iterator[EffectiveValue]:
    if settings.smtp is None:
        return
    for key, value in settings.smtp.model_dump(mode="json", exclude_none=True).items():
        yield EffectiveValue(
            table="smtp",
            key=key,
            value=value,
            source=str(settings.config) if key in settings.smtp.model_fields_set else "default",
            problem=_problem(settings.smtp.check_secret) if key == "password_file" else "",
        )


def _table(kind: str, name: str) -> str:
    """Its header in TOML, where a name that is more than a word is quoted."""
    return f"{kind}.{name if name.replace('-', '_').isidentifier() else json.dumps(name)}"


def _problem(read: Callable[[], object]) -> str:
    """Why a secret can't be read; empty where it can."""
    try:
        read()
    except SettingsError as error:
        return str(error)
    return ""


def _lines(found: Sequence[EffectiveValue]) -> Iterator[str]:
    """As TOML, with the source of each value behind it."""
    table = ""
    for each in found:
        if each.table != table:
            table = each.table
            yield f"\n[{table}]"
        text = f"{each.key} = {json.dumps(each.value, ensure_ascii=False)}"
        yield f"{text:<60}  # {each.source}"
        if each.problem:
            yield f"# PROBLEM {each.problem}"
