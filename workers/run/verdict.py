"""How a run ended, in one state and one sentence. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from wes_service.core.state import RunState
from wes_service.core.task import TAG_STEP, Task, TaskState
from workers.gateway import documents

LAST_LINES = 5
LONGEST_TAIL = 1500


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The terminal state and the reason; the reason of a COMPLETE run says just that."""

    state: RunState
    reason: str


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """The task that failed and the whole tail of its stderr, as far as it is known."""

    task: Task
    stderr: str


def of_failure(diagnosis: str, step: FailedStep | None, service_failure: str | None) -> Verdict:
    """The verdict on an engine that ended with an error: the service's own failure counts before the step's."""
    if service_failure is not None:
        return Verdict(state=RunState.SYSTEM_ERROR, reason=f"The run could not go on: {service_failure}")
    if step is not None:
        return Verdict(state=RunState.EXECUTOR_ERROR, reason=sentence(step))
    return Verdict(state=RunState.EXECUTOR_ERROR, reason=diagnosis)


def failed_task(tasks: Sequence[Task]) -> Task | None:
    """The first task that failed and was not tried again."""
    newest: dict[str, int] = {}
    for task in tasks:
        newest[_step(task)] = max(task.attempt, newest.get(_step(task), 0))
    bad = [task for task in tasks if _failed(task) and task.attempt == newest[_step(task)]]
    return bad[0] if bad else None


def _failed(task: Task) -> bool:
    return task.state in {TaskState.EXECUTOR_ERROR, TaskState.SYSTEM_ERROR, TaskState.PREEMPTED}


def _step(task: Task) -> str:
    tags = task.body.get("tags")
    return str(tags.get(TAG_STEP, task.name)) if isinstance(tags, dict) else task.name


def sentence(step: FailedStep) -> str:
    """Names the step, its exit code and its TES task, with the last lines of its stderr or the TES's own words."""
    task = step.task
    code = documents.exit_code(task.document)
    ended = f"with exit code {code}" if code is not None else f"in TES state {task.state.value}"
    head = f"Step '{task.name}' failed {ended} (TES task {task.tes_id or task.id})"
    by_tes = task.reason or "; ".join(documents.system_logs(task.document)[-2:])
    # Funnel ends a failed step as SYSTEM_ERROR where an output is missing: an exit code tells more than the state.
    by_step = bool(code) or task.state is TaskState.EXECUTOR_ERROR
    told = (tail(step.stderr) or by_tes) if by_step else (by_tes or tail(step.stderr))
    return f"{head}: {told}" if told else f"{head}; it wrote nothing to stderr"


def tail(text: str) -> str:
    """The last lines that are not empty."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:])[-LONGEST_TAIL:]
