"""The settings of one run, from the file that the adapter wrote."""

from dataclasses import dataclass
from pathlib import Path

from .base_settings import BaseSettings, read_as


@dataclass(frozen=True, kw_only=True)
class RunSettings(BaseSettings):
    """See `BaseSettings`.

    `on_error` is `stop` or `continue`, `max_retries` how often a task that the TES lost or that ended with one of its
    temporary-failure codes is sent again.
    """

    max_retries: int
    on_error: str
    expression_timeout: int

    @property
    def scratch(self) -> Path:
        return self.own / "tmp"

    @property
    def steps(self) -> Path:
        return self.work / "steps"

    @property
    def outputs(self) -> Path:
        return self.work / "outputs"

    @property
    def output_object(self) -> Path:
        return self.work / "cwl.output.json"

    @property
    def empty(self) -> Path:
        """A folder that stays empty, which stands for every empty directory."""
        return self.own / "empty"

    @property
    def literals(self) -> Path:
        return self.own / "literals"

    def make_folders(self) -> None:
        super().make_folders()
        for folder in (self.steps, self.empty, self.literals):
            folder.mkdir(parents=True, exist_ok=True)


def read_settings(path: Path) -> RunSettings:
    """As `base_settings.read_as`."""
    return read_as(RunSettings, path)
