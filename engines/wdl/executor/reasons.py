"""Why a run failed, in one sentence for a person, from miniwdl's chain of exceptions."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from WDL import Error, Tree
from WDL.runtime.error import RunFailed

from engines.cwl.executor.failure import Failure
from engines.wdl.executor.call import label_of, path_of_calls
from engines.wdl.executor.load import Refused

LONGEST = 1000
MOST_ERRORS = 3
LONGEST_LINE = 120
NOT_FETCHED = re.compile(r"No such file or directory: '(\w+://[^']*)'")
PARSER_SAYS = ("Unexpected", "No terminal")


def of_document(error: BaseException, attachments: Path) -> str:
    """A document that can't be loaded; each place is `file.wdl:line:column`, files as they were attached."""
    found = list(_sentences(error, attachments))
    more = f" (and {len(found) - MOST_ERRORS} more)" if len(found) > MOST_ERRORS else ""
    return ("; ".join(found[:MOST_ERRORS]) + more)[:LONGEST]


def _sentences(error: BaseException, attachments: Path) -> Iterator[str]:
    if isinstance(error, Error.MultipleValidationErrors):
        for each in error.exceptions:
            yield from _sentences(each, attachments)
    elif isinstance(error, Error.ImportError) and error.__cause__ is not None:
        if isinstance(error.__cause__, Refused | Error.ImportError) or not hasattr(error.__cause__, "pos"):
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
    place = getattr(error, "pos", None)
    if not isinstance(place, Error.SourcePosition) or not place.abspath:
        return ""
    path = Path(place.abspath)
    name = path.relative_to(attachments) if path.is_relative_to(attachments) else path.name
    return f"{name}:{place.line}:{place.column}: " if place.line else f"{name}: "


def _message(error: BaseException) -> str:
    if isinstance(error, Error.SyntaxError) and str(error).startswith(PARSER_SAYS):
        return _syntax(error)
    text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    on_the_web = NOT_FETCHED.search(text)
    if on_the_web:
        return f"it reads {on_the_web[1]}, but the engine has no network: attach the file to the run instead"
    return text or type(error).__name__


def _syntax(error: Error.SyntaxError) -> str:
    """The parser names its own tokens, which tell nothing to a person: the line does."""
    lines = str(getattr(error, "source_text", "")).splitlines()
    line = lines[error.pos.line - 1].strip() if 0 < error.pos.line <= len(lines) else ""
    return f"this can't be understood: {line[:LONGEST_LINE]}" if line else "the document ends too early"


def of_run(error: BaseException, root: Path, target: str, attachments: Path) -> Failure:
    """A run that miniwdl gave up."""
    part, cause = _origin(error)
    told = getattr(cause, "more_info", None) or {}
    if "sentence" in told:
        return _of_task(told)
    where = _where(part, root, target)
    reason = f"{where} failed: {_at(cause, attachments)}{_message(cause)}"
    step = label_of(path_of_calls(root, Path(part.run_dir), target)) if part and _is_task(part) else None
    return Failure(kind="step" if step else "workflow", sentence=reason[:LONGEST], step=step)


def _of_task(told: dict[str, Any]) -> Failure:
    return Failure(
        kind="step", sentence=told["sentence"], step=told["step"], task_id=told["task_id"], exit_code=told["exit_code"]
    )


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
        return f"the step '{label_of(path_of_calls(root, Path(part.run_dir), target))}'"
    inside = os.path.relpath(part.run_dir, root) != "."
    name = label_of(path_of_calls(root, Path(part.run_dir), target)) if inside else part.exe.name
    return f"the workflow '{name}'"
