import logging

import pytest

from engines.cwl.executor.failure import ErrorLog, condensed


def test_places_are_given_once_and_without_folders() -> None:
    message = (
        "file:///run/attachments/wf.cwl:3:1:  checking field `steps`\n"
        "file:///run/attachments/wf.cwl:3:1:    checking object\n"
        "../attachments/wf.cwl:9:2:  * missing required field\n"
        "  `run`\n"
    )
    assert condensed(message) == (
        "wf.cwl:3:1: checking field `steps` checking object wf.cwl:9:2: * missing required field `run`"
    )


def test_a_reference_to_the_web_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    message = "Field 'run' contains undefined reference to 'https://example.org/a.cwl'"
    assert condensed(message).startswith(f"{message}; this server gives engines no network")
    assert "network" not in condensed(message.replace("https://example.org/", "file:///"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:8766")
    assert condensed(message) == message


def test_a_place_without_a_file_is_left_out() -> None:
    assert condensed("file:///run/attachments/:1:1: no such file") == "no such file"


def test_a_long_message_is_cut() -> None:
    assert len(condensed("x" * 5000)) == 1000


def test_the_first_logged_error_is_kept() -> None:
    log = ErrorLog()
    logger = logging.getLogger("test of failures")
    logger.addHandler(log)
    logger.warning("no")
    logger.error("Cannot make job: %s", "why")
    logger.error("later")
    assert log.first == "Cannot make job: why"
