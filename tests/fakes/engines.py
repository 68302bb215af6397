"""Engines that are only described."""

from dataclasses import dataclass, field

from common.engine import Engine, EngineCommand, EngineEnd, EngineJob, EngineParameter, RunFolder
from common.json_types import Json


@dataclass(kw_only=True)
class FakeEngine:
    """Would run `true`."""

    name: str
    workflow_type: str
    type_versions: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    folder_name: str = ""
    type_aliases: tuple[str, ...] = ()
    parameters: tuple[EngineParameter, ...] = field(default_factory=tuple)

    def command(self, job: EngineJob) -> EngineCommand:
        return EngineCommand(argv=("true", job.run_id))

    def outputs(self, folder: RunFolder) -> dict[str, Json]:
        return {"folder": folder.root.name}

    def diagnose(self, folder: RunFolder, end: EngineEnd) -> str:
        return f"{folder.root.name} ended with {end.exit_code}"


CWLTOOL = FakeEngine(
    name="cwltool",
    aliases=("cwl-tes",),
    folder_name="cwl",
    workflow_type="CWL",
    type_versions=("v1.0", "v1.1", "v1.2"),
    parameters=(
        EngineParameter(name="parallel", type="int", default="64", description="steps at once", minimum=1),
        EngineParameter(name="debug", type="boolean", default="false", description="say more"),
        EngineParameter(name="share", type="float", default="0.5", description="of the disk", minimum=0),
        EngineParameter(
            name="cache", type="string", default="none", description="what to keep", choices=("none", "all")
        ),
    ),
)
SNAKEMAKE = FakeEngine(
    name="snakemake",
    folder_name="snakemake",
    workflow_type="SMK",
    type_aliases=("snakemake",),
    type_versions=("9", "1.0"),
)
FAKE_ENGINES: tuple[Engine, ...] = (CWLTOOL, SNAKEMAKE)
