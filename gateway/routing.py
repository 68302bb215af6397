"""Which TES a task goes to: by what its run asks for, what it needs, where its inputs are, then cost and load. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from common.configuration import SHARED, TesServer, tes_choices
from common.errors import WesError
from common.location import REMOTE, file_path_of, file_url
from common.step_resources import CPU, DISK, MEMORY, StepResource
from tes.task import TesResources, TesTask
from wes_service.core.run_log import SENT_TO

Beginnings = Sequence[tuple[str, tuple[str, ...]]]
"""Of the URLs that each server has, by its name."""
LONGEST_SHOWN = 300
"""Characters of an input's name."""
NOBODY: Mapping[str, str] = MappingProxyType({})


class Unroutable(WesError):
    """No TES can have the task, now or later; the sentence names what each of them lacks."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A TES as this worker knows it; the numbers are of tasks that this worker sent there."""

    server: TesServer
    open_tasks: int = 0
    sent: int = 0
    """Since the worker started."""
    is_sick: bool = False
    """Whether it gave no answer again and again, and is not to be tried yet."""

    @property
    def name(self) -> str:
        """The server's."""
        return self.server.name

    @property
    def is_full(self) -> bool:
        """Whether it has as many tasks as it may have at once."""
        return self.server.max_tasks is not None and self.open_tasks >= self.server.max_tasks


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A TES that can have the task, and why it is this one: empty where there is no other."""

    name: str
    reason: str = ""

    def after(self, silent: Sequence[str]) -> "Offer":
        """The offer once others, which come before it, gave no answer."""
        return replace(self, reason=f"{SENT_TO}{self.name}: no answer from {', '.join(silent)}") if silent else self


@dataclass(frozen=True, kw_only=True)
class Route:
    """Whom to offer the task to, the best first. Where that is nobody, `full` says that there is no room yet."""

    offers: tuple[Offer, ...] = ()
    full: str = ""


def brings_nothing(url: str) -> bool:
    """As where no input comes by way of this service."""
    del url
    return False


def route(
    task: TesTask,
    candidates: Sequence[Candidate],
    choice: str = "",
    excluded: Mapping[str, str] = NOBODY,
    brings: Callable[[str], bool] = brings_nothing,
) -> Route:
    """Where the task can go; `Unroutable` where that is nowhere.

    `choice` is what its run asks for: the name of a TES, or a label as `site=hospital`; empty for none. `excluded`
    holds the servers that it is not offered to, each with why. `brings` tells of a URL whether a TES that does not
    read that kind can be given what is there.
    """
    pinned = _pinned(task, candidates)
    lacking: dict[str, str] = {}
    brought: dict[str, str] = {}
    for one in candidates:
        unread = _unread(task, one)
        why = (
            _exclusion(one, choice, excluded)
            or _too_small(task, one, candidates)
            or _data_elsewhere(one, pinned)
            or next((_unreadable(url, one) for url in unread if not brings(url)), "")
        )
        if why:
            lacking[one.name] = why
        elif unread:
            brought[one.name] = _unreadable(unread[0], one)
    able = [one for one in candidates if one.name not in lacking]
    if not able:
        named = [one for one in candidates if not choice or choice in one.server.choices]
        raise Unroutable(_apart(pinned, candidates) or _nowhere(candidates, lacking, choice) + _advice(task, named))
    free = sorted((one for one in able if not one.is_full), key=lambda one: _rank(one, brought))
    if not free:
        counts = ", ".join(f"{one.name} has {one.open_tasks} of at most {one.server.max_tasks} tasks" for one in able)
        return Route(full=f"no TES that can have it has room: {counts}")
    passed = [*lacking.values(), *(f"{one.name} is full" for one in able if one.is_full)]
    return Route(offers=tuple(Offer(name=one.name, reason=_reason(one, free, passed, choice, brought)) for one in free))


def _rank(one: Candidate, brought: Mapping[str, str]) -> tuple[bool, bool, float, float, float]:
    """Those that answer, and read all inputs as they are, the cheapest of them, the one with least to do for its
    weight, each in its turn."""
    weight = one.server.weight
    return one.is_sick, one.name in brought, one.server.cost, one.open_tasks / weight, one.sent / weight


def _reason(
    chosen: Candidate, free: Sequence[Candidate], passed: Sequence[str], choice: str, brought: Mapping[str, str]
) -> str:
    by_us = [f"{brought[chosen.name]}: this service sees to it"] if chosen.name in brought else []
    if choice:
        return f"{SENT_TO}{chosen.name}: {'; '.join([f'the run asks for {choice}', *by_us])}"
    alike = [one for one in free if one is not chosen and (one.name in brought) == bool(by_us)]
    unlike = [brought[one.name] for one in free if one.name in brought and not by_us]
    why = [*passed, *unlike, *by_us, *([_preference(chosen, alike)] if alike else [])]
    return f"{SENT_TO}{chosen.name}: {'; '.join(why)}" if why else ""


def _preference(chosen: Candidate, others: Sequence[Candidate]) -> str:
    if not chosen.is_sick and all(one.is_sick for one in others):
        return f"{_listed(others)} did not answer of late"
    if any(one.server.cost != chosen.server.cost for one in others):
        return f"cost {chosen.server.cost:g}, {', '.join(f'{one.name} {one.server.cost:g}' for one in others)}"
    return f"{chosen.open_tasks} open tasks, {', '.join(f'{one.name} {one.open_tasks}' for one in others)}"


def _exclusion(one: Candidate, choice: str, excluded: Mapping[str, str]) -> str:
    if choice and choice not in one.server.choices:
        return f"{one.name} is not {choice}"
    return excluded.get(one.name, "")


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """One of tesResources against what a server has."""

    resource: StepResource
    asked: Callable[[TesResources], float]
    most: Callable[[TesServer], float | None]

    def is_exceeded(self, asked: TesResources, server: TesServer) -> bool:
        """Whether the server has less than that."""
        most = self.most(server)
        return most is not None and self.asked(asked) > most


_LIMITS = (
    _Limit(resource=CPU, asked=lambda it: it.get("cpu_cores") or 0, most=lambda server: server.max_cpu),
    _Limit(resource=MEMORY, asked=lambda it: it.get("ram_gb") or 0, most=lambda server: server.max_ram_gb),
    _Limit(resource=DISK, asked=lambda it: it.get("disk_gb") or 0, most=lambda server: server.max_disk_gb),
)


def _exceeded(task: TesTask, server: TesServer) -> list[_Limit]:
    asked = task.get("resources") or {}
    return [limit for limit in _LIMITS if limit.is_exceeded(asked, server)]


def _too_small(task: TesTask, one: Candidate, candidates: Sequence[Candidate]) -> str:
    asked, server = task.get("resources") or {}, one.server
    for limit in _exceeded(task, server):
        return f"asks {limit.asked(asked):g} {limit.resource.unit}, {server.name} has at most {limit.most(server):g}"
    # Where somebody says where GPUs are, they are nowhere else.
    if (wanted := _gpus(asked)) > (server.max_gpu or 0) and any(each.server.max_gpu is not None for each in candidates):
        return f"asks {wanted} gpu, {server.name} has {f'at most {server.max_gpu}' if server.max_gpu else 'none'}"
    return ""


def _gpus(resources: TesResources) -> int:
    """The standard has no word for them; executors of ours tell their number as a backend parameter."""
    text = str((resources.get("backend_parameters") or {}).get("gpu") or "0").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1


@dataclass(frozen=True, kw_only=True)
class _PinnedInput:
    """An input that only some servers have."""

    shown: str
    places: frozenset[str]


def _pinned(task: TesTask, candidates: Sequence[Candidate]) -> Sequence[_PinnedInput]:
    """One for each set of places that differs."""
    held, mapped = _beginnings(candidates, lambda one: one.holds), _beginnings(candidates, lambda one: one.data)
    shared = frozenset(one.name for one in candidates if one.server.storage == SHARED)
    found: dict[frozenset[str], _PinnedInput] = {}
    for item in (task.get("inputs") or []) if held or mapped else ():
        # The gateway has written each in the one spelling that there is; many tasks have thousands of them.
        url = (item.get("url") or "").rstrip("/") + "/"
        places = _places(url, held)
        if not places and (reads := _places(url, mapped)):
            # One that shares our folders has the same files; to any other they would have to be sent.
            places = reads | shared
        if places and places not in found:
            shown = str(file_path_of(url) or url.rstrip("/"))
            found[places] = _PinnedInput(shown=shown[:LONGEST_SHOWN], places=places)
    return list(found.values())


def _beginnings(candidates: Sequence[Candidate], places: Callable[[TesServer], Iterable[Path | str]]) -> Beginnings:
    found = [(one.name, tuple(_beginning(str(place)) for place in places(one.server))) for one in candidates]
    return [(name, beginnings) for name, beginnings in found if beginnings]


def _places(url: str, beginnings: Beginnings) -> frozenset[str]:
    return frozenset(name for name, each in beginnings if url.startswith(each))


def _beginning(place: str) -> str:
    """Of URLs of what is there: it ends where a part of the path does."""
    return (file_url(Path(place)) if place.startswith("/") else place).rstrip("/") + "/"


def _data_elsewhere(one: Candidate, pinned: Sequence[_PinnedInput]) -> str:
    missing = next((each for each in pinned if one.name not in each.places), None)
    return f"reads {missing.shown}, which is at {' and '.join(sorted(missing.places))}" if missing else ""


def _unread(task: TesTask, one: Candidate) -> Sequence[str]:
    """Inputs by URLs of kinds that the server does not read; files of the run are the gateway's to bring."""
    urls = (item.get("url") or "" for item in task.get("inputs") or [])
    return [url for url in urls if (kind := url.partition("://")[0]) in REMOTE and not one.server.can_read(kind)]


