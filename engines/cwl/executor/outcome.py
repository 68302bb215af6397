"""What the last view of a task says about how it ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

COMPLETE = "COMPLETE"
TERMINAL = frozenset({COMPLETE, "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"})
LOST = frozenset({"SYSTEM_ERROR", "PREEMPTED"})
STARTED = frozenset({"RUNNING", "PAUSED", *TERMINAL})
UNKNOWN_CODE = 255
SUCCESS, TEMPORARY, PERMANENT = "success", "temporaryFail", "permanentFail"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished task. `stderr` and `system` are the last lines of its logs; `out` is where its outputs are."""

    task_id: str
    state: str
    exit_code: int
    stderr: str = ""
    system: str = ""
    out: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Which exit codes mean what (CWL v1.2, CommandLineTool); 0 is success where nothing else is said."""

    success: frozenset[int] = frozenset()
    temporary: frozenset[int] = frozenset()
    permanent: frozenset[int] = frozenset()

    def status(self, code: int) -> str:
        if code in self.success:
            return SUCCESS
        if code in self.temporary:
            return TEMPORARY
        if code in self.permanent or code != 0:
            return PERMANENT
        return SUCCESS


def outcome_of(task_id: str, task: Mapping[str, Any]) -> Outcome:
    """Reads the FULL view of a terminal task; what is missing there is left empty."""
    attempt = _last(task.get("logs"))
    executor = _last(attempt.get("logs"))
    state = str(task.get("state", "UNKNOWN"))
    return Outcome(
        task_id=task_id,
        state=state,
        exit_code=_code(executor.get("exit_code"), state),
        stderr=_tail(str(executor.get("stderr") or "").splitlines()),
        system=_tail(str(line) for line in attempt.get("system_logs") or ()),
        out=_out(task),
    )


def sentence(name: str, outcome: Outcome) -> str:
    """Why a step failed, for a person."""
    step = f"the step '{name}' (task {outcome.task_id})"
    if outcome.state in LOST:
        return f"{step} could not be run by the TES: {outcome.system or outcome.stderr or outcome.state}"
    if outcome.state == "CANCELED":
        return f"{step} was canceled"
    return f"{step} ended with exit code {outcome.exit_code}" + (f": {outcome.stderr}" if outcome.stderr else "")


def _code(value: object, state: str) -> int:
    try:
        code = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        code = 0 if state == COMPLETE else UNKNOWN_CODE
    # Some servers give 0 where they don't know.
    return UNKNOWN_CODE if code == 0 and state != COMPLETE else int(code)


def _last(items: object) -> Mapping[str, Any]:
    return items[-1] if isinstance(items, list) and items and isinstance(items[-1], dict) else {}


def _tail(lines: Iterable[str], count: int = 3) -> str:
    return " | ".join([line.strip() for line in lines if line.strip()][-count:])[-600:]


def _out(task: Mapping[str, Any]) -> Path | None:
    for output in task.get("outputs") or ():
        url = str(output.get("url", ""))
        if output.get("type") == "DIRECTORY" and url.startswith("file:///"):
            return Path(unquote(url.removeprefix("file://")))
    return None
