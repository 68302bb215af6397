"""No text that a foreign hand wrote keeps a thread busy: every regular expression gets by with time that grows with it.

What is compared is the processor's time for a text and for one four times as long: about 4 where all is well, 16 where
it is quadratic. What takes no time to speak of is not looked at.
"""

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pkgutil import walk_packages

import pytest
from werkzeug.datastructures import Headers
from werkzeug.sansio.multipart import File

import common
import engines
import gateway
import sandbox
import tes
import tes_service
import wes_cli
import wes_service
import workers
from common.masking import MASK, masked, masked_text
from tes_service.output_paths import expression
from wes_service.api.forms import file_name

LENGTH = 5_000
TIMES = 4
ANCHORED = {
    "engines.nextflow.installed_plugins.AT_LEAST",
    "engines.nextflow.installed_plugins.FOLDER_NAME",
    "engines.wdl.executor.runtime.DISK",
    "wes_cli.params._LOOKS_LIKE_DATA",
    "common.location._SCHEME",
    "wes_service.core.workflow._SCHEME",
    "wes_service.settings._USER",
    "workers.run.run_outcome.EXCEPTION",
    "workers.run.run_outcome.STACK",
}
"""Used by `match` and `fullmatch` only; elsewhere than at its beginning a text is not looked into."""
TOO_MUCH = 8
SHORT_SECONDS = 0.3
NAME = 255
SEEDS = [*" \n\t'\"/\\?&;=#@:.,-_{}()[]<>%*aA0", "a=", "?a", ';a="\\"', "a://", "://@", "{a,", "${", "/a:1:"]


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Those of all modules that can be imported here: an engine's own ones need that engine."""
    for package in (common, engines, gateway, sandbox, tes, tes_service, wes_cli, wes_service, workers):
        for found in walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" in found.name or found.name.endswith("__main__"):
                continue
            try:
                module = import_module(found.name)
            except ImportError:
                continue
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                    yield f"{found.name}.{name}", value


ALL = dict(patterns())


def hostile(pattern: str) -> Iterator[str]:
    """What the pattern itself begins with is the worst for it."""
    words = re.findall(r"[A-Za-z '>:/~=.-]{2,}", pattern.replace("\\b", "").replace("\\s", " "))
    yield from (*SEEDS, *words, *(word + rest for word in words[:4] for rest in ("'", '"', "{", " ", "\n")))


def test_patterns_are_found_at_all() -> None:
    assert {"common.masking._URL", "wes_service.api.forms._DISPOSITION_PARAMETER"} <= ALL.keys()
    assert len(ALL) > 40


def repeated(seed: str, length: int) -> str:
    return (seed * (length // len(seed) + 1))[:length]


def seconds(work: Callable[[str], object], text: str) -> float:
    """The processor's time of this thread alone: others on the machine do not count."""
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


def check_growth(work: Callable[[str], object], make: Callable[[int], str]) -> None:
    long = seconds(work, make(TIMES * LENGTH))
    if long > SHORT_SECONDS:
        assert long < TOO_MUCH * seconds(work, make(LENGTH)), make(60)


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_pattern_is_through_with_a_hostile_text(name: str) -> None:
    def read(text: str) -> object:
        return ALL[name].fullmatch(text) or (name in ANCHORED or ALL[name].sub("", text))

    for seed in dict.fromkeys(hostile(ALL[name].pattern)):
        check_growth(read, partial(repeated, seed))
        check_growth(read, lambda length, seed=seed: seed + " " * length)  # type: ignore[misc]


@pytest.mark.parametrize("seed", [*SEEDS, "https://a?b", "a://b@", "a://?", "?token=", "&sig", "token"])
def test_masking_is_through_with_a_hostile_text(seed: str) -> None:
    for start in ("", "https://host/?", "https://"):
        check_growth(masked_text, lambda length, start=start: start + repeated(seed, length))  # type: ignore[misc]
        assert "hunter2" not in masked_text(f"{start}{repeated(seed, LENGTH)} https://host/?a=b&token=hunter2")


def test_of_a_url_that_is_too_long_only_the_beginning_is_shown() -> None:
    text = masked_text("see https://ann:pw@host/" + "a" * 100_000 + "?token=hunter2 there")
    assert text.startswith("see https://***@host/aaa")
    assert text.endswith("a*** there")
    assert "hunter2" not in text


def test_a_document_that_is_nested_too_deeply_is_shown_in_part() -> None:
    document: list[object] = ["https://ann:pw@host/"]
    for _ in range(5000):
        document = [document]
    shown = repr(masked(document))  # type: ignore[arg-type]
    assert MASK in shown
    assert "pw" not in shown


@pytest.mark.parametrize("seed", [';a="\\"', ';filename="', "; ", ';a="'])
def test_the_name_of_a_part_of_a_form_is_read_from_a_hostile_header(seed: str) -> None:
    def read(header: str) -> None:
        part = File(name="x", filename="x", headers=Headers({"Content-Disposition": header}))
        assert file_name(part) is not None

    check_growth(read, lambda length: 'form-data; name="x"; filename="a.cwl"' + repeated(seed, length))


@pytest.mark.timeout(60)
def test_a_wildcard_of_many_stars_is_through_with_a_name_that_does_not_match() -> None:
    assert expression("*a" * 100 + "b").fullmatch("a" * NAME) is None
    assert expression("*a" * 100 + "*").fullmatch("a" * NAME)


@pytest.mark.parametrize(
    ("pattern", "name", "match"),
    [
        ("a*b*c", "axbxbxc", True),
        ("a*b*c", "axbxbx", False),
        ("*ab", "aab", True),
        ("*[ab]*?", "xxbz", True),
        ("*[ab]*?", "xxb", False),
        ("**", "", True),
        ("*", "anything", True),
        ("a*a", "a", False),
        ("*.txt", "a.txt.txt", True),
        (r"\**", "*x", True),
        (r"\**", "x", False),
    ],
)
def test_stars_match_what_the_shells_do(pattern: str, name: str, match: bool) -> None:
    assert bool(expression(pattern).fullmatch(name)) is match
