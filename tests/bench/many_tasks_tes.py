"""A TES that does nothing but answer fast: tasks by the ten thousand, whose states the benchmark sets.

`python -m tests.bench.many_tasks_tes PORT`. Beside what TES has there are `POST /seed`, `POST /bench`, which moves the
oldest `number` tasks in state `before` to `after`, and `GET /bench`: when each task came and ended (monotonic clock),
by the id that the gateway gave it, and how many requests there were.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tes.task import TAG_GATEWAY, TAG_TASK, TASK_TERMINAL

LARGEST_PAGE = 2047


@dataclass(kw_only=True)
class ManyTasks:
    """The tasks by id, in the order in which they came."""

    states: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    came: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    async def create(self, request: Request) -> Response:
        self.requests["create"] += 1
        body = json.loads(await request.body())
        tes_id = str(len(self.states))
        self.states[tes_id], self.tags[tes_id] = "QUEUED", body.get("tags") or {}
        self.came[self.tags[tes_id].get(TAG_TASK, "")] = time.monotonic()
        return JSONResponse({"id": tes_id})

    async def get(self, request: Request) -> Response:
        view = request.query_params.get("view")
        self.requests[f"get {view}"] += 1
        tes_id = request.path_params["task_id"]
        document: dict[str, Any] = {"id": tes_id, "state": self.states[tes_id]}
        if view == "FULL":
            log = {"start_time": "2026-01-01T00:00:00Z", "stdout": "a line\n" * 20}
            document["logs"] = [{"logs": [{**log, "exit_code": 0, "end_time": log["start_time"]}], "outputs": []}]
        return JSONResponse(document)

    async def page(self, request: Request) -> Response:
        self.requests["list"] += 1
        asked = request.query_params
        size, begin = min(LARGEST_PAGE, int(asked["page_size"])), int(asked.get("page_token") or 0)
        found = [
            tes_id
            for tes_id, state in self.states.items()
            if state == asked["state"] and self.tags[tes_id].get(asked["tag_key"]) == asked["tag_value"]
        ]
        tasks = [{"id": tes_id, "state": asked["state"]} for tes_id in found[begin : begin + size]]
        token = {"next_page_token": str(begin + size)} if begin + size < len(found) else {}
        return JSONResponse({"tasks": tasks, **token})

    async def seed(self, request: Request) -> Response:
        """So many tasks that are there already, by turns RUNNING and QUEUED; our ids are of one pattern."""
        asked = await request.json()
        for n in range(asked["number"]):
            self.states[str(n)] = "QUEUED" if n % 2 else "RUNNING"
            self.tags[str(n)] = {TAG_TASK: f"task-{n:06}", TAG_GATEWAY: asked["gateway"]}
        return JSONResponse({})

    async def move(self, request: Request) -> Response:
        asked = await request.json()
        moved = [tes_id for tes_id, state in self.states.items() if state == asked["before"]][: asked["number"]]
        for tes_id in moved:
            self.states[tes_id] = asked["after"]
            if asked["after"] in TASK_TERMINAL:
                self.ended[self.tags[tes_id].get(TAG_TASK, "")] = time.monotonic()
        return JSONResponse({"moved": len(moved)})

    async def told(self, _request: Request) -> Response:
        return JSONResponse({"came": self.came, "ended": self.ended, "requests": self.requests})


def main() -> None:
    tasks, base = ManyTasks(), "/ga4gh/tes/v1"
    routes = [
        Route(f"{base}/tasks", tasks.create, methods=["POST"]),
        Route(f"{base}/tasks", tasks.page, methods=["GET"]),
        Route(f"{base}/tasks/{{task_id}}:cancel", lambda _: JSONResponse({}), methods=["POST"]),
        Route(f"{base}/tasks/{{task_id}}", tasks.get, methods=["GET"]),
        Route("/seed", tasks.seed, methods=["POST"]),
        Route("/bench", tasks.move, methods=["POST"]),
        Route("/bench", tasks.told, methods=["GET"]),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
