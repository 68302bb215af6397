"""What an engine wants a person to know of a run; it leaves it in a file, and the run's system log shows it."""

from common.engine import RunFolder
from common.errors import EngineError
from engines.output_object import read_json

FILE = ".wes/notes.json"
LARGEST = 64 * 1024
MOST = 20
LONGEST = 500


def engine_notes(folder: RunFolder) -> tuple[str, ...]:
    """As much of a list of texts as a log should hold; nothing where there is no such file, or no list in it."""
    try:
        document = read_json(folder.work / FILE, folder.work, LARGEST)
    except EngineError:
        return ()
    lines = [line for line in document if isinstance(line, str)] if isinstance(document, list) else []
    return tuple(" ".join(line.split())[:LONGEST] for line in lines[:MOST])
