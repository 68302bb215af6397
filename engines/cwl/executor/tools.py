"""cwltool's processes with the differences of this executor: names, images, and folders of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cwltool.command_line_tool import CommandLineTool, ExpressionTool
from cwltool.errors import UnsupportedRequirement
from cwltool.process import shortname
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.workflow import Workflow, WorkflowStep, default_make_tool

from engines.cwl.executor.extensions import check_extensions
from engines.cwl.executor.folders import new_output_folder
from engines.cwl.executor.job import TesJob
from engines.kit.reports import report
from engines.kit.task_document import StepElement, step_name


def tool_maker(default_image: str) -> Callable[..., Any]:
    """Makes the process of a document; `default_image` is for tools that name none."""

    class ImageTool(TesCommandLineTool):
        image = default_image

    kinds = {"CommandLineTool": ImageTool, "ExpressionTool": LoggedExpressionTool, "Workflow": NumberedWorkflow}

    def make(document: Any, context: Any) -> Any:
        check_extensions(document)
        kind = kinds.get(document.get("class")) if hasattr(document, "get") else None
        return kind(document, context) if kind else default_make_tool(document, context)

    return make


def tool_count(process: Any) -> int:
    """How many tools a process runs, as far as its document tells: a scatter counts once."""
    if isinstance(process, Workflow):
        return sum(tool_count(step.embedded_tool) for step in process.steps)
    return int(isinstance(process, CommandLineTool))


class TesCommandLineTool(CommandLineTool):
    """Without an image its paths would be those of the engine's machine, so that every tool gets one."""

    image: str

    def __init__(self, document: Any, context: Any) -> None:
        super().__init__(document, context)
        if self.get_requirement("DockerRequirement")[0] is None:
            self.hints.insert(0, {"class": "DockerRequirement", "dockerPull": self.image})

    def make_job_runner(self, runtimeContext: Any) -> type[TesJob]:  # noqa: ARG002, N803
        return TesJob

    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Iterator[Any]:  # noqa: N803
        context = runtimeContext.copy()
        path = context.step_path or (StepElement(name=tool_name(self.tool)),)
        context.name = step_name(path)
        context.outdir = str(new_output_folder(context.run.settings.steps, context.name))
        for job in super().job(job_order, output_callbacks, context):
            job.run_context = context.run
            job.path = path
            job.image = self._image()
            job.network = None if self.metadata.get(ORIGINAL_CWLVERSION) == "v1.0" else job.networkaccess
            job.streamable = frozenset(shortname(each["id"]) for each in self.tool["inputs"] if each.get("streamable"))
            yield job

    def _image(self) -> str:
        requirement = self.get_requirement("DockerRequirement")[0] or {}
        image = requirement.get("dockerPull") or requirement.get("dockerImageId")
        if not image:
            raise UnsupportedRequirement(
                "a DockerRequirement without dockerPull: images are not built or loaded here, push it to a registry"
            )
        return str(image)


class LoggedExpressionTool(ExpressionTool):
    """Runs inside the engine, and says so."""

    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Iterator[Any]:  # noqa: N803
        path = runtimeContext.step_path or (StepElement(name=tool_name(self.tool)),)
        report(f"[job {step_name(path)}] is an expression: it runs inside the engine")
        yield from super().job(job_order, output_callbacks, runtimeContext)


class NamedWorkflowStep(WorkflowStep):
    """Adds itself to the path that the context carries."""

    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Iterator[Any]:  # noqa: N803
        context = runtimeContext.copy()
        index = getattr(context, "scatter_index", None)
        repeated = "scatter" in self.tool or self.tool.get("loop")
        indices = (index,) if repeated and index is not None else ()
        element = StepElement(name=shortname(self.id), indices=indices)
        context.step_path = (*context.step_path, element)
        context.scatter_index = None
        yield from super().job(job_order, output_callbacks, context)


class NumberedWorkflow(Workflow):
    """Its steps know their index in a scatter, which cwltool does not tell them."""

    def make_workflow_step(self, toolpath_object: Any, pos: int, loadingContext: Any, *more: Any) -> Any:  # noqa: N803
        check_extensions(toolpath_object)
        return NamedWorkflowStep(toolpath_object, pos, loadingContext, *more)

    def job(self, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Iterator[Any]:  # noqa: N803
        jobs = super().job(job_order, output_callbacks, runtimeContext)
        # cwltool yields the workflow itself first, its steps made but not yet started.
        workflow = next(jobs)
        for step in workflow.steps:
            step.job = numbered(step.job)
        yield workflow
        yield from jobs


def numbered(make: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Counts the calls: cwltool makes the jobs of a scatter in order, and runs them later."""
    count = -1

    def job(job_order: Any, output_callback: Any, runtime_context: Any) -> Iterator[Any]:
        nonlocal count
        count += 1
        context = runtime_context.copy()
        context.scatter_index = count
        return make(job_order, output_callback, context)

    return job


def tool_name(tool: Any) -> str:
    """What a tool that is run by itself is called: its own id, or its file without the ending."""
    url = urlsplit(str(tool.get("id", "")))
    name = url.fragment.rpartition("/")[2] or Path(unquote(url.path)).stem
    return name if name and not str(tool.get("id", "")).startswith("_:") else "tool"
