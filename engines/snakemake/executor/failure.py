"""Why the run failed, in one sentence, from Snakemake's exceptions. Nothing here imports Snakemake."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LONGEST = 1500
GIT_ERRORS = "Encountered errors:"
GIT_FATAL = re.compile(r"^fatal: (.*?)'?$", re.MULTILINE)
Linemaps = Mapping[str, Mapping[int, int]]
Origin = Callable[[BaseException, Linemaps], tuple[int, str] | None]
NO_NETWORK = "this server gives engines no network: attach what the workflow includes to the run"
REFUSED = "this server lets engines reach other addresses only (WES_ENGINE_NETWORK): attach what is meant to the run"
HINTS = (
    (
        "snakemake-storage-plugin-",
        "storage() is not supported: attach the file to the run, or let a rule fetch it",
    ),
    (
        "environment variables are requested by the workflow but undefined",
        (
            "the engine has none of your environment variables, nor of the server's: read the value from config, where "
            "workflow_params put it, and leave what is secret to the image or the TES"
        ),
    ),
    (
        "No module named",
        "the engine has Snakemake's own packages and pandas only; code that needs others belongs into a rule",
    ),
    ("CONNECT tunnel failed, response 403", REFUSED),
    ("CONNECT tunnel failed, response 502", "it could not be reached from this server"),
    *((symptom, NO_NETWORK) for symptom in ("Could not resolve host", "Name or service not known", "NameResolution")),
)


def explained(error: BaseException, linemaps: Linemaps, origin: Origin = lambda *_: None) -> str:
    """The place and what is wrong there; `origin` finds the place of an error that does not know it itself.

    `linemaps`: of each Snakefile, the lines of the Python that Snakemake makes of it to those of the file.
    """
    parts = list(dict.fromkeys(part for one in _chain(error) if (part := _one(one, linemaps, origin))))
    text = "; ".join(parts)[:LONGEST] or type(error).__name__
    hint = next((f" ({advice})" for symptom, advice in HINTS if symptom in text), "")
    return text + hint


def _chain(error: BaseException) -> Iterator[BaseException]:
    """What is included in an error before the error itself."""
    for inner in getattr(error, "_include", ()):
        yield from _chain(inner)
    yield error


def _one(error: BaseException, linemaps: Linemaps, origin: Origin) -> str:
    if isinstance(error, SyntaxError):
        # A line that is not in the map is the Snakefile's own: its parser found the error.
        return _at(error.filename, _line(error.filename, error.lineno, linemaps), f"syntax error: {error.msg}")
    message = _message(error)
    file, line, rule = (getattr(error, name, None) for name in ("snakefile", "lineno", "rule"))
    file = file or getattr(error, "filename", None)
    if isinstance(error, OSError):
        file, line = None, None
    if line is None and not rule:
        found = origin(error, linemaps)
        line, file = found or (None, file)
    if not _is_snakemakes(error):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    line = _line(file, line, linemaps)
    named = f"in rule {rule}: " if rule and str(rule) not in message else ""
    return _at(file, line, named + message) if message else ""


def _message(error: BaseException) -> str:
    """Of git what it says itself, without the command around it, and once for all places that were tried."""
    text = str(error)
    fatal = GIT_FATAL.search(text)
    if fatal is None:
        return condensed(text)
    return fatal[1] if type(error).__module__ == "git.exc" else f"{condensed(text.partition(GIT_ERRORS)[0])} {fatal[1]}"


def _is_snakemakes(error: BaseException) -> bool:
    return type(error).__module__.startswith("snakemake")


def _at(file: Any, line: int | None, text: str) -> str:
    if not file:
        return text
    return f"{file}:{line}: {text}" if line else f"{file}: {text}"


def _line(file: str | None, line: int | None, linemaps: Linemaps) -> int | None:
    """The line of the Snakefile itself."""
    if file is None or line is None:
        return line
    return linemaps.get(file, {}).get(line, line)


def condensed(message: str) -> str:
    """A message of several lines as one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = ""
    for line in lines:
        joint = "" if not text else " " if re.search(r"[:,;.]$", text) else ", "
        text += joint + line
    return text.replace(os.linesep, " ")
