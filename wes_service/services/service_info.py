"""What this service says of itself (WES 1.1.0, schema ServiceInfo). Pure, but for the stores it is given."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from common.engine import Engine
from common.json_types import Json
from wes_service.core.links import TES_PATH, Links
from wes_service.core.ports import RunStore, WorkerInfo, WorkerStore
from wes_service.services.engine_choice import SERVICE_PARAMETERS, installed_versions

ALIVE_SECONDS = 30.0
AUTH_PATH = "/auth-instructions"
PROTOCOLS = ("file", "http", "https", "git+https")
"""`file` means attachments and the folders that the operator allows. By the others workers fetch workflows, and by http
and https the TES fetches inputs."""


@dataclass(frozen=True, kw_only=True)
class ServiceInfo:
    """What service-info is put together from; `version` is this program's."""

    runs: RunStore
    workers: WorkerStore
    engines: Sequence[Engine]
    version: str
    token_needed: bool
    tes_choices: Sequence[str] = ()
    """The TES servers that a run may ask for, where this process knows them."""

    def document(self, links: Links) -> dict[str, Json]:
        """Only what a worker that is alive has installed is listed."""
        workers = self.workers.alive(ALIVE_SECONDS)
        there = installed_versions(workers)
        engines = [engine for engine in self.engines if there.get(engine.name)]
        return {
            **_service(links, "wes", "1.1.0", self.version),
            "workflow_type_versions": _type_versions(engines),
            "supported_wes_versions": ["1.1.0"],
            "supported_filesystem_protocols": list(PROTOCOLS),
            "workflow_engine_versions": {
                engine.name: {"workflow_engine_version": list(there[engine.name])} for engine in engines
            },
            "default_workflow_engine_parameters": _parameters(engines),
            "system_state_counts": {state.value: count for state, count in sorted(self.runs.counts().items())},
            "auth_instructions_url": links.base + AUTH_PATH,
            "tags": self._tags(workers),
        }

    def _tags(self, workers: Sequence[WorkerInfo]) -> Mapping[str, Json]:
        sandboxes = sorted({worker.sandbox for worker in workers if worker.sandbox})
        tags: dict[str, Json] = {
            "workers": str(len(workers)),
            "authentication": "bearer" if self.token_needed else "none",
        }
        if sandboxes:
            tags["sandbox"] = "; ".join(sandboxes)
        if len(self.tes_choices) > 1:
            tags["tes"] = ", ".join(self.tes_choices)
        if not workers:
            tags["warning"] = "no worker is alive: runs are taken, but wait"
        return tags

    def tes_document(self, links: Links) -> dict[str, Json]:
        """Service-info of the read-only TES (TES 1.1.0, schema tesServiceInfo)."""
        document = _service(links, "tes", "1.1.0", self.version)
        document["description"] = f"The tasks of the caller's runs, read-only; {links.base}{TES_PATH}/tasks takes none."
        return {**document, "storage": [], "tesResources_backend_parameters": []}


def _service(links: Links, artifact: str, standard: str, version: str) -> dict[str, Json]:
    host = urlsplit(links.base).hostname or "localhost"
    reverse = ".".join(reversed(host.split("."))) if not host.replace(".", "").isdigit() and ":" not in host else host
    return {
        "id": f"{reverse}.{artifact}",
        "name": f"WES-TES on {host}",
        "type": {"group": "org.ga4gh", "artifact": artifact, "version": standard},
        "description": "Runs workflows so that every step is a GA4GH TES task.",
        "organization": {"name": host, "url": links.base},
        "version": version,
    }


def _type_versions(engines: Iterable[Engine]) -> dict[str, Json]:
    found: dict[str, dict[str, None]] = {}
    for engine in engines:
        found.setdefault(engine.workflow_type, {}).update(dict.fromkeys(engine.type_versions))
    return {name: {"workflow_type_version": list(versions)} for name, versions in found.items()}


def _parameters(engines: Iterable[Engine]) -> list[Json]:
    return [
        {"name": parameter.name, "type": parameter.type, "default_value": parameter.default}
        for engine in engines
        for parameter in (*engine.parameters, *SERVICE_PARAMETERS)
    ]
