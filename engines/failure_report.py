"""What an executor of ours wrote down about its failure, and how it is told to a person."""

import re
from collections.abc import Mapping

from common.engine import EngineEnd, RunFolder
from common.errors import EngineError
from engines.output_object import read_json

FILE = ".wes/failure.json"
"""Below the run's work folder; its `sentence` is for a person."""
LARGEST = 1024 * 1024
KILLED = frozenset({-9, 137})


def diagnosis(engine: str, folder: RunFolder, end: EngineEnd) -> str:
    """One sentence: the executor's own, else what the end of the process tells; `engine` as in `the CWL engine`."""
    told = _told(folder)
    if told:
        return without_paths(told, folder)
    if end.exit_code in KILLED:
        return f"the {engine} engine was killed; it may have used more memory than it was given"
    last = [line.strip() for line in end.stderr.splitlines() if line.strip()][-1:]
    why = f": {without_paths(last[0], folder)}" if last else ""
    return f"the {engine} engine ended with exit code {end.exit_code}{why}"


def without_paths(sentence: str, folder: RunFolder) -> str:
    """The names that the user gave, without the run's own folders before them."""
    for base in (folder.attachments, folder.work):
        sentence = re.sub(rf"(file://)?{re.escape(str(base))}/", "", sentence)
    return sentence


def _told(folder: RunFolder) -> str:
    try:
        document = read_json(folder.work / FILE, folder.work, LARGEST)
    except EngineError:
        return ""
    sentence = document.get("sentence") if isinstance(document, Mapping) else None
    return sentence if isinstance(sentence, str) else ""
