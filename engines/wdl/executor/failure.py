"""Why a run failed, in one sentence for a person, from miniwdl's chain of exceptions."""

import os
from collections.abc import Iterator
from pathlib import Path

from WDL import Error, Tree
from WDL.runtime.error import RunFailed

from engines.kit.reports import Failure
from engines.kit.task_document import step_name
from engines.wdl.executor.load import WorkflowRejected
from engines.wdl.executor.step import step_path

LONGEST_SENTENCE = 1000
MOST_ERRORS = 3
LONGEST_SOURCE_LINE = 120
IN_A_FUNCTION = "function evaluation failed, "
PARSER_ERRORS = ("Unexpected", "No terminal")


def document_error(error: BaseException, attachments: Path) -> str:
    """A document that can't be loaded; each with its `file.wdl:line:column`, files as they were attached."""
    sentences = list(_sentences(error, attachments))
    more = f" (and {len(sentences) - MOST_ERRORS} more)" if len(sentences) > MOST_ERRORS else ""
    return ("; ".join(sentences[:MOST_ERRORS]) + more)[:LONGEST_SENTENCE]


def _sentences(error: BaseException, attachments: Path) -> Iterator[str]:
    if isinstance(error, Error.MultipleValidationErrors):
        for each in error.exceptions:
            yield from _sentences(each, attachments)
    elif isinstance(error, Error.ImportError) and error.__cause__ is not None:
        if isinstance(error.__cause__, WorkflowRejected | Error.ImportError) or not hasattr(error.__cause__, "pos"):
            yield _at(error, attachments) + _import(error, attachments)
        else:
            yield from _sentences(error.__cause__, attachments)
    else:
        yield _at(error, attachments) + _message(error)


def _import(error: BaseException, attachments: Path) -> str:
    cause = error.__cause__
    if isinstance(cause, Error.ImportError):
        return "in an import: " + "; ".join(_sentences(cause, attachments))
    return f"{_message(error)}: {_message(cause) if cause else ''}"


def _at(error: BaseException, attachments: Path) -> str:
    position = getattr(error, "pos", None)
    if not isinstance(position, Error.SourcePosition) or not position.abspath:
        return ""
    path = Path(position.abspath)
    name = path.relative_to(attachments) if path.is_relative_to(attachments) else path.name
    return f"{name}:{position.line}:{position.column}: " if position.line else f"{name}: "


def _message(error: BaseException) -> str:
    if isinstance(error, Error.SyntaxError) and str(error).startswith(PARSER_ERRORS):
        return _syntax(error)
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return text.removeprefix(IN_A_FUNCTION) or type(error).__name__


def _syntax(error: Error.SyntaxError) -> str:
    """The parser names its own tokens, which tell nothing to a person: the line does."""
    lines = str(getattr(error, "source_text", "")).splitlines()
    line = lines[error.pos.line - 1].strip() if 0 < error.pos.line <= len(lines) else ""
    return f"this can't be understood: {line[:LONGEST_SOURCE_LINE]}" if line else "the document ends too early"


def run_failure(error: BaseException, root: Path, target: str, attachments: Path) -> Failure:
    """A run that miniwdl gave up."""
    part, cause = _origin(error)
    info = getattr(cause, "more_info", None) or {}
    if "sentence" in info:
        return Failure(
            kind="step",
            sentence=info["sentence"],
            step=info["step"],
            task_id=info["task_id"],
            exit_code=info["exit_code"],
        )
    where = _where(part, root, target)
    reason = f"{where} failed: {_at(cause, attachments)}{_message(cause)}"
    step = step_name(step_path(root, Path(part.run_dir), target)) if part and _is_task(part) else None
    return Failure(kind="step" if step else "workflow", sentence=reason[:LONGEST_SENTENCE], step=step)


def _origin(error: BaseException) -> tuple[RunFailed | None, BaseException]:
    """The innermost call that failed, and what it failed of."""
    part: RunFailed | None = None
    while isinstance(error, RunFailed) and error.__cause__ is not None:
        part, error = error, error.__cause__
    return part, error


def _is_task(part: RunFailed) -> bool:
    return isinstance(part.exe, Tree.Task)


def _where(part: RunFailed | None, root: Path, target: str) -> str:
    if part is None:
        return "the engine"
    if _is_task(part):
        return f"the step '{step_name(step_path(root, Path(part.run_dir), target))}'"
    inside = os.path.relpath(part.run_dir, root) != "."
    name = step_name(step_path(root, Path(part.run_dir), target)) if inside else part.exe.name
    return f"the workflow '{name}'"
