"""One attempt at a task as a TES task: miniwdl's container backend."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from WDL import Error, Type, Value
from WDL.runtime import config
from WDL.runtime.error import Interrupted, Terminated
from WDL.runtime.task_container import TaskContainer

from engines.kit.files import is_remote
from engines.kit.reports import StepState, report
from engines.kit.task_document import StepPath, step_name
from engines.kit.tasks import RunStopped, TaskOutcome
from engines.kit.tes_client import TesRefused, TesUnreachable
from engines.wdl.executor.localization import localized
from engines.wdl.executor.miniwdl import RunConfig
from engines.wdl.executor.runtime import disks_of, gpu_count, resources_of, return_codes, volumes_of
from engines.wdl.executor.settings import WdlContext
from engines.wdl.executor.step import CONTAINER, Step, StreamFiles, step_path

UNLIMITED: Mapping[str, int] = {"cpu": 1, "mem_bytes": 1}
"""What WDL 1.2's `task.cpu` and `task.memory` say where the task asks for nothing: it is not known."""
TAKEN_AS_IT_IS = ("disks", "continueOnReturnCode", "gpuCount")
ANY_IMAGE: tuple[object, ...] = ("*", ["*"])


class TesContainer(TaskContainer):
    """miniwdl makes one per call, and counts the attempts in `try_counter`."""

    cfg: RunConfig
    input_path_map: dict[str, str]

    @classmethod
    def global_init(cls, cfg: config.Loader, logger: logging.Logger) -> None:
        """Nothing: the TES is there or a task says that it is not."""

    @classmethod
    def detect_resource_limits(cls, cfg: config.Loader, logger: logging.Logger) -> dict[str, int]:  # noqa: ARG003
        return dict(UNLIMITED)

    def __init__(self, cfg: config.Loader, run_id: str, host_dir: str) -> None:
        self._adopted: Path | None = None
        super().__init__(cfg, run_id, host_dir)
        self.container_dir = CONTAINER

    @property
    def context(self) -> WdlContext:
        """The run's."""
        return self.cfg.run.context

    @property
    def path(self) -> StepPath:
        """Of the call that this attempt belongs to."""
        return step_path(self.cfg.run.root, Path(self.host_dir), self.cfg.run.target)

    def add_paths(self, host_paths: Iterable[str]) -> None:
        paths = list(host_paths)
        for path in paths:
            if not is_remote(path) and not os.path.exists(path.rstrip("/")):  # noqa: PTH110
                raise Error.InputError(f"the input {path} is not there")
        self.input_path_map = localized(paths, self.input_path_map)
        self.input_path_map_rev = {target: path for path, target in self.input_path_map.items()}

    def process_runtime(self, logger: logging.Logger, runtime_eval: dict[str, Value.Base]) -> None:
        runtime = _with_return_codes(_with_image(runtime_eval, self.context.settings.default_image))
        super().process_runtime(logger, {name: value for name, value in runtime.items() if name != "gpu"})
        if "inlineDockerfile" in self.runtime_values:
            raise Error.RuntimeError("runtime.inlineDockerfile: images are not built here, push it to a registry")
        try:
            self.runtime_values.update(_with_cromwells_words(runtime))
        except ValueError as error:
            raise Error.RuntimeError(str(error)) from error

    def host_work_dir(self) -> str:
        return str(self._adopted or Path(self.host_dir, f"work{self._number}"))

    def host_path(self, container_path: str, inputs_only: bool = False) -> str | None:
        source = self.input_path_map_rev.get(container_path, container_path if inputs_only else "")
        # It is the task's to fetch; see `remote_files` for what an expression asks of it.
        return source if is_remote(source) else super().host_path(container_path, inputs_only)

    def host_stdout_txt(self) -> str:
        return str(Path(self.host_work_dir()).parent / f"stdout{self._number}.txt")

    def host_stderr_txt(self) -> str:
        return str(Path(self.host_work_dir()).parent / f"stderr{self._number}.txt")

    def reset(self, logger: logging.Logger) -> None:
        self._adopted = None
        super().reset(logger)

    def run(self, logger: logging.Logger, command: str) -> None:
        if not command.strip():
            report(f"[job {step_name(self.path)}] has no command: it runs inside the engine")
            self.context.progress.step(self.host_dir, StepState.DONE)
        super().run(logger, command)

    def _run(self, logger: logging.Logger, terminating: Callable[[], bool], command: str) -> int:
        del logger
        step = self._step(command)
        self.context.progress.step(self.host_dir, StepState.RUNNING)
        try:
            outcome = self._outcome(step)
        except RunStopped:
            raise Terminated(quiet=True) from None
        except (TesRefused, TesUnreachable) as error:
            self.context.progress.step(self.host_dir, StepState.FAILED)
            raise Error.RuntimeError(f"could not be sent: {error}") from error
        succeeded = self._succeeded(outcome)
        if not succeeded:
            self.context.progress.step(self.host_dir, StepState.FAILED)
            self._explain(step, outcome, terminating)
        else:
            self.context.progress.step(self.host_dir, StepState.CACHED if self._adopted else StepState.DONE)
        return outcome.exit_code

    def _outcome(self, step: Step) -> TaskOutcome:
        work = Path(self.host_work_dir())
        if step.long:
            step.script.write_text(step.command)
        streams = StreamFiles(stdout=Path(self.host_stdout_txt()), stderr=Path(self.host_stderr_txt()))
        outcome = self.context.tasks.run(step.task(work, streams))
        folder = outcome.output_folder_in(self.context.settings.work)
        self._adopted = folder if folder != work else None
        return outcome

    def _succeeded(self, outcome: TaskOutcome) -> bool:
        return not (outcome.lost or outcome.canceled) and bool(self.success_exit_code(outcome.exit_code))

    def _explain(self, step: Step, outcome: TaskOutcome, terminating: Callable[[], bool]) -> None:
        """Leaves the reason for `failure`; raises where the command itself did not fail."""
        if terminating():
            raise Terminated(quiet=True)
        sentence = outcome.sentence(step.name)
        report(sentence)
        self.failure_info = {
            "sentence": sentence,
            "step": step.name,
            "task_id": outcome.task_id,
            "exit_code": outcome.exit_code,
        }
        if outcome.lost or outcome.canceled:
            raise Interrupted(sentence, more_info=self.failure_info)

    def _step(self, command: str) -> Step:
        runtime = self.runtime_values
        return Step(
            path=self.path,
            command=command,
            script=Path(self.host_dir, f"command{self._number}"),
            image=runtime["docker"],
            environment=runtime.get("env", {}),
            inputs=self.input_path_map,
            resources=resources_of(runtime, self.try_counter),
            volumes=volumes_of(runtime),
            attempt=self.try_counter,
            ignore_error="returnCodes" in runtime,
        )

    @property
    def _number(self) -> str:
        return str(self.try_counter) if self.try_counter > 1 else ""


