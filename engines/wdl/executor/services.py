"""What every part of a run gets to know, carried by miniwdl's own configuration."""

import logging
from dataclasses import dataclass
from pathlib import Path

from WDL.runtime import config

from engines.cwl.executor.progress import Progress
from engines.cwl.executor.tasks import Tasks
from engines.wdl.executor.settings import RunSettings

BACKEND = "tes"
"""As in `entry_points.txt`, which the recipe writes."""
REMOTE_NOT_READ: tuple[dict[str, object], dict[str, object]] = ({}, {})


@dataclass(frozen=True, kw_only=True)
class Services:
    """`root` is the folder of miniwdl's files, `target` the name of the workflow or task that runs."""

    settings: RunSettings
    tasks: Tasks
    progress: Progress
    root: Path
    target: str


class RunConfig(config.Loader):
    """miniwdl's settings for one run: no file and no environment variable has a say."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(logging.getLogger("miniwdl"), filenames=[], overrides=_overrides(settings))
        self.services = services
        # Files on the web are left to the TES; miniwdl's own downloads would be tasks in images of its choice.
        self._downloaders = REMOTE_NOT_READ


def _overrides(settings: RunSettings) -> dict[str, dict[str, object]]:
    return {
        "scheduler": {
            "container_backend": BACKEND,
            "task_concurrency": settings.parallel,
            "subworkflow_concurrency": settings.parallel,
            "fail_fast": settings.on_error == "stop",
            # Only the index is in a call's id, and so in its folder's name.
            "scatter_tag_max": 0,
        },
        "task_runtime": {
            "defaults": {"docker": settings.default_image, "maxRetries": settings.max_retries},
            # What a machine can take is the TES's to decide.
            "cpu_max": -1,
            "memory_max": -1,
        },
        "call_cache": {"put": False, "get": False},
        "download_cache": {"put": False, "get": False},
        # Importing the backends that are not used would take longer than the rest of the start.
        "plugins": {"enable_patterns": ["engines.wdl.*", "WDL.runtime.cache:*"]},
    }
