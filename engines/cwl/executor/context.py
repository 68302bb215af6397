"""What every part of a run gets to know, carried by cwltool's own context."""

from dataclasses import dataclass

from cwltool.context import RuntimeContext

from .failure import Failures
from .progress import Progress
from .settings import RunSettings
from .step import PathElement
from .tasks import Tasks

OUTDIR = "/var/spool/cwl"
STAGEDIR = "/var/lib/cwl"


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: RunSettings
    tasks: Tasks
    failures: Failures
    progress: Progress


class StepContext(RuntimeContext):
    """`step_path` is the way from the workflow to the step that this copy of the context is for."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        super().__init__(
            {
                "basedir": str(settings.attachments),
                "outdir": str(settings.outputs),
                "tmpdir_prefix": f"{settings.scratch}/",
                "tmp_outdir_prefix": f"{settings.scratch}/",
                "docker_outdir": OUTDIR,
                "docker_stagedir": STAGEDIR,
                "rm_tmpdir": False,
                "move_outputs": "move",
                "on_error": settings.on_error,
                "eval_timeout": float(settings.expression_timeout),
            }
        )
        self.services = services
        self.step_path: tuple[PathElement, ...] = ()

    def create_tmpdir(self) -> str:
        """One for all: nothing is ever staged in the engine."""
        return str(self.services.settings.scratch)

    def create_outdir(self) -> str:
        """For what is not a tool; a tool gets a folder of its own."""
        return str(self.services.settings.scratch)
