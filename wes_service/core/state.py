"""The states of a run and the one table of their transitions (WES 1.1.0, schema State)."""

from enum import StrEnum


class RunState(StrEnum):
    """Every state of the standard; this server never answers UNKNOWN, PAUSED or PREEMPTED."""

    UNKNOWN = "UNKNOWN"
    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETE = "COMPLETE"
    EXECUTOR_ERROR = "EXECUTOR_ERROR"
    SYSTEM_ERROR = "SYSTEM_ERROR"
    CANCELED = "CANCELED"
    CANCELING = "CANCELING"
    PREEMPTED = "PREEMPTED"


TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset({RunState.INITIALIZING, RunState.CANCELING, RunState.SYSTEM_ERROR}),
    RunState.INITIALIZING: frozenset(
        {RunState.RUNNING, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELING}
    ),
    RunState.RUNNING: frozenset(
        {RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELING}
    ),
    RunState.CANCELING: frozenset({RunState.CANCELED}),
}

TERMINAL = frozenset({RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.SYSTEM_ERROR, RunState.CANCELED})
"""Nothing ever leaves these."""

HELD = frozenset({RunState.INITIALIZING, RunState.RUNNING, RunState.CANCELING})
"""A worker may hold a lease on a run in one of these."""


def may_move(before: RunState, after: RunState) -> bool:
    """Whether the table allows it."""
    return after in TRANSITIONS.get(before, frozenset())
