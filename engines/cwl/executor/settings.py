"""The settings of one run of cwltool, from the file that the adapter wrote."""

import math
from collections.abc import Mapping
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
    `max_cores` and `max_ram` (MiB): the most that a step gets; None for any.
    """

    max_retries: int
    on_error: str
    expression_timeout: int
    max_cores: float | None
    max_ram: float | None

    def granted(self, asked: Mapping[str, float]) -> dict[str, float]:
        """What `$(runtime.cores)` and the like are, for what a tool asks by ResourceRequirement (cwltool's names)."""
        granted = {
            "cores": _at_most(asked["coresMin"], self.max_cores),
            "ram": math.ceil(_at_most(asked["ramMin"], self.max_ram)),
            "tmpdirSize": math.ceil(asked["tmpdirMin"]),
            "outdirSize": math.ceil(asked["outdirMin"]),
        }
        if "cudaDeviceCountMin" in asked:
            granted["cudaDeviceCount"] = asked["cudaDeviceCountMin"]
        return granted

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


def _at_most(amount: float, limit: float | None) -> float:
    return amount if limit is None else min(amount, limit)


CwlRun = RunContext[CwlSettings, StepProgress]
