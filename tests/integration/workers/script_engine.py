"""An engine that is a few lines of Python: it hands tasks to its TES and waits for them, as every engine does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.engine import EngineCommand, EngineEnd, EngineJob, EngineParameter, Installation, RunFolder
from common.errors import EngineError
from common.json_types import Json
from engines.results import read_outputs

PRELUDE = """
import json, os, sys, time, urllib.request
settings = json.load(open(sys.argv[1]))
token = open(settings["token_file"]).read()

def ask(path, body=None):
    request = urllib.request.Request(settings["tes_url"] + path, data=body and json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + token, "Content-Type": "application/json", "Prefer": "wait=5"})
    return json.load(urllib.request.urlopen(request, timeout=30))

def submit(name, **fields):
    executor = {"image": "debian", "command": ["true"]}
    return ask("/tasks", {"name": name, "executors": [executor], "tags": {"wes.step_key": name}, **fields})["id"]

def finish(task):
    while True:
        state = ask("/tasks/" + task)["state"]
        if state in ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"):
            return state

def step(name, **fields):
    state = finish(submit(name, **fields))
    if state != "COMPLETE":
        sys.exit("step " + name + " ended as " + state)

def outputs(**values):
    json.dump(values, open("outputs.json", "w"))

"""


@dataclass
class ScriptEngine:
    """Runs the workflow document as Python, after a prelude with `step`, `submit`, `finish` and `outputs`."""

    name: str = "script"
    aliases: tuple[str, ...] = ()
    folder_name: str = "script"
    workflow_type: str = "SCRIPT"
    type_aliases: tuple[str, ...] = ()
    type_versions: tuple[str, ...] = ("1.0",)
    parameters: tuple[EngineParameter, ...] = ()

    def command(self, job: EngineJob) -> EngineCommand:
        if job.workflow.suffix != ".py":
            raise EngineError(f"{job.workflow.name} is not a script")
        settings = {"tes_url": job.tes_url, "token_file": str(job.token_file), "params": job.params}
        document = job.workflow.relative_to(job.folder.seen.attachments)
        program = PRELUDE + (job.folder.attachments / document).read_text()
        control = job.folder.seen.control
        return EngineCommand(
            argv=("/usr/bin/python3", str(control / "program.py"), str(control / "settings.json")),
            environment={"PATH": "/usr/bin:/bin"},
            files={"settings.json": json.dumps(settings), "program.py": program},
        )

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return read_outputs(folder, folder.work / "outputs.json")

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:  # noqa: ARG002 - as the port says
        lines = end.stderr.strip().splitlines()
        return f"The script failed: {lines[-1] if lines else f'exit code {end.exit_code}'}"


def installed() -> Iterator[Installation]:
    """The script engine needs nothing but the system's Python."""
    yield Installation(engine="script", version="1.0", environment=Path("/usr/share"))
