"""A fetcher that has what it is asked for, or fails as it is told."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from common.errors import FetchStopped, WesError
from wes_service.core.workflow import FetchedWorkflow, FetchRequest, WebDocument


@dataclass(kw_only=True)
class FakeFetcher:
    """`pages`: by URL, the text of a document. `slow`: waits until it is stopped."""

    pages: Mapping[str, str] = field(default_factory=dict)
    problem: WesError | None = None
    slow: bool = False
    orders: list[FetchRequest] = field(default_factory=list)

    def fetch(self, order: FetchRequest, stopped: Callable[[], bool]) -> FetchedWorkflow:
        self.orders.append(order)
        while self.slow:
            if stopped():
                raise FetchStopped(FetchStopped.__doc__)
            time.sleep(0.01)
        if self.problem:
            raise self.problem
        assert isinstance(order.workflow, WebDocument)
        name = order.workflow.url.rpartition("/")[2]
        (order.root / "attachments" / name).write_text(self.pages[order.workflow.url])
        return FetchedWorkflow(name=name, source={"url": order.workflow.url, "files": 1}, lines=("It was fetched.",))
