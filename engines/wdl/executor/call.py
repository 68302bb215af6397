"""Which call of the workflow a folder of miniwdl's belongs to."""

import re
from dataclasses import dataclass
from pathlib import Path

CALL = re.compile(r"call-([A-Za-z]\w*)((?:-\d+)*)")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call by its name; `indices` are its places in the scatters around it, from 0, the outer one first."""

    name: str
    indices: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """`align`, `align_2` for the second of a scatter, `align_2_1` where scatters are nested."""
        if not any(self.indices):
            return self.name
        return "_".join([self.name, *(str(index + 1) for index in self.indices)])

    @property
    def exact(self) -> str:
        return self.name + "".join(f"[{index}]" for index in self.indices)


def path_of_calls(root: Path, folder: Path, target: str) -> tuple[Call, ...]:
    """The way from the workflow to the task that runs in `folder`; `target` is what the run itself is called.

    miniwdl names a call's folder after it, its scatter indices added, inside the folder of the workflow that calls it.
    """
    calls = []
    for part in folder.relative_to(root).parts:
        found = CALL.fullmatch(part)
        if found:
            indices = tuple(int(index) for index in found[2].split("-")[1:])
            calls.append(Call(name=found[1], indices=indices))
    return tuple(calls) or (Call(name=target),)


def label_of(calls: tuple[Call, ...]) -> str:
    """The workflow's own name of a step: `align`, `align_2` in a scatter, `sub.align` in a subworkflow."""
    return ".".join(call.label for call in calls)
