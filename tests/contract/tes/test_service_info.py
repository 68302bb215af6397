"""GET /service-info (acceptance: tes, 4 and 12)."""

from pathlib import Path

import jsonschema
import yaml

from tes_service.api.application import SPECIFICATION
from tests.contract.tes.served import Tes


def test_it_is_as_the_document_says(tes: Tes) -> None:
    document = yaml.safe_load(SPECIFICATION.read_text())
    schema = {"$ref": "#/components/schemas/tesServiceInfo", "components": document["components"]}
    jsonschema.validate(tes.get("/service-info"), schema)


def test_it_tells_what_works(tes: Tes, folder: Path) -> None:
    info = tes.get("/service-info")
    assert info["type"] == {"group": "org.ga4gh", "artifact": "tes", "version": "1.1.0"}
    assert info["storage"] == [(folder / "allow").as_uri(), "ftp://", "http://", "https://"]
    assert info["tesResources_backend_parameters"] == ["network"]
    assert info["environment"] == "instant"
    assert "instant" in info["description"]


def test_without_allowed_folders_no_file_storage_is_told(waiting: Tes) -> None:
    assert waiting.get("/service-info")["storage"] == ["ftp://", "http://", "https://"]
