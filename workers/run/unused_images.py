"""Which steps named an image that their TES did not use, in words for the run's log. Pure."""

import re
from collections.abc import Sequence

from gateway.documents import system_logs
from tes.task import Task

SHOWN = 5
_NOT_USED = re.compile(r"\bimage (\S+) was not used")
"""How the embedded TES says it, in a task's system log."""


def unused_images(tasks: Sequence[Task], default_image: str) -> list[str]:
    """A line for each image. The default image is none that anybody named."""
    steps: dict[str, list[str]] = {}
    for task in tasks:
        for image in _images(task):
            if image != default_image:
                steps.setdefault(image, []).append(task.name or task.id)
    told = "ran with programs of the TES's machine"
    return [f"The image {image} was not used: {_named(names)} {told}." for image, names in steps.items()]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more steps" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _images(task: Task) -> list[str]:
    return list(dict.fromkeys(image for line in system_logs(task.document) for image in _NOT_USED.findall(line)))
