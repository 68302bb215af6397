"""Which runners this server has, found out once at its start, by trying and not by looking for programs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from common.errors import SettingsError
from sandbox.bubblewrap import probe, write_sandbox_files
from sandbox.identity import Identity
from tes_service.errors import TaskFault
from tes_service.processes import Spawner, TaskControl
from tes_service.runners.bubblewrap_runner import BubblewrapRunner
from tes_service.runners.container_engine import ContainerEngine, Images, engine_of, find_engine
from tes_service.runners.container_runner import ContainerRunner
from tes_service.runners.port import Runner, network_notes
from tes_service.runners.process_runner import ProcessRunner
from tes_service.runners.registry_access import pull_variables
from tes_service.settings import TesSettings
from tes_service.task_log import TaskLogWriter
from tes_service.task_request import TaskRequest

ENGINES = ("docker", "podman")
HINT = "; TES_IMAGE_FALLBACK=1 (wes up --image-fallback) runs such tasks with the programs of this machine instead"
RUNNER_ENTRY = "runner"
"""The entry of a task's metadata that names the runner which it got."""


@dataclass(frozen=True, kw_only=True)
class AvailableRunners:
    """`fallback` takes tasks whose image the first one can't have; None where the operator has not asked for that, and
    `hint` then says how. `former`: what an earlier server may have used, to end what is left of it."""

    first: Runner
    fallback: Runner | None = None
    hint: str = ""
    former: tuple[Runner, ...] = ()

    def choose(self, request: TaskRequest, control: TaskControl, task_log: TaskLogWriter) -> Runner:
        """Says in the task's log which one it is; `TaskFault` where the task can't run."""
        runner = self.first
        try:
            runner.prepare(request, control)
        except TaskFault as fault:
            if self.fallback is None:
                raise TaskFault(f"{fault}{self.hint}") from None
            task_log.note(str(fault))
            runner = self.fallback
        for line in (runner.about, *network_notes(runner, request)):
            task_log.note(line)
        if not runner.uses_images:
            for image in dict.fromkeys(executor["image"] for executor in request.executors):
                task_log.note(f"the image {image} was not used: programs of this machine ran in its place")
        task_log.add_metadata(RUNNER_ENTRY, runner.name)
        return runner

    def named(self, name: str | None) -> Runner | None:
        """The runner of that name, if this server has it or may have had it."""
        known = (self.first, self.fallback, *self.former)
        return next((one for one in known if one is not None and one.name == name), None)

    def sweep(self, held: Callable[[str], bool]) -> None:
        """As `Runner.sweep`."""
        for runner in (self.first, self.fallback):
            if runner is not None:
                runner.sweep(held)


@dataclass(frozen=True, kw_only=True)
class RunnerFinder:
    """`server`: the id by which this server knows its containers again."""

    settings: TesSettings
    identity: Identity
    spawner: Spawner
    server: str

    def find(self) -> AvailableRunners:
        """`SettingsError` where none works, or the one that is set does not."""
        former = tuple(self._runner(engine_of(program)) for program in ENGINES if shutil.which(program))
        return replace(self._found(), former=former)

    def _found(self) -> AvailableRunners:
        chosen = self.settings.runner
        if chosen in ENGINES:
            return AvailableRunners(first=self._needed_container(chosen))
        if chosen == "process":
            return AvailableRunners(first=self._process())
        sandbox, problem = self._bubblewrap()
        engine = None if chosen == "bubblewrap" else self._any_container()
        if engine is not None:
            return self._with_engine(engine, sandbox)
        if sandbox is not None:
            return AvailableRunners(first=sandbox)
        if chosen == "auto" and self.settings.unsandboxed:
            return AvailableRunners(first=self._process())
        raise SettingsError(f"no way to run tasks safely: {problem}; TES_UNSANDBOXED=1 runs them unprotected")

    def _with_engine(self, engine: Runner, sandbox: Runner | None) -> AvailableRunners:
        if sandbox is None:
            return AvailableRunners(first=engine)
        if self.settings.image_fallback:
            return AvailableRunners(first=engine, fallback=sandbox)
        return AvailableRunners(first=engine, hint=HINT)

    def _needed_container(self, program: str) -> Runner:
        found = self._container(program)
        if found is None:
            raise SettingsError(f"TES_RUNNER: {program} does not answer; try '{program} info'")
        return found

    def _any_container(self) -> Runner | None:
        return next((found for program in ENGINES if (found := self._container(program)) is not None), None)

    def _container(self, program: str) -> Runner | None:
        engine = find_engine(program)
        return None if engine is None else self._runner(engine)

    def _runner(self, engine: ContainerEngine) -> ContainerRunner:
        settings = self.settings
        access = pull_variables(engine.program, settings.registry_auth_file, settings.data / "registry")
        return ContainerRunner(
            engine=engine,
            images=Images(engine, settings.pull_seconds, access),
            spawner=self.spawner,
            identity=self.identity,
            server=self.server,
            network=self.settings.network,
        )

    def _bubblewrap(self) -> tuple[Runner | None, str]:
        found = probe(self.identity)
        if not found.works:
            return None, f"{found.problem} ({found.fix})"
        files = write_sandbox_files(self.settings.data / "sandbox")
        runner = BubblewrapRunner(
            spawner=self.spawner,
            identity=self.identity,
            features=found.features,
            files=files,
            programs=tuple(one.absolute() for one in self.settings.programs),
        )
        return runner, ""

    def _process(self) -> Runner:
        return ProcessRunner(spawner=self.spawner, identity=self.identity)
