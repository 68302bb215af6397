"""Reads workflow and params documents: JSON or YAML 1.2, as the CWL standard has it.

PyYAML alone reads YAML 1.1, where `no` is false, `010` is 8, `1e-5` is text and `2024-01-02` a date: values that would
change on the way to the engine.
"""

import re
from pathlib import Path

import yaml

from common.errors import UnreadableDocument
from common.json_types import Json


class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


INTEGER = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
# The order counts: the first pattern that fits gives the type, and every integer fits the number's pattern.
CORE_SCHEMA = (
    ("null", "null|Null|NULL|~|", "nN~\0"),
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", INTEGER, "-+0123456789"),
    ("float", NUMBER, "-+.0123456789"),
    ("merge", "<<", "<"),
)
for kind, pattern, first in CORE_SCHEMA:
    Yaml12.add_implicit_resolver(
        f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), ["" if c == "\0" else c for c in first]
    )
Yaml12.add_constructor("tag:yaml.org,2002:int", _integer)
Yaml12.add_constructor("tag:yaml.org,2002:float", _number)


def read_document(path: Path) -> Json:
    """The parsed document; `UnreadableDocument` says where it does not parse, or that it can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableDocument(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableDocument(f"{path} is no text in UTF-8") from None
    return parse_document(text, str(path))


def parse_document(text: str, name: str) -> Json:
    """Text of a YAML or JSON document; `name` is for the message of `UnreadableDocument`."""
    try:
        document: Json = yaml.load(text, Loader=Yaml12)  # noqa: S506 - built on SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UnreadableDocument(f"{name} is not valid YAML or JSON{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableDocument(f"{name} is not valid YAML or JSON: {error}") from None
    return document
