"""The cases of `documents/*.yaml`: a workflow, its inputs, and what must come of it.

A case has `id`, `document` (the workflow's text), `files` (name to text), `params`, `fragment`, and either `outputs`
or `fails` (a pattern that the reason must match). In `outputs` a File or Directory object is a partial one: every
field that is written must fit, `text` is the file's content, and `listing` is compared in order of names. `tasks`
are the names of all tasks, where the case is about them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DOCUMENTS = Path(__file__).with_name("documents")
WORKFLOW = "case.cwl"
Fetch = Callable[[str], bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    id: str
    document: str
    files: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    version: str = "v1.2"
    fragment: str | None = None
    outputs: Mapping[str, Any] | None = None
    fails: str | None = None
    tasks: Sequence[str] | None = None

    @property
    def attachments(self) -> dict[str, str]:
        return {WORKFLOW: self.document, **self.files}

    @property
    def workflow_url(self) -> str:
        return f"{WORKFLOW}#{self.fragment}" if self.fragment else WORKFLOW


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a case ended. `outputs` is None where it failed, and `reason` says why; `tasks` are the tasks' names."""

    outputs: Mapping[str, Any] | None
    reason: str
    tasks: Sequence[str]


def all_cases() -> list[Case]:
    found = [Case(**entry) for path in sorted(DOCUMENTS.glob("*.yaml")) for entry in yaml.safe_load(path.read_text())]
    assert len({case.id for case in found}) == len(found), "two cases have the same id"
    assert all((case.outputs is None) != (case.fails is None) for case in found)
    return found


def check(case: Case, result: Result, fetch: Fetch) -> None:
    """Fails with what differs."""
    if case.fails is not None:
        assert result.outputs is None, f"succeeded with {result.outputs}"
        assert re.search(case.fails, result.reason, re.DOTALL), result.reason
    else:
        assert result.outputs is not None, result.reason
        assert list(differences(case.outputs, result.outputs, fetch)) == []
    if case.tasks is not None:
        assert sorted(result.tasks) == sorted(case.tasks)


def differences(wanted: Any, got: Any, fetch: Fetch, where: str = "outputs") -> Iterator[str]:
    """One line for each difference."""
    if isinstance(wanted, Mapping) and wanted.get("class") in {"File", "Directory"}:
        yield from _file_differences(wanted, got, fetch, where)
    elif isinstance(wanted, Mapping) and isinstance(got, Mapping) and set(wanted) == set(got):
        for name, value in wanted.items():
            yield from differences(value, got[name], fetch, f"{where}.{name}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for number, (one, other) in enumerate(zip(wanted, got, strict=True)):
            yield from differences(one, other, fetch, f"{where}[{number}]")
    elif wanted != got:
        yield f"{where}: wanted {wanted!r}, got {got!r}"


def _file_differences(wanted: Mapping[str, Any], got: Any, fetch: Fetch, where: str) -> Iterator[str]:
    if not isinstance(got, Mapping) or got.get("class") != wanted["class"]:
        yield f"{where}: wanted a {wanted['class']}, got {got!r}"
        return
    for name, value in wanted.items():
        if name == "text":
            content = fetch(got["location"]).decode()
            if content != value:
                yield f"{where}: wanted the content {value!r}, got {content!r}"
        elif name in {"listing", "secondaryFiles"}:
            yield from differences(_by_name(value), _by_name(got.get(name) or []), fetch, f"{where}.{name}")
        else:
            yield from differences(value, got.get(name), fetch, f"{where}.{name}")


def _by_name(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return (
        sorted(items, key=lambda item: str(item.get("basename")))
        if all("basename" in one for one in items)
        else list(items)
    )
