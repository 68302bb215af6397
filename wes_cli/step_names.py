"""What to call steps so that a person sees which sample each is about. Pure."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence

from wes_cli.views import Log

_NUMBER = re.compile(r"(_\d+)+$")
LONGEST = 40


def step_names(steps: Sequence[Log]) -> dict[str, str]:
    """Names by task id. A step of a scatter, of which the name says only a number, gets what its command alone has."""
    groups: dict[str, list[Log]] = defaultdict(list)
    for step in steps:
        groups[_NUMBER.sub("", step.name)].append(step)
    return {step.id: _name(step, group) for group in groups.values() for step in group}


def _name(step: Log, group: Sequence[Log]) -> str:
    name = step.name or step.id
    if len({each.name for each in group}) < 2:
        return name
    own = _own_word(step, group)
    return f"{name} ({own})" if own else name


def _own_word(step: Log, group: Sequence[Log]) -> str:
    """The first word of the command that no other step of the scatter has, a path by its file name."""
    others = {word for each in group if each.name != step.name for word in _words(each)}
    own = (posixpath.basename(word.strip("\"';,")) for word in _words(step) if word not in others)
    return next((word for word in own if 0 < len(word) <= LONGEST), "")


def _words(step: Log) -> list[str]:
    return [word for text in step.cmd for word in text.split()]
