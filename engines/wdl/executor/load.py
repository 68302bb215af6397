"""Reads the workflow: the document, what it imports, and which part of it runs."""

import os
from pathlib import Path

import WDL

from engines.wdl.executor.settings import RunSettings

WEB = ("http://", "https://")


class Refused(Exception):
    """The document asks for what this engine does not give; the message is for a person."""


def load_target(settings: RunSettings) -> WDL.Workflow | WDL.Task:
    """The workflow of the document, its only task, or the task that `fragment` names.

    Raises miniwdl's own exceptions for a document that is not valid, and `Refused`.
    """
    document = WDL.load(str(settings.workflow), read_source=_reader(settings), check_quant=settings.check_quant)
    return chosen(document, settings.workflow.name, settings.fragment)


def chosen(document: WDL.Document, name: str, fragment: str | None) -> WDL.Workflow | WDL.Task:
    tasks = {task.name: task for task in document.tasks}
    if fragment:
        if document.workflow and document.workflow.name == fragment:
            return document.workflow
        if fragment in tasks:
            return tasks[fragment]
        known = ", ".join(sorted([*tasks, *([document.workflow.name] if document.workflow else [])])) or "nothing"
        raise Refused(f"{name} has no workflow or task '{fragment}'; it has: {known}")
    if document.workflow:
        return document.workflow
    if len(tasks) == 1:
        return next(iter(tasks.values()))
    if not tasks:
        raise Refused(f"{name} has neither a workflow nor a task")
    several = ", ".join(sorted(tasks))
    raise Refused(
        f"{name} has several tasks and no workflow: name one with workflow_url '{name}#TASK'; it has: {several}"
    )


def _reader(settings: RunSettings) -> object:
    root = settings.attachments.resolve()

    async def read(uri: str, path: list[str], importer: WDL.Document | None) -> WDL.ReadSourceResult:
        del path
        if uri.startswith(WEB):
            raise Refused("the engine has no network; attach the file and import that")
        beside = Path(importer.pos.abspath).parent if importer else root
        found = Path(os.path.normpath(beside / uri.removeprefix("file://")))
        if not found.resolve().is_relative_to(root):
            raise Refused("it is not among the attachments")
        if not found.is_file():
            raise Refused("there is no such attachment")
        return WDL.ReadSourceResult(found.read_text(), str(found))

    return read
