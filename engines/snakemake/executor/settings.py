"""The settings of one run of Snakemake, from the file that the adapter wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engines.kit.program import RunContext
from engines.kit.reports import JobProgress
from engines.kit.settings import RunSettings

DEFAULT_PARALLEL = 64
DEFAULT_LATENCY_WAIT = 5
"""Where nothing is submitted: a profile's settings count then."""


@dataclass(frozen=True, kw_only=True)
class SnakemakeSettings(RunSettings):
    """See `RunSettings`.

    `on_error` is `stop` or `continue`; `retries` how often a failed job is tried again where its rule does not say;
    `max_threads` 0 means no limit. `nested_image` is for rules that need Snakemake itself, or its Python, inside their
    task and name no image; `environment` is where Snakemake is on this machine, which such a task uses if it sees that
    folder. `conda`: whether `conda:` counts. `profile`: its name or folder; empty for the workflow's default one.
    `snakemake_options`: words of options of Snakemake's own, such as `set-threads`. `configfiles`: more of the config,
    the last one wins.
    """

    environment: Path
    nested_image: str
    targets: str
    retries: int
    latency_wait: int
    max_threads: int
    on_error: str
    conda: bool
    profile: str = ""
    snakemake_options: Mapping[str, list[str]] = field(default_factory=dict)
    configfiles: tuple[Path, ...] = ()

    @property
    def config_file(self) -> Path:
        """`workflow_params` as Snakemake's `config`."""
        return self.executor_folder / "config.json"

    @property
    def modules_file(self) -> Path:
        """The archive of Snakemake's modules for scripts in Python."""
        return self.executor_folder / "snakemake.zip"

    @property
    def target_names(self) -> tuple[str, ...]:
        """Rules and files to make; none means the workflow's default."""
        return (*self.targets.split(), *([self.fragment] if self.fragment else []))


SnakemakeRun = RunContext[SnakemakeSettings, JobProgress]
