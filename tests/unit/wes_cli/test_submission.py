import json

import pytest

from wes_cli.errors import InvalidArgument
from wes_cli.upload import form_fields, workflow_type, workflow_type_version
from wes_cli.views import ServiceView

INFO = ServiceView(
    name="x",
    version="1",
    types={"CWL": ("v1.0", "v1.2", "v1.10"), "snakemake": ("9", "10"), "WDL": ("draft-2", "1.0")},
    engines={},
)


def test_a_language_has_the_name_that_the_server_gives_it() -> None:
    assert workflow_type("SMK", INFO) == "snakemake"
    assert workflow_type("NFL", INFO) == "NFL"


@pytest.mark.parametrize(
    ("name", "language", "version"),
    [("CWL", "CWL", "v1.10"), ("snakemake", "SMK", "10"), ("WDL", "WDL", "1.0"), ("NFL", "NFL", "DSL2")],
)
def test_the_newest_version_is_taken_where_the_document_names_none(name: str, language: str, version: str) -> None:
    assert workflow_type_version(name, language, INFO) == version


def test_an_unknown_type_asks_for_its_version() -> None:
    with pytest.raises(InvalidArgument, match="--type-version"):
        workflow_type_version("GALAXY", "GALAXY", INFO)


def test_only_what_was_given_is_sent() -> None:
    fields = form_fields(params={"n": 1}, tags={}, engine=None, engine_version=None, engine_parameters={})
    assert fields == {"workflow_params": '{"n": 1}'}


def test_objects_are_sent_as_json() -> None:
    fields = form_fields(
        params={}, tags={"ü": "1"}, engine="cwltool", engine_version="3.3", engine_parameters={"max-ram": "4"}
    )
    assert json.loads(fields["tags"]) == {"ü": "1"}
    assert json.loads(fields["workflow_engine_parameters"]) == {"max-ram": "4"}
    assert (fields["workflow_engine"], fields["workflow_engine_version"]) == ("cwltool", "3.3")
