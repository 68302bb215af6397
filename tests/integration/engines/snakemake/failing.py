"""Run by the engine's own Python: many workflows that fail, each in a fork of one process, as starting costs most.

`python failing.py FOLDER` reads `cases.json` of it (name to files), and prints, by name, the sentence that the user
gets, and the error that it was made of (see `recorded`).
"""

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engines.kit.program import RunContext
from engines.kit.reports import FailureReport, JobProgress
from engines.kit.tasks import RunningTasks
from engines.kit.tes_client import TesClient
from engines.snakemake.executor import run as executor
from engines.snakemake.executor.failure import explained as explain
from engines.snakemake.executor.settings import SnakemakeSettings

FIELDS = ("snakefile", "lineno", "rule", "filename", "msg")
WORKFLOW = "Snakefile"


def main(folder: Path) -> None:
    """Forks for each case, one after the other."""
    cases = json.loads((folder / "cases.json").read_text())
    for number, name in enumerate(cases):
        process = os.fork()
        if process == 0:
            with contextlib.suppress(BaseException):
                one(folder / str(number), cases[name])
            os._exit(0)
        os.waitpid(process, 0)
    found = {name: _told(folder / str(number)) for number, name in enumerate(cases)}
    print(json.dumps(found, indent=1))


def one(root: Path, files: Mapping[str, str]) -> None:
    """Runs one workflow; its failure, and what it was made of, are in its folder afterwards."""
    for name, text in files.items():
        path = root / "attachments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    settings = _settings(root)
    settings.make_folders()
    os.chdir(settings.work)

    def explained(error: BaseException, linemaps: Any, origin: Any) -> str:
        (root / "error.json").write_text(json.dumps(recorded(error, linemaps, origin), default=str))
        return explain(error, linemaps, origin)

    vars(executor)["explained"] = explained
    tasks = RunningTasks(TesClient("http://127.0.0.1:9/none", "none", patience=0), print)
    context = RunContext(
        settings=settings,
        tasks=tasks,
        failures=FailureReport(settings.failure),
        progress=JobProgress(settings.progress),
    )
    with (root / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        executor.run_workflow(context)


def recorded(error: BaseException, linemaps: Any, origin: Any) -> dict[str, Any]:
    """All of an error that a sentence is made of."""
    place = None
    with contextlib.suppress(Exception):
        place = origin(error, linemaps)
    return {
        "module": type(error).__module__,
        "type": type(error).__name__,
        "kind": next(kind.__name__ for kind in (SyntaxError, OSError, Exception) if isinstance(error, kind)),
        "message": str(error),
        "fields": {name: value for name in FIELDS if (value := getattr(error, name, None)) is not None},
        "origin": place,
        "include": [recorded(inner, linemaps, origin) for inner in getattr(error, "_include", ())],
        "linemaps": _lines_of(error, place, linemaps),
    }


def _lines_of(error: BaseException, place: Any, linemaps: Any) -> dict[str, dict[int, int]]:
    """As much of them as is looked at."""
    lines = {getattr(error, "lineno", None), place[0] if place else None}
    return {file: {line: own for line, own in known.items() if line in lines} for file, known in linemaps.items()}


def _told(root: Path) -> dict[str, Any]:
    def shown(text: str) -> Any:
        return json.loads(text.replace(f"{root}/attachments", "/r").replace(str(root), "/run"))

    failure, error = root / "work/.wes/failure.json", root / "error.json"
    if not failure.exists():
        return {"sentence": (root / "log").read_text()[-2000:], "error": None}
    told = shown(failure.read_text())
    # What follows from a failed step is no cause.
    return {"sentence": told["sentence"], "error": shown(error.read_text()) if told["kind"] == "workflow" else None}


def _settings(root: Path) -> SnakemakeSettings:
    (root / "work").mkdir(parents=True)
    return SnakemakeSettings(
        workflow=root / "attachments" / WORKFLOW,
        fragment=None,
        params={},
        attachments=root / "attachments",
        work=root / "work",
        tes_url="http://127.0.0.1:9/none",
        token_file=root / "none",
        default_image="none:1",
        parallel=1,
        environment=Path(sys.prefix),
        nested_image="none:2",
        targets="",
        retries=0,
        latency_wait=0,
        max_threads=0,
        on_error="stop",
        conda=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
