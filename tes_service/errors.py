"""What can go wrong in the embedded TES, beneath the project's one tree of errors (common.errors).

WesError
├── InvalidRequest / InvalidField     400
│   └── UnsupportedMedia              415
├── NotFound / NoSuchTask             404
├── TaskFault                         the task ends in SYSTEM_ERROR with this sentence in its system log
├── AttemptLost                       the attempt ended with the server; the task may be run again
└── TaskStopped                       the task was canceled, or the server is being shut down
"""

from common.errors import InvalidRequest, NotFound, WesError


class NoSuchTask(NotFound):
    """There is no task with this id."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class UnsupportedMedia(InvalidRequest):
    """The body of a request must be application/json."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TaskFault(WesError):
    """The server could not do its part of a task."""


class AttemptLost(WesError):
    """The server stopped while this task ran, and what ran of it ended too."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class TaskStopped(WesError):
    """The task was told to end."""
