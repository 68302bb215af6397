"""The form of POST /runs for what the command line was given (WES 1.1.0, RunWorkflow). Pure."""

import json
from collections.abc import Mapping

from common.json_types import JsonObject
from wes_cli.errors import Unusable
from wes_cli.views import ServiceView
from wes_service.languages.sources import LANGUAGES

DEFAULT_VERSIONS = {"NFL": "DSL2"}


def form_fields(
    *,
    params: JsonObject,
    tags: Mapping[str, str],
    engine: str | None,
    engine_version: str | None,
    engine_parameters: Mapping[str, str],
) -> dict[str, str]:
    """The optional fields, those not given left out."""
    fields = {"workflow_params": _json(params)}
    if tags:
        fields["tags"] = _json(tags)
    if engine:
        fields["workflow_engine"] = engine
    if engine_version:
        fields["workflow_engine_version"] = engine_version
    if engine_parameters:
        fields["workflow_engine_parameters"] = _json(engine_parameters)
    return fields


def workflow_type(language: str, info: ServiceView) -> str:
    """The name that this server has for a language; our own where it lists none."""
    names = LANGUAGES[language].names if language in LANGUAGES else (language.upper(),)
    return next((listed for listed in info.types if listed.upper() in names), language)


def workflow_type_version(name: str, language: str, info: ServiceView) -> str:
    """For a document that declares none: the newest that the server lists; `Unusable` where it lists none."""
    listed = next((versions for key, versions in info.types.items() if key.upper() == name.upper()), ())
    if listed:
        return max(listed, key=_order)
    if language in DEFAULT_VERSIONS:
        return DEFAULT_VERSIONS[language]
    raise Unusable(f"the server lists no version of {name}: say it with --type-version")


def _order(version: str) -> tuple[tuple[int, int | str], ...]:
    """Numbers by value, so that 9 comes before 10; words before numbers, so that `draft-2` comes before `1.0`."""
    parts = version.lower().lstrip("v").replace("-", ".").split(".")
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