def _unreadable(url: str, one: Candidate) -> str:
    kinds = one.server.reads
    readable = f"only {' and '.join(kinds)}" if kinds else "nothing by a URL" if kinds is not None else "no drs"
    return f"reads {url[:LONGEST_SHOWN]}, {one.name} reads {readable}"


def _apart(pinned: Sequence[_PinnedInput], candidates: Sequence[Candidate]) -> str:
    """Of inputs that no server has together; empty where one has them all."""
    if not pinned or any(not _data_elsewhere(one, pinned) for one in candidates):
        return ""
    places = ", and ".join(f"{one.shown}, which is at {' and '.join(sorted(one.places))}" for one in pinned)
    return f"it reads {places}: no TES has all of it"


def _nowhere(candidates: Sequence[Candidate], lacking: Mapping[str, str], choice: str) -> str:
    named = [one for one in candidates if not choice or choice in one.server.choices]
    why = "; ".join(dict.fromkeys(lacking[one.name] for one in named))
    if not choice:
        return f"no TES can have it: {why}"
    there = ", ".join(tes_choices(one.server for one in candidates)) or "none"
    return f"the run asks for the TES {choice}: {why or f'there is {there}'}"


def _advice(task: TesTask, candidates: Sequence[Candidate]) -> str:
    """How the run may ask for less, by the server that lacks the least; empty where size is not what any of them
    lacks."""
    lacks = [(one.server, exceeded) for one in candidates if (exceeded := _exceeded(task, one.server))]
    if not lacks:
        return ""
    server, exceeded = min(lacks, key=lambda pair: (len(pair[1]), [-(one.most(pair[0]) or 0) for one in pair[1]]))
    settings = " ".join(limit.resource.limit_text(limit.most(server) or 0) for limit in exceeded)
    return f". The engine parameter{'s' if len(exceeded) > 1 else ''} {settings} would lower what steps ask for"


def _listed(candidates: Sequence[Candidate]) -> str:
    return ", ".join(one.name for one in candidates)
