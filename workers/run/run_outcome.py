"""How a run ended, in one state and one sentence. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from common.json_types import JsonObject
from common.step_resources import STEP_RESOURCES
from gateway.task_documents import exit_code, system_logs
from tes.task import TAG_STEP, Task, TaskState
from wes_service.core.run import RunState
from wes_service.core.run_log import WARNING

LAST_LINES = 5
LONGEST_TAIL = 1500
MEANINGS = {
    132: "it was killed (SIGILL: the program is not made for this processor)",
    134: "it gave up (SIGABRT)",
    137: "it was killed (SIGKILL, as systems do where memory runs out)",
    139: "it crashed (SIGSEGV)",
    143: "it was ended (SIGTERM)",
}
"""Exit codes that a shell gives for a signal: 128 and its number."""
HAS = re.compile(r"\bhas (?:at most )?(\d{1,9}(?:\.\d{1,9})?)", re.ASCII)
STACK = re.compile(r"\s+at [\w.$<>/@-]+\(.*\)$|\s*\.\.\. \d+ more$")
EXCEPTION = re.compile(r"Caused by: |(?:Exception in thread \S+ )?[\w.$]+(?:Exception|Error)\b")


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The terminal state and the reason; the reason of a COMPLETE run says just that."""

    state: RunState
    reason: str


@dataclass(frozen=True, kw_only=True)
class FailedStep:
    """The task that failed and the tails of its streams, as far as they are known."""

    task: Task
    stderr: str
    stdout: str = ""


def failure_outcome(diagnosis: str, step: FailedStep | None, service_failure: str | None) -> RunOutcome:
    """The verdict on an engine that ended with an error: the service's own failure counts before the step's."""
    if service_failure is not None:
        return RunOutcome(state=RunState.SYSTEM_ERROR, reason=f"The run could not go on: {service_failure}")
    if step is not None:
        return RunOutcome(state=RunState.EXECUTOR_ERROR, reason=failed_step_message(step))
    return RunOutcome(state=RunState.EXECUTOR_ERROR, reason=diagnosis)


def success_outcome(count: int, outputs: JsonObject) -> tuple[str, tuple[str, ...]]:
    """The reason of a COMPLETE run in which `count` tasks ran, and further lines for its system log."""
    if count:
        return f"The run is complete: {count} task{'' if count == 1 else 's'} ran.", ()
    if any(value not in (None, [], {}, "") for value in outputs.values()):
        return "The run is complete: no task ran, as the engine did all of it or found it done.", ()
    line = (
        f"{WARNING}the workflow ended without a task and without outputs: it found nothing to do. Look whether its "
        "inputs are where it looks for them, and whether the patterns for their names fit; attach what is missing."
    )
    return "The run is complete: no task ran.", (line,)


def failed_task(tasks: Iterable[Task]) -> Task | None:
    """The first task that failed and was not tried again; of many tasks, only those that failed are kept."""
    newest: dict[str, int] = {}
    failed: list[Task] = []
    for task in tasks:
        newest[_step(task)] = max(task.attempt, newest.get(_step(task), 0))
        failed += [task] if _failed(task) else []
    return next((task for task in failed if task.attempt == newest[_step(task)]), None)


def _failed(task: Task) -> bool:
    return task.state in {TaskState.EXECUTOR_ERROR, TaskState.SYSTEM_ERROR, TaskState.PREEMPTED}


def _step(task: Task) -> str:
    return (task.body.get("tags") or {}).get(TAG_STEP, task.name)


def failed_step_message(step: FailedStep) -> str:
    """Names the step, its exit code and its task, by the id that this service knows it by, and the cause."""
    task = step.task
    code = exit_code(task.document)
    ended = f"with exit code {code}" if code is not None else f"in TES state {task.state.value}"
    head = f"Step '{task.name}' failed {ended} (task {task.id})"
    # Funnel ends a failed step as SYSTEM_ERROR where an output is missing: an exit code tells more than the state.
    explanation = _by_step(step, code) if code else _by_tes(task) or telling_lines(step.stderr)
    return f"{head}: {explanation}" if explanation else f"{head}; it wrote nothing to stdout or stderr"


def _by_step(step: FailedStep, code: int) -> str:
    """Its own words. What the TES noted of a step that ran says how it ran, not why it failed."""
    explanation = telling_lines(step.stderr) or step.task.reason or _from_stdout(step.stdout)
    meaning = MEANINGS.get(code, "")
    return f"{meaning}: {explanation}" if meaning and explanation else meaning or explanation


def _from_stdout(text: str) -> str:
    explanation = telling_lines(text)
    return f"it wrote nothing to stderr; the end of its stdout: {explanation}" if explanation else ""


def _by_tes(task: Task) -> str:
    text = task.reason or "; ".join(system_logs(task.document)[-2:])
    return text + _advice(text)


def _advice(text: str) -> str:
    """Where a TES, in the words of the standard, has less than the step asks for."""
    named = next((one for one in STEP_RESOURCES if f"resources.{one.field}" in text), None)
    if named is None:
        return ""
    has = HAS.search(text)
    setting = named.limit_text(float(has[1])) if has else named.limit_parameter
    return f". The engine parameter {setting} would lower what steps ask for"


def telling_lines(text: str) -> str:
    """The end of a log, with the line that names a Java exception where only its stack is there."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if not STACK.match(lines[-1] if lines else ""):
        return tail(text)
    first = next((index for index in range(len(lines) - 1, -1, -1) if not STACK.match(lines[index])), 0)
    causes = [line for line in lines[: first + 1] if EXCEPTION.match(line)][-1:]
    return "\n".join(dict.fromkeys([*causes, lines[first], *lines[first + 1 :][: LAST_LINES - 2]]))[:LONGEST_TAIL]


def tail(text: str) -> str:
    """The last lines that are not empty."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-LAST_LINES:])[-LONGEST_TAIL:]
