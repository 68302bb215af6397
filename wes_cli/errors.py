"""Errors of the command line: each message is printed before it exits with 2. Part of the tree in `common.errors`.

ClientError
├── ServerUnreachable          nothing answers at the server's URL
├── ServerRefused     the server answered, but not with what was asked for
├── MissingFile       a workflow or its params refer to a file that is not there
└── InvalidArgument          an argument or a document can't be used as it is
"""

from common.errors import WesError


class ClientError(WesError):
    """The command line could not do what was asked."""


class ServerUnreachable(ClientError):
    """Nothing answers at the server's URL; `transient` where it may soon."""

    def __init__(self, url: str, problem: str, *, transient: bool = False) -> None:
        super().__init__(
            f"no WES answers at {url} ({problem}): start one with 'wes up', or name yours with --server URL"
        )
        self.transient = transient


class ServerRefused(ClientError):
    """The server answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class MissingFile(ClientError):
    """A workflow or its params refer to a file that is not there."""

    def __init__(self, path: object, referrer: str, near: str = "") -> None:
        meant = f" (did you mean {near}?)" if near else ""
        super().__init__(f"{path} does not exist; {referrer} refers to it{meant}")


class InvalidArgument(ClientError):
    """An argument or a document can't be used as it is."""
