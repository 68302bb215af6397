"""The settings of one run, from the file that the adapter wrote."""

from dataclasses import dataclass
from pathlib import Path

from engines.cwl.executor.base_settings import BaseSettings, read_as


@dataclass(frozen=True, kw_only=True)
class RunSettings(BaseSettings):
    """See `BaseSettings`.

    `on_error` is `stop` or `continue`; `retries` how often a failed job is tried again where its rule does not say;
    `max_threads` 0 means no limit. `nested_image` is for rules that need Snakemake itself inside their task and name no
    image; `environment` is where Snakemake is on this machine, which such a task uses if it sees that folder. `conda`:
    whether `conda:` counts.
    """

    environment: Path
    nested_image: str
    targets: str
    retries: int
    latency_wait: int
    max_threads: int
    on_error: str
    conda: bool

    @property
    def config_file(self) -> Path:
        return self.own / "config.json"

    @property
    def output_object(self) -> Path:
        return self.own / "outputs.json"

    @property
    def target_names(self) -> tuple[str, ...]:
        """Rules and files to make; none means the workflow's default."""
        return (*self.targets.split(), *([self.fragment] if self.fragment else []))


def read_settings(path: Path) -> RunSettings:
    """As `base_settings.read_as`."""
    return read_as(RunSettings, path)
