"""What a run of Nextflow is started with: its arguments, its environment, its files."""

from collections.abc import Sequence
from pathlib import Path

from common.json_types import JsonObject

MAIN = "wes.nextflow.Main"
WORK = "nxf"
"""Nextflow's own work folder, in the run's."""
RESULTS = "results"
OWN = ".wes"
PARAMS = "params.json"
"""The params file, in the run's control folder."""
GA4GH = "nf-ga4gh"
CONTAINER_ENGINES = ("docker", "podman", "singularity", "apptainer", "charliecloud", "shifter", "sarus")
ELSEWHERE = ("wave", "fusion", "tower", "conda", "spack")


def nextflow_arguments(
    *, script: Path, configs: Sequence[Path], params: Path, work: Path, options: Sequence[str] = ()
) -> tuple[str, ...]:
    """What follows `nextflow` on a command line; the configs come after the workflow's own, and the last one wins."""
    log = work / OWN / "nextflow.log"
    added = [word for config in configs for word in ("-c", str(config))]
    run = ("run", str(script), "-ansi-log", "false", *added, "-params-file", str(params))
    return ("-log", str(log), *run, "-w", str(work / WORK), "-output-dir", str(work / RESULTS), *options)


def settings_document(
    *,
    tes_url: str,
    token_file: Path,
    default_image: str,
    parallel: int,
    work: Path,
    attachments: Path,
    project: Path,
    ga4gh: bool = False,
) -> JsonObject:
    """What the executor reads. `project`: the folder of the workflow's script. `ga4gh`: nf-ga4gh sends the tasks."""
    return {
        "tes_url": tes_url,
        "token_file": str(token_file),
        "default_image": default_image,
        "parallel": parallel,
        "work": str(work),
        "attachments": str(attachments),
        "project": str(project),
        "ga4gh": ga4gh,
    }


def config_text() -> str:
    """Tasks run in the TES's containers: nothing here may start one, or hand tasks to another service."""
    lines = [f"{name}.enabled = false" for name in (*CONTAINER_ENGINES, *ELSEWHERE)]
    return "".join(f"{line}\n" for line in [*lines, "docker.fixOwnership = false", "process.executor = 'tes'"])


def environment_of(
    work: Path, plugins: Path, plugin_ids: Sequence[str] = (), ga4gh: str | None = None
) -> dict[str, str]:
    """The whole environment; of Nextflow's plugins only those that are installed may be used. `ga4gh`: the version of
    nf-ga4gh that every run starts."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work / OWN / "home"),
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "LANG": "C.UTF-8",
        "NXF_HOME": str(work / OWN / "nextflow"),
        "NXF_PLUGINS_DIR": str(plugins),
        "NXF_PLUGINS_DEFAULT": f"{GA4GH}@{ga4gh}" if ga4gh else "false",
        "NXF_PLUGINS_ALLOWED": ",".join(plugin_ids),
        "NXF_OFFLINE": "true",
        "NXF_ANSI_LOG": "false",
        "NXF_DISABLE_CHECK_LATEST": "true",
        "NXF_ENABLE_SECRETS": "false",
        "NXF_EXECUTOR": "tes",
    }
