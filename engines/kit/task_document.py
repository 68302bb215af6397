"""A step as a TES task (TES 1.1.0, tesTask): its name, its tags, and the document around what an engine adds."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TAG_STEP = "wes.step"
TAG_KEY = "wes.step_key"
TAG_ATTEMPT = "wes.attempt"
TAG_OUTPUTS = "wes.outputs"
"""As the gateway knows them: it adds what else there is to know of a task."""
LONGEST_CONTENT = 128 * 1024
"""Bytes; TES 1.1.0, tesInput.content."""
BYTES_PER_GB = 1_000_000_000
"""TES 1.1.0, tesResources: `ram_gb` and `disk_gb` are decimal."""


@dataclass(frozen=True, kw_only=True)
class StepElement:
    """One name on the way from the workflow to a step.

    `indices` are its places in the scatters around it, from 0, the outermost first.
    """

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
        """Tells the first of a scatter from a step that is in none: `align[0]`."""
        return self.name + "".join(f"[{index}]" for index in self.indices)


StepPath = tuple[StepElement, ...]
"""From the outermost workflow to the step itself."""


def step_name(path: StepPath) -> str:
    """The workflow's own name of a step: `align`, `align_2` in a scatter, `sub.align` in a subworkflow."""
    return ".".join(element.label for element in path)


def exact_name(path: StepPath) -> str:
    """A name that no other step of the workflow has: `sub/align[1]`."""
    return "/".join(element.exact for element in path)


def step_key(name: str, attempt: int, content: Mapping[str, Any]) -> str:
    """The same for the same work in a run, also when the engine is started again (design, decision 9).

    `content`: all that makes the work what it is, as JSON values.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{name}#{attempt}:{digest[:32]}"


def task_document(
    *,
    name: str,
    key: str,
    attempt: int,
    inputs: Iterable[Mapping[str, Any]],
    outputs: Iterable[Mapping[str, str]],
    executors: Sequence[Mapping[str, Any]],
    resources: Mapping[str, Any],
    volumes: Sequence[str] = (),
    on_demand: bool = False,
) -> dict[str, Any]:
    """The task to send, tagged with its step; without `resources` and `volumes` where a step asks for none.

    `on_demand`: what it leaves in a store stays there until the engine opens it (`engines.kit.outputs_on_demand`).
    """
    task: dict[str, Any] = {
        "name": name,
        "inputs": list(inputs),
        "outputs": list(outputs),
        "executors": list(executors),
        "tags": {TAG_STEP: name, TAG_KEY: key, TAG_ATTEMPT: str(attempt)},
    }
    if on_demand:
        task["tags"][TAG_OUTPUTS] = "on-demand"
    if resources:
        task["resources"] = dict(resources)
    if volumes:
        task["volumes"] = list(volumes)
    return task
