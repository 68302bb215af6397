"""Extensions of cwltool's that a TES can't have, refused before anything runs. Nothing here needs cwltool."""

from collections.abc import Iterator, Mapping
from typing import Any

from engines.kit.reports import report

CWLTOOL = "http://commonwl.org/cwltool#"
MPI = f"{CWLTOOL}MPIRequirement"
SECRETS = f"{CWLTOOL}Secrets"
OVERRIDES = f"{CWLTOOL}overrides"
REFUSED: Mapping[str, str] = {
    MPI: "MPIRequirement: a TES runs a step on one machine in one container, where nothing starts MPI; a tool whose "
    "command calls mpirun itself needs no such requirement",
    SECRETS: "cwltool:Secrets: what a run is given is stored with it and written into its tasks, so that nothing in it "
    "is secret; remove the run if one was sent (wes rm), and have the tool read it from where the TES alone has it",
}


class ExtensionRefused(Exception):
    """A document has an extension that can't be had here; the message is for a person."""


def check_extensions(document: Any) -> None:
    """Of a process or a step; raises `ExtensionRefused`.

    What is asked for as a hint only is left out with a word, but never a secret.
    """
    for entry in _entries(document, "requirements"):
        if entry.get("class") in REFUSED:
            raise ExtensionRefused(REFUSED[entry["class"]])
    for entry in list(_entries(document, "hints")):
        if entry.get("class") == SECRETS:
            raise ExtensionRefused(REFUSED[SECRETS])
        if entry.get("class") == MPI:
            report("the hint MPIRequirement is left out: a TES runs a step on one machine")
            document["hints"].remove(entry)


def _entries(document: Any, field: str) -> Iterator[Any]:
    entries = document.get(field) if hasattr(document, "get") else None
    return (entry for entry in entries if hasattr(entry, "get")) if isinstance(entries, list) else iter(())
