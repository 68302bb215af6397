"""What the gateway counts as it goes, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter

NO_TES = "none"
"""Where a task has not been handed to a TES yet."""


class Tally:
    """What the gateway counts as it goes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wes_tes_requests", "Requests to a TES", ("tes", "request", "outcome"), registry=self.registry
        )
        self._moves = Counter(
            "wes_task_moves", "How often a task came into a state", ("tes", "state"), registry=self.registry
        )

    def asked(self, tes: str, request: str, outcome: str) -> None:
        """`request` is create, get, cancel or service-info; `outcome` is ok, refused or unreachable (HTTP 5xx too)."""
        self._requests.labels(tes, request, outcome).inc()

    def moved(self, tes: str | None, state: str) -> None:
        """A task of that TES came into a state."""
        self._moves.labels(tes or NO_TES, state).inc()
