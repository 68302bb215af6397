"""Tab completion that asks the server: it answers in a moment or says nothing."""

from typing import Any

PATIENCE_SECONDS = 0.7
MOST = 50


def complete_run(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest runs that begin with `incomplete`, each with its state."""
    from common.errors import WesError
    from wes_cli.client import connect

    words = [("last", "the newest run")] if "last".startswith(incomplete) else []
    try:
        client = connect(*_given(ctx), timeout=PATIENCE_SECONDS, patience=0)
        runs = client.first_runs(MOST)
    except WesError:
        return words
    return words + [(run.id, run.state) for run in runs if run.id.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """The states of the standard."""
    from wes_service.core.run import RunState

    return [state.value for state in RunState if state.startswith(incomplete.upper())]


def complete_type(ctx: Any, incomplete: str) -> list[str]:
    """The workflow types that the server lists."""
    from common.errors import WesError
    from wes_cli.client import connect

    try:
        info = connect(*_given(ctx), timeout=PATIENCE_SECONDS, patience=0).service_info()
    except WesError:
        return []
    return [name for name in info.types if name.casefold().startswith(incomplete.casefold())]


def complete_engine(ctx: Any, incomplete: str) -> list[str]:
    """Names of the engines that the server lists."""
    from common.errors import WesError
    from wes_cli.client import connect

    try:
        info = connect(*_given(ctx), timeout=PATIENCE_SECONDS, patience=0).service_info()
    except WesError:
        return []
    return [name for name in info.engines if name.startswith(incomplete)]


def _given(ctx: Any) -> tuple[str, Any]:
    from wes_cli.options import DEFAULT_SERVER

    return ctx.params.get("server") or DEFAULT_SERVER, ctx.params.get("token_file")
