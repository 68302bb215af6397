"""Which workers have fallen silent, judged by their heartbeats alone. No two clocks are ever compared.

A worker's lease is the number of its heartbeats in the store. Whoever wants to take its runs over must have watched
that number stand still for as long as a lease lasts, on a clock of its own that only ever counts seconds. So the clocks
of machines need not agree and may be set at any time.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass

from wes_service.core.run import RunState

Beats = int | None
"""How many heartbeats a worker has had; None: it has left in order, or the store never knew it."""
MOST_LOSSES = 3
"""A run that has lost so many workers may be what ends them."""
DRAIN_SIGNAL = signal.SIGUSR1
"""To a worker, and to `wes up`: begin no more runs, and end when those that run have ended."""


def worker_id_prefix(host: str, pid: int) -> str:
    """What the id of a worker begins with, by its process; the rest is random, as numbers of processes come again."""
    return f"{host}-{pid}-"


@dataclass(frozen=True, kw_only=True)
class HeartbeatSilence:
    """A worker's number of heartbeats, and for how long (s) it was seen to stand still.

    `lives`: it has beaten, or claimed its first run, while it was watched; else it may have been gone before.
    """

    beats: Beats
    silence: float = 0.0
    lives: bool = False


@dataclass(frozen=True, kw_only=True)
class HeartbeatObservation:
    """What one worker knows of the others, and when (s, its own clock) it looked last."""

    looked: float
    sightings: Mapping[str, HeartbeatSilence]


NO_OBSERVATION = HeartbeatObservation(looked=0.0, sightings={})


def observe(
    before: HeartbeatObservation, beats: Mapping[str, Beats], now: float, longest_step: float
) -> HeartbeatObservation:
    """The next observation.

    One look adds at most `longest_step` (s) of silence: who was suspended, or could not reach the database, did not
    watch meanwhile, and whoever it watches may have been in the same state and gets its turn to beat.
    """
    step = min(now - before.looked, longest_step)
    return HeartbeatObservation(
        looked=now,
        sightings={
            worker: _seen(before.sightings.get(worker), number, step, first=before == NO_OBSERVATION)
            for worker, number in beats.items()
        },
    )


def _seen(before: HeartbeatSilence | None, beats: Beats, step: float, *, first: bool) -> HeartbeatSilence:
    if before is None:
        return HeartbeatSilence(beats=beats, lives=not first)
    if before.beats != beats:
        return HeartbeatSilence(beats=beats, lives=True)
    return HeartbeatSilence(beats=beats, silence=before.silence + step, lives=before.lives)


def doubtful_workers(observation: HeartbeatObservation, lease_seconds: float) -> set[str]:
    """Those of whom it is not known yet whether they live: they were there at the first look and have not beaten since,
    or are silent for half a lease. Each of them is known to live, or is silent, within a lease."""
    return {
        worker
        for worker, sighting in observation.sightings.items()
        if sighting.beats is not None
        and sighting.silence <= lease_seconds
        and (not sighting.lives or sighting.silence > lease_seconds / 2)
    }


def silent_workers(observation: HeartbeatObservation, lease_seconds: float) -> dict[str, Beats]:
    """Those that were silent for longer than a lease lasts, or have left; the number must not have changed since."""
    return {
        worker: sighting.beats
        for worker, sighting in observation.sightings.items()
        if sighting.beats is None or sighting.silence > lease_seconds
    }


def only_ends(state: RunState, losses: int) -> bool:
    """Whether whoever takes a run over only has to end it, for which it needs neither a slot nor the engine."""
    return state is RunState.CANCELING or losses >= MOST_LOSSES


def take_over_line(before: str, beats: Beats, after: str, epoch: int) -> str:
    """What a run's log says of its next attempt, by the worker `after` in place of `before`."""
    what = "was lost (killed, or its machine went down)" if beats is not None else "was stopped"
    return f"The worker {before} {what}; the worker {after} goes on with the run, attempt {epoch}."
