"""Requests are checked against `openapi/wes.yaml`: its parameters and media types, compiled once per operation.

This stands where Connexion's own validation stood, which builds its validators anew for each request and reads a whole
body into memory. What a form holds is checked where it is read (`wes_service.api.forms`, `services.submission`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.operations import AbstractOperation

from common.errors import InvalidField
from wes_service.api.edge import AsgiApp, Receive, Scope, Send
from wes_service.api.errors import UnsupportedMediaType
from wes_service.core.known_names import not_known

QUERY = "wes.query"
PARAMETER = "query parameter"
LARGEST = 2**63 - 1
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")

Value = str | int | list[str]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What one operation of the document takes: query parameters by type, and media types of the body."""

    query: Mapping[str, str]
    media_types: frozenset[str]

    def read_query(self, text: str) -> dict[str, Value]:
        """The parameters by name; `InvalidField` names one that the document does not know, or of the wrong type.

        An array is given by repeating its name; of anything else the last value counts.
        """
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name not in self.query:
                raise not_known(PARAMETER, name, self.query)
            found.setdefault(name, []).append(value)
        return {name: _typed(name, values, self.query[name]) for name, values in found.items()}

    def check_media_type(self, content_type: str) -> None:
        """`UnsupportedMediaType` where a body has another type; no type is left to the reader of the body."""
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type and self.media_types and media_type not in self.media_types:
            wanted = " or ".join(sorted(self.media_types))
            raise UnsupportedMediaType(f"Content-Type: {media_type} is not taken here; send {wanted}")


def contract_of(operation: AbstractOperation) -> Contract:
    """The contract of an operation as Connexion read it, references resolved."""
    query = {p["name"]: str(p["schema"]["type"]) for p in operation.parameters if p["in"] == "query"}
    return Contract(query=query, media_types=frozenset(kind.lower() for kind in operation.consumes))


class CheckedOperation:
    """One operation behind its contract."""

    def __init__(self, contract: Contract, next_app: AsgiApp) -> None:
        self._contract = contract
        self._next = next_app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[QUERY] = self._contract.read_query(scope["query_string"].decode())
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        self._contract.check_media_type(content_type.decode("latin-1"))
        await self._next(scope, receive, send)


class ContractAPI(RoutedAPI[CheckedOperation]):  # type: ignore[misc]
    """All operations of one document."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> CheckedOperation:
        return CheckedOperation(contract_of(operation), self.next_app)


class ContractMiddleware(RoutedMiddleware[ContractAPI]):  # type: ignore[misc]
    """Connexion finds the operation, this checks the request, Flask answers it."""

    api_cls = ContractAPI


def _typed(name: str, values: Sequence[str], kind: str) -> Value:
    if kind == "array":
        return list(values)
    value = values[-1]
    if kind != "integer":
        return value
    if not _INTEGER.fullmatch(value) or abs(int(value)) > LARGEST:
        raise InvalidField(name, f"{value[:40]!r} is not an integer")
    return int(value)
