"""Handlers of notifications: what others were, or are still to be, told of the ends of the caller's runs.

Those of others are not there: neither in lists nor for who knows an id.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from wes_service.api.middleware import caller_of
from wes_service.api.operations import Handler
from wes_service.api.responses import json_response
from wes_service.services.notifications import NotificationReader
from wes_service.services.runs import PAGE_SIZE


@dataclass(frozen=True, kw_only=True)
class NotificationHandlers:
    """One method per operation of `openapi/wes.yaml`; all of them are additions to the standard."""

    reader: NotificationReader

    def page(
        self,
        request: Request,
        page_size: int = PAGE_SIZE,
        page_token: str = "",
        run_id: str | None = None,
        state: str | None = None,
    ) -> Response:
        """Newest first, of all runs or of one, in any state or in one."""
        owner = caller_of(request.scope).owner
        return json_response(self.reader.page(owner, page_size, page_token, run_id, state))

    def redeliver(self, request: Request, notification_id: str) -> Response:
        """Under the same id, as a receiver may have forgotten it or be mended."""
        return json_response(self.reader.redeliver(caller_of(request.scope).owner, notification_id))

    def operations(self) -> dict[str, Handler]:
        """By operationId."""
        return {"ListNotifications": self.page, "RedeliverNotification": self.redeliver}
