"""The engine's log, for a person."""

import sys


def report(line: str) -> None:
    """One line of the engine's log."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
