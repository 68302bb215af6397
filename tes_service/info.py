"""The service-info document (TES 1.1.0, tesServiceInfo)."""

from common import __version__
from common.json_types import JsonObject
from tes_service.parse import BACKEND_PARAMETERS
from tes_service.runners.port import Runner
from tes_service.settings import TesSettings


def service_info(settings: TesSettings, runner: Runner) -> JsonObject:
    return {
        "id": "org.wes-tes.tes",
        "name": "WES-TES embedded TES",
        "type": {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"},
        "description": f"Runs tasks on this machine. Runner: {runner.name}; tasks are {runner.about}.",
        "organization": {"name": "WES-TES", "url": "https://github.com/wes-tes/wes-tes"},
        "environment": runner.name,
        "version": __version__,
        "storage": [*_folders(settings), "http://", "https://"],
        "tesResources_backend_parameters": list(BACKEND_PARAMETERS),
    }


def _folders(settings: TesSettings) -> list[str]:
    return [folder.resolve().as_uri() for folder in (*settings.allow, *settings.allow_data)]
