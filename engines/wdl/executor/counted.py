"""miniwdl's own parts with the differences of this executor."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import WDL.runtime.task
import WDL.runtime.workflow
from WDL import Tree
from WDL.runtime._workflow_state import StateMachine

from engines.wdl.executor.services import RunConfig


class CountedStateMachine(StateMachine):
    """One workflow of the run; says how many tasks it has, as far as its scatters are known."""

    _counted = 0

    def step(self, cfg: RunConfig, stdlib: Any) -> Any:
        instructions = super().step(cfg, stdlib)
        if len(self.jobs) != self._counted:
            self._counted = len(self.jobs)
            calls = [job.node for job in self.jobs.values() if isinstance(job.node, Tree.Call)]
            tasks = sum(isinstance(call.callee, Tree.Task) for call in calls)
            cfg.services.progress.know(self.run_dir, tasks)
        return instructions


def chmod_what_is_own(path: str, file_bits: int = 0, dir_bits: int = 0) -> None:
    """As miniwdl's own, for what belongs to this user: a TES may bring files back as another one."""
    for folder, _, files in os.walk(path):
        _add_bits(folder, dir_bits)
        for name in files:
            _add_bits(f"{folder}/{name}", file_bits)


def _add_bits(path: str, bits: int) -> None:
    if not os.path.islink(path):  # noqa: PTH114
        with contextlib.suppress(PermissionError):
            os.chmod(path, (os.stat(path).st_mode & 0o7777) | bits)  # noqa: PTH101, PTH116


def install() -> None:
    """Puts them in place: miniwdl has no other way to do that."""
    places: list[tuple[Any, str, type | Callable[..., None]]] = [
        (WDL.runtime.workflow, "StateMachine", CountedStateMachine),
        (WDL.runtime.task, "chmod_R_plus", chmod_what_is_own),
    ]
    for module, name, ours in places:
        if not hasattr(module, name):
            raise AttributeError(f"this miniwdl has no {module.__name__}.{name}")
        setattr(module, name, ours)
