"""The settings of one run, from the file that the adapter wrote."""

from dataclasses import dataclass
from pathlib import Path

from engines.cwl.executor.base_settings import BaseSettings, read_as


@dataclass(frozen=True, kw_only=True)
class RunSettings(BaseSettings):
    """See `BaseSettings`.

    `fragment` names a task where not the document's workflow is wanted. `readable`: folders besides `attachments` and
    `work` whose files inputs may name. `max_retries`: how often a task is tried again that does not say so itself.
    `on_error` is `stop` or `finish`.
    """

    readable: tuple[Path, ...]
    max_retries: int
    on_error: str
    check_quant: bool

    @property
    def output_object(self) -> Path:
        return self.work / "wdl.output.json"

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
        number = 1
        while True:
            folder = self.work / ("run" if number == 1 else f"run~{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                number += 1
                continue
            return folder


def read_settings(path: Path) -> RunSettings:
    """As `base_settings.read_as`."""
    return read_as(RunSettings, path)
