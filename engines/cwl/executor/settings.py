"""The settings of one run of cwltool, from the file that the adapter wrote."""

from dataclasses import dataclass
from pathlib import Path

from engines.kit.program import RunContext
from engines.kit.reports import StepProgress
from engines.kit.settings import RunSettings


@dataclass(frozen=True, kw_only=True)
class CwlSettings(RunSettings):
    """See `RunSettings`.

    `max_retries`: how often a task is sent again that the TES lost or that ended with one of its temporary-failure
    codes. `on_error` is `stop` or `continue`. `expression_timeout`: seconds that one JavaScript expression may take.
    """

    max_retries: int
    on_error: str
    expression_timeout: int

    @property
    def steps(self) -> Path:
        """A folder for each step's outputs lies in here."""
        return self.work / "steps"

    @property
    def outputs(self) -> Path:
        """The outputs of the workflow itself."""
        return self.work / "outputs"

    @property
    def empty(self) -> Path:
        """A folder that stays empty, which stands for every empty directory."""
        return self.executor_folder / "empty"

    @property
    def literals(self) -> Path:
        """Files that the workflow made of texts."""
        return self.executor_folder / "literals"

    def make_folders(self) -> None:
        super().make_folders()
        for folder in (self.steps, self.empty, self.literals):
            folder.mkdir(parents=True, exist_ok=True)


CwlRun = RunContext[CwlSettings, StepProgress]
