"""What a CWL process wants for inputs, against what it is given. Pure."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from common.json_types import Json, JsonObject


def missing_inputs(inputs: Mapping[str, Json], params: JsonObject) -> list[str]:
    """The inputs that have to be given and are not, each as `name (type)`."""
    return [_shown(name, entry) for name, entry in inputs.items() if params.get(name) is None and _is_needed(entry)]


def unknown_inputs(inputs: Mapping[str, Json], params: JsonObject) -> dict[str, str]:
    """What is given and is no input, with the name that may have been meant, or nothing; `cwl:…` and `$…` are fine."""
    lowered = {name.casefold(): name for name in inputs}
    unknown = [name for name in params if name not in inputs and ":" not in name and not name.startswith("$")]
    return {name: _near(name, lowered) for name in unknown if name not in {"id", "cwlVersion"}}


def _near(name: str, lowered: Mapping[str, str]) -> str:
    found = get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return lowered[found[0]] if found else ""


def _is_needed(entry: Json) -> bool:
    if isinstance(entry, Mapping):
        return "type" in entry and "default" not in entry and not _may_be_null(entry["type"])
    return not _may_be_null(entry)


def _may_be_null(kind: Json) -> bool:
    if isinstance(kind, str):
        return kind == "null" or kind.endswith("?")
    return isinstance(kind, Sequence) and any(_may_be_null(each) for each in kind)


def _shown(name: str, entry: Json) -> str:
    kind = entry.get("type") if isinstance(entry, Mapping) else entry
    if isinstance(kind, Mapping):
        kind = f"{kind['items']}[]" if isinstance(kind.get("items"), str) else kind.get("type")
    return f"{name} ({kind})" if isinstance(kind, str) else name
