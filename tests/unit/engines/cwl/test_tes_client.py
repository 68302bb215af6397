import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from engines.cwl.executor.tasks import RunStopped, Tasks, TimeUp
from engines.cwl.executor.tes_client import TesClient, TesRefused, TesUnreachable


class Script:
    """What the server answers, in order (the last one for ever), and what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []


class Handler(BaseHTTPRequestHandler):
    script: ClassVar[Script]
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.script.requests.append((self.command, self.path, dict(self.headers), json.loads(body) if body else None))
        status, document = self.script.answers[0] if len(self.script.answers) == 1 else self.script.answers.pop(0)
        if status == 0:
            self.close_connection = True
            return
        data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    handler = type("Scripted", (Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(url: str) -> Iterator[TesClient]:
    made = TesClient(url, "secret", 5.0, sleep=lambda _: None)
    yield made
    made.close()


@pytest.fixture
def tasks(client: TesClient) -> Tasks:
    return Tasks(client, lambda _: None, sleep=lambda _: None)


def test_a_task_is_sent_with_the_token(client: TesClient, script: Script) -> None:
    script.answers = [(200, {"id": "t1"})]
    assert client.create({"name": "align"}) == "t1"
    method, path, headers, body = script.requests[0]
    assert (method, path, body) == ("POST", "/ga4gh/tes/v1/tasks", {"name": "align"})
    assert headers["Authorization"] == "Bearer secret"


def test_a_waiting_question_asks_the_server_to_wait(client: TesClient, script: Script) -> None:
    script.answers = [(200, {"id": "t", "state": "RUNNING"})]
    assert client.state("a/b", wait=15) == "RUNNING"
    _, path, headers, _ = script.requests[0]
    assert path == "/ga4gh/tes/v1/tasks/a%2Fb?view=MINIMAL"
    assert headers["Prefer"] == "wait=15"


@pytest.mark.parametrize("trouble", [(500, "oops"), (503, {"detail": "later"}), (429, ""), (0, "")])
def test_trouble_of_the_server_is_tried_again(client: TesClient, script: Script, trouble: tuple[int, Any]) -> None:
    script.answers = [trouble, trouble, (200, {"id": "t1"})]
    assert client.create({}) == "t1"
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [({"detail": "no image"}, "no image"), ({"msg": "bad"}, "bad"), ("plain text", "plain text"), ("", "no reason")],
)
def test_a_refusal_is_final_and_says_why(client: TesClient, script: Script, answer: Any, message: str) -> None:
    script.answers = [(400, answer)]
    with pytest.raises(TesRefused, match=message):
        client.create({})
    assert len(script.requests) == 1


def test_patience_ends(url: str, script: Script) -> None:
    script.answers = [(502, "")]
    impatient = TesClient(url, "secret", 0.01, sleep=lambda _: None)
    with pytest.raises(TesUnreachable, match="HTTP 502"):
        impatient.create({})
    impatient.close()


def test_a_task_is_awaited_until_it_has_ended(tasks: Tasks, script: Script) -> None:
    script.answers = [
        (200, {"id": "t"}),
        *[(200, {"state": state}) for state in ("QUEUED", "RUNNING", "QUEUED", "COMPLETE")],
        (200, {"id": "t", "state": "COMPLETE", "logs": []}),
    ]
    task_id, document = tasks.run({"name": "a"})
    assert (task_id, document["logs"]) == ("t", [])
    assert script.requests[-1][1].endswith("/tasks/t?view=FULL")


def test_a_time_limit_cancels_the_task(tasks: Tasks, script: Script) -> None:
    script.answers = [(200, {"id": "t"}), (200, {"state": "RUNNING"})]
    with pytest.raises(TimeUp):
        tasks.run({"name": "a"}, limit=0.05)
    assert script.requests[-1][1].endswith("/tasks/t:cancel")


def test_waiting_in_the_queue_is_not_counted(tasks: Tasks, script: Script) -> None:
    script.answers = [(200, {"id": "t"}), *[(200, {"state": "QUEUED"})] * 30, (200, {"state": "COMPLETE"})]
    assert tasks.run({"name": "a"}, limit=0.0001)[0] == "t"


def test_after_a_stop_nothing_is_sent(tasks: Tasks, script: Script) -> None:
    tasks.cancel_all()
    with pytest.raises(RunStopped):
        tasks.run({"name": "a"})
    assert script.requests == []


def test_a_stop_cancels_what_is_open(tasks: Tasks, script: Script) -> None:
    script.answers = [(200, {"id": "t", "state": "RUNNING"})]
    thread = threading.Thread(target=tasks.run, args=({"name": "a"},))
    thread.start()
    while not any(path.endswith("t:cancel") for _, path, _, _ in script.requests):
        tasks.cancel_all() if script.requests else time.sleep(0.005)
    script.answers = [(200, {"id": "t", "state": "CANCELED"})]
    thread.join(10)
    assert not thread.is_alive()
