from typing import Any

import pytest

from engines.kit.tasks import RunningTasks
from engines.kit.tes_client import TesClient, TesRefused, TesUnreachable
from tests.unit.engines.kit.conftest import TesScript


def test_a_task_is_sent_with_the_token(client: TesClient, script: TesScript) -> None:
    script.answers = [(200, {"id": "t1"})]
    assert client.create({"name": "align"}) == "t1"
    method, path, headers, body = script.requests[0]
    assert (method, path, body) == ("POST", "/ga4gh/tes/v1/tasks", {"name": "align"})
    assert headers["Authorization"] == "Bearer secret"


def test_a_waiting_question_asks_the_server_to_wait(client: TesClient, script: TesScript) -> None:
    script.answers = [(200, {"id": "t", "state": "RUNNING"})]
    assert client.state("a/b", wait=15) == "RUNNING"
    _, path, headers, _ = script.requests[0]
    assert path == "/ga4gh/tes/v1/tasks/a%2Fb?view=MINIMAL"
    assert headers["Prefer"] == "wait=15"


@pytest.mark.parametrize("trouble", [(500, "oops"), (503, {"detail": "later"}), (429, ""), (0, "")])
def test_trouble_of_the_server_is_tried_again(client: TesClient, script: TesScript, trouble: tuple[int, Any]) -> None:
    script.answers = [trouble, trouble, (200, {"id": "t1"})]
    assert client.create({}) == "t1"
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [({"detail": "no image"}, "no image"), ({"msg": "bad"}, "bad"), ("plain text", "plain text"), ("", "no reason")],
)
def test_a_refusal_is_final_and_says_why(client: TesClient, script: TesScript, answer: Any, message: str) -> None:
    script.answers = [(400, answer)]
    with pytest.raises(TesRefused, match=message):
        client.create({})
    assert len(script.requests) == 1


def test_patience_ends(url: str, script: TesScript) -> None:
    script.answers = [(502, "")]
    impatient = TesClient(url, "secret", 0.01, sleep=lambda _: None)
    with pytest.raises(TesUnreachable, match="HTTP 502"):
        impatient.create({})
    impatient.close()


def test_a_file_is_asked_for_until_it_is_there(client: TesClient, script: TesScript) -> None:
    script.answers = [(200, {"fetched": False}), (503, {"msg": "the store is away"}), (200, {"fetched": True})]
    RunningTasks(client, lambda _: None).fetch("/wes/run/work/a b")
    assert [(method, path) for method, path, _, _ in script.requests] == [("POST", "/ga4gh/tes/v1/outputs:fetch")] * 3
    _, _, headers, body = script.requests[0]
    assert (headers["Prefer"], body) == ("wait=30", {"url": "file:///wes/run/work/a%20b"})
