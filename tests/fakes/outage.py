"""A database that goes away and comes back, in front of any store."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from common.errors import StoreUnavailable

Store = TypeVar("Store")


@dataclass(kw_only=True)
class Outage:
    """While `away` is set every call fails. A call that is named in `lost` is done, and its answer is lost, once."""

    away: threading.Event = field(default_factory=threading.Event)
    lost: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def of(self, store: Store) -> Store:
        """The store behind the outage."""
        return cast("Store", _Behind(self, store))

    def call(self, name: str, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.calls.append(name)
        if self.away.is_set():
            raise StoreUnavailable
        result = method(*given, **named)
        if name in self.lost and result is not None:
            self.lost.remove(name)
            raise StoreUnavailable
        return result


class _Behind:
    def __init__(self, outage: Outage, store: object) -> None:
        self._outage = outage
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *given, **named: self._outage.call(name, method, *given, **named)
