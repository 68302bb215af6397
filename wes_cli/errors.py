"""What the command line says in one sentence before it exits with 2 (part of the one tree, `core.errors`).

ClientError
├── NoServer          nothing answers at the server's URL
├── ServerRefused     the server answered, but not with what was asked for
├── MissingFile       a workflow or its params refer to a file that is not there
└── Unusable          an argument or a document can't be used as it is
"""

from common.errors import WesError


class ClientError(WesError):
    """The command line could not do what was asked."""


class NoServer(ClientError):
    """Nothing answers at the server's URL; `passing` where it may, soon."""

    def __init__(self, url: str, problem: str, *, passing: bool = False) -> None:
        super().__init__(
            f"no WES answers at {url} ({problem}): start one with 'wes up', or name yours with --server URL"
        )
        self.passing = passing


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


class Unusable(ClientError):
    """An argument or a document can't be used as it is."""
