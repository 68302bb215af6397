"""Runs of Nextflow through `wes up`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.acceptance.stack import Wes, attachment
from tests.http_client import http
from tests.waiting import until


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that is over: its log and its tasks, oldest first."""

    run_id: str
    log: Mapping[str, Any]
    tasks: tuple[Mapping[str, Any], ...]

    @property
    def state(self) -> str:
        return str(self.log["state"])

    @property
    def system(self) -> list[str]:
        return list(self.log["run_log"]["system_logs"])

    @property
    def reason(self) -> str:
        return self.system[0]

    @property
    def outputs(self) -> Mapping[str, Any]:
        return dict(self.log["outputs"])

    def text(self, name: str) -> str:
        """The content of an output."""
        return http.get(self.outputs[name]["location"]).text

    def names(self) -> list[str]:
        return sorted(task["name"] for task in self.tasks)

    @property
    def stdout(self) -> str:
        """What the engine printed."""
        return http.get(self.log["run_log"]["stdout"]).text


@dataclass(frozen=True, kw_only=True)
class Nextflow:
    wes: Wes

    def submit(self, files: Mapping[str, str], **fields: Any) -> str:
        """`params` and `parameters` are objects; `workflow_url` is `main.nf` where no other is named."""
        form = {
            "workflow_type": "NFL",
            "workflow_type_version": "DSL2",
            "workflow_url": fields.pop("url", "main.nf"),
            "workflow_params": json.dumps(fields.pop("params", {})),
            "workflow_engine_parameters": json.dumps(fields.pop("parameters", {})),
            **fields,
        }
        return self.wes.submit(form, [attachment(name, text) for name, text in files.items()])

    def ended(self, run_id: str) -> Ended:
        log = self.wes.wait(run_id)
        tasks = self.wes.get(f"/runs/{run_id}/tasks")["task_logs"]
        return Ended(
            run_id=run_id, log=log, tasks=tuple(sorted(tasks, key=lambda task: str(task.get("start_time", ""))))
        )

    def run(self, workflow: str, files: Mapping[str, str] | None = None, **fields: Any) -> Ended:
        """Of `main.nf` and more files."""
        return self.ended(self.submit({"main.nf": workflow, **(files or {})}, **fields))

    def complete(self, workflow: str, files: Mapping[str, str] | None = None, **fields: Any) -> Ended:
        ended = self.run(workflow, files, **fields)
        assert ended.state == "COMPLETE", (ended.system, ended.stdout)
        return ended

    def task_states(self, run_id: str) -> list[str]:
        tasks = self.wes.get(f"/runs/{run_id}/tasks")["task_logs"]
        return [str(http.get(task["tes_uri"]).json()["state"]) for task in tasks]

    def wait_until_listed(self) -> "Nextflow":
        until(lambda: "nextflow" in self.wes.get("/service-info")["workflow_engine_versions"], self.wes.said)
        return self
