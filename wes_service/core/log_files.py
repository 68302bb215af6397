"""Names of the files, below `RunFolder.task_logs`, of what a task prints: workers write them, the API reads them."""

LIVE = ".live"
"""Ends the name of a file that grows while its task runs, and goes once the whole one is there."""


def log_file(stream: str, executor: int) -> str:
    """`stdout`, and `stdout.1` for the second executor."""
    return stream if executor == 0 else f"{stream}.{executor}"