def _with_image(runtime: dict[str, Value.Base], default: str) -> dict[str, Value.Base]:
    """`"*"` means that any image will do (WDL 1.2, container): then the default one does."""
    any_image = {name for name in ("docker", "container") if name in runtime and runtime[name].json in ANY_IMAGE}
    return {name: Value.String(default) if name in any_image else value for name, value in runtime.items()}


def _with_return_codes(runtime: dict[str, Value.Base]) -> dict[str, Value.Base]:
    """The standard's `returnCodes` wins where a task has Cromwell's word for it too."""
    if "continueOnReturnCode" not in runtime or "returnCodes" in runtime:
        return runtime
    codes = return_codes(runtime["continueOnReturnCode"].json)
    return {**runtime, "returnCodes": Value.from_json(Type.Any(), codes)}


def _with_cromwells_words(runtime: dict[str, Value.Base]) -> dict[str, Any]:
    """What miniwdl itself does not look at; `ValueError` for what makes no sense."""
    given = {name: value.json for name, value in runtime.items()}
    values: dict[str, Any] = {
        name: given[name] for name in ("disks", "continueOnReturnCode", "gpuCount") if name in given
    }
    if "disks" in given:
        disks_of(given["disks"])
    if "zones" in given:
        zones = given["zones"]
        values["zones"] = zones.split() if isinstance(zones, str) else list(zones)
    if "gpu" in given or "gpuCount" in given:
        values["gpu"] = gpu_count(given.get("gpu"), given.get("gpuCount"))
    return values
