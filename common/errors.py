"""The one tree of errors; `wes_service.api.errors` has the one table that maps them to HTTP.

WesError
├── InvalidRequest            the caller must change the request
│   ├── InvalidField          names the field
│   ├── InvalidLocation       a path or URL that can't be used
│   ├── TooLarge              a configured limit
│   └── IdempotencyConflict   the same key with another body
│       └── KeyOfDeletedRun   the same key, but its run was deleted
├── NotFound
│   ├── RunNotFound
│   ├── TaskNotFound
│   ├── NotificationNotFound
│   └── ObjectNotFound
├── ObjectUnchanged           an object is still the one that is known
├── Unauthorized              no credentials, or wrong ones
├── Forbidden                 the caller may not do this
├── StaleClaim                another worker holds the run now
├── MoveRefused               the state table does not allow it
├── RunNotEnded               a run that goes on can't be deleted
├── EngineError               the workflow or a step failed: EXECUTOR_ERROR
├── SystemFailure             the service failed: SYSTEM_ERROR
│   ├── EngineNotInstalled
│   ├── DiskFull
│   ├── StoreUnavailable      the database can't be used now, but may be later
│   ├── ObjectStoreFailure    an object store gives no answer, or none that helps
│   │   └── ObjectStoreRefused    it says no to these credentials
│   └── TesUnavailable
├── UnreadableDocument        a workflow or params document does not parse
├── FetchStopped              the fetch of a workflow was told to stop
└── SettingsError             the operator must change a setting
"""


class WesError(Exception):
    """Something that this service says in words."""


class InvalidRequest(WesError):
    """The request can't be taken as it is."""


class InvalidField(InvalidRequest):
    """A field of the request can't be taken as it is."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class InvalidLocation(InvalidRequest):
    """A path or URL that is none, or not one that tasks can use."""


class TooLarge(InvalidRequest):
    """A part of the request is over a configured limit."""


class IdempotencyConflict(InvalidRequest):
    """This Idempotency-Key was used before with another request; use a new key for a new run."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class KeyOfDeletedRun(IdempotencyConflict):
    """This Idempotency-Key started a run that was deleted since."""

    def __init__(self, run_id: str, deleted: str) -> None:
        InvalidRequest.__init__(
            self,
            f"This Idempotency-Key started the run {run_id}, which was deleted at {deleted}, so nothing was started "
            "now; use a new key to run it again.",
        )


class NotFound(WesError):
    """There is no such thing, or it is not the caller's."""


class RunNotFound(NotFound):
    """There is no such run."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TaskNotFound(NotFound):
    """There is no such task in this run."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NotificationNotFound(NotFound):
    """There is no such notification."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class LogNotFound(NotFound):
    """There is no such log or file in this run."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class ObjectUnchanged(WesError):
    """The object is still the one that is known."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url} has not changed")


class ObjectNotFound(NotFound):
    """There is no such object in the store."""

    def __init__(self, url: str) -> None:
        super().__init__(f"there is no object {url}")


class Unauthorized(WesError):
    """A valid bearer token is needed."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Forbidden(WesError):
    """The caller may not do this."""


class StaleClaim(WesError):
    """Another worker holds this run now."""


class MoveRefused(WesError):
    """The state table does not allow this move."""


class RunNotEnded(WesError):
    """A run that goes on can't be deleted."""

    def __init__(self, run_id: str, state: str) -> None:
        super().__init__(
            f"The run is {state}: cancel it first (POST /runs/{run_id}/cancel), delete it once it has ended."
        )


class RunNotResumable(WesError):
    """This run can't be resumed."""


class EngineError(WesError):
    """The workflow could not be run as it is written, or a step failed."""


class SystemFailure(WesError):
    """The service could not do its part."""


class EngineNotInstalled(SystemFailure):
    """The engine that this run needs is not installed here."""


class DiskFull(SystemFailure):
    """There is not enough free disk for another run."""


class StoreUnavailable(SystemFailure):
    """The database can't be used at the moment; try again soon."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TesUnavailable(SystemFailure):
    """No configured TES takes tasks."""


class ObjectStoreFailure(SystemFailure):
    """The object store gives no answer, or none that helps; the same request may work later."""

    def __init__(self, root: str, reason: str) -> None:
        super().__init__(f"the object store {root} does not do what it was asked: {reason}")


class ObjectStoreRefused(ObjectStoreFailure):
    """The object store refuses the credentials that [stores] names, or what they ask for."""

    def __init__(self, root: str, reason: str) -> None:
        SystemFailure.__init__(self, f"the object store {root} refuses it: {reason} (see [stores] for its credentials)")


class UnreadableDocument(WesError):
    """A document can't be read, or does not parse."""


class FetchStopped(WesError):
    """The fetch was told to stop."""


class SettingsError(WesError):
    """A setting is missing or wrong."""
