"""The settings of one run of miniwdl, from the file that the adapter wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.kit.files import new_folder
from engines.kit.program import RunContext
from engines.kit.reports import StepProgress
from engines.kit.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class WdlSettings(RunSettings):
    """See `RunSettings`.

    `fragment` names a task to run in place of the document's workflow. `readable`: folders besides `attachments` and
    `work` whose files inputs may name. `max_retries`: how often a task is tried again that does not say so itself.
    `on_error` is `stop` or `finish`. `coerce`: whether inputs are taken as Cromwell takes them. `runtime_defaults`: for
    runtime sections, by name. `options`: an attachment with Cromwell's workflow options.
    """

    readable: tuple[Path, ...]
    max_retries: int
    on_error: str
    check_quant: bool
    coerce: bool = False
    runtime_defaults: Mapping[str, Any] = field(default_factory=dict)
    options: str | None = None

    @property
    def passed_on(self) -> Path:
        """Copies of inputs that the workflow gives out as they are."""
        return self.work / "outputs"

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders whose files the workflow may name."""
        return (self.attachments, self.work, *self.readable)

    def new_run_folder(self) -> Path:
        """For miniwdl's own files; a run that is started again must find an empty one."""
        return new_folder(self.work, "run")


WdlContext = RunContext[WdlSettings, StepProgress]
