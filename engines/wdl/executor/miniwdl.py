"""miniwdl as this executor needs it: its configuration of a run, and what takes the place of parts of its own."""

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import WDL.runtime.task
import WDL.runtime.workflow
import WDL.StdLib
from WDL import Tree
from WDL.runtime import config
from WDL.runtime._workflow_state import StateMachine

from engines.kit.outputs_on_demand import is_withheld
from engines.wdl.executor.remote_files import DOWNLOADERS, opened, size_of, without_downloads
from engines.wdl.executor.settings import WdlContext, WdlSettings

BACKEND = "tes"
"""As in `entry_points.txt`, which the recipe writes."""


@dataclass(frozen=True, kw_only=True)
class WdlRun:
    """`root` is the folder of miniwdl's files, `target` the name of the workflow or task that runs."""

    context: WdlContext
    root: Path
    target: str


class RunConfig(config.Loader):
    """miniwdl's settings for one run: no file and no environment variable has a say."""

    def __init__(self, run: WdlRun) -> None:
        settings = run.context.settings
        super().__init__(logging.getLogger("miniwdl"), filenames=[], overrides=_overrides(settings))
        self.run = run
        self._downloaders = DOWNLOADERS


def _overrides(settings: WdlSettings) -> dict[str, dict[str, object]]:
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
            "defaults": {
                "docker": settings.default_image,
                "maxRetries": settings.max_retries,
                **settings.runtime_defaults,
            },
            # What a machine can take is the TES's to decide.
            "cpu_max": -1,
            "memory_max": -1,
        },
        "call_cache": {"put": False, "get": False},
        "download_cache": {"put": False, "get": False},
        # Importing the backends that are not used would take longer than the rest of the start.
        "plugins": {"enable_patterns": ["engines.wdl.*", "WDL.runtime.cache:*"]},
    }


class CountedStateMachine(StateMachine):
    """One workflow of the run; says how many tasks it has, as far as its scatters are known."""

    _counted = 0

    def step(self, cfg: RunConfig, stdlib: Any) -> Any:
        instructions = super().step(cfg, stdlib)
        if len(self.jobs) != self._counted:
            self._counted = len(self.jobs)
            calls = [job.node for job in self.jobs.values() if isinstance(job.node, Tree.Call)]
            tasks = sum(isinstance(call.callee, Tree.Task) for call in calls)
            cfg.run.context.progress.expect(self.run_dir, tasks)
        return instructions


def chmod_own_files(path: str, file_bits: int = 0, dir_bits: int = 0) -> None:
    """As miniwdl's own, for what belongs to this user: a TES may bring files back as another one.

    A file whose bytes are in a store stays one that nobody may read.
    """
    for folder, _, files in os.walk(path):
        _add_bits(folder, dir_bits)
        for name in files:
            _add_bits(f"{folder}/{name}", file_bits)


def _add_bits(path: str, bits: int) -> None:
    if not os.path.islink(path) and not is_withheld(path):  # noqa: PTH114
        with contextlib.suppress(PermissionError):
            os.chmod(path, (os.stat(path).st_mode & 0o7777) | bits)  # noqa: PTH101, PTH116


def install_replacements() -> None:
    """Puts them in place: miniwdl has no other way to do that."""
    replacements: list[tuple[Any, str, type | Callable[..., Any]]] = [
        (WDL.runtime.workflow, "StateMachine", CountedStateMachine),
        (WDL.runtime.workflow, "_download_workflow_input_files", without_downloads),
        (WDL.runtime.task, "_download_task_input_files", without_downloads),
        (WDL.runtime.task, "chmod_R_plus", chmod_own_files),
        (WDL.StdLib, "pathsize", size_of),
    ]
    for module, name, replacement in replacements:
        if not hasattr(module, name):
            raise AttributeError(f"this miniwdl has no {module.__name__}.{name}")
        setattr(module, name, replacement)
    # The functions that read files open them with Python's own one, for which this stands in that module.
    WDL.StdLib.open = opened
