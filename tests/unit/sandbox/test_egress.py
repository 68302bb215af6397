"""The way out of a sandbox: which hosts it reaches, what it says of others, and that it can't be jammed."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.errors import SettingsError
from sandbox import egress as module
from sandbox.egress import EgressProxy, EgressSocket
from sandbox.network import Endpoint, NetworkPolicy, chosen_policy, network_policy
from tests.waiting import PATIENCE, until

NAMED = network_policy(["files.example", "*.lab.example"], "WES_ENGINE_NETWORK")


class Answers(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        hops = [name for name in self.headers if name.lower().startswith(("proxy-", "upgrade"))]
        text = f"{self.command} {self.path} {self.headers['Host']} {hops} ".encode() + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer  # noqa: N815 - the names that the class asks for

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_address[1]
        made.shutdown()


def resolve(host: str, port: int) -> Sequence[Endpoint]:
    """Every name is this machine; an address is itself."""
    return [(host if host[0].isdigit() or ":" in host else "127.0.0.1", port)]


def proxy_of(folder: Path, policy: NetworkPolicy, uids: Sequence[int] = (os.geteuid(),)) -> Iterator[EgressProxy]:
    proxy = EgressProxy(folder / "egress", policy, uids, resolve)
    proxy.start()
    yield proxy
    proxy.stop()
    assert list((folder / "egress").iterdir()) == []


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EgressProxy]:
    yield from proxy_of(tmp_path, NAMED)


@pytest.fixture
def way(proxy: EgressProxy) -> EgressSocket:
    return proxy.open("r1")


def connected(way: EgressSocket) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    handle = os.open(way.path.parent, os.O_PATH)
    try:
        connection.connect(f"/proc/self/fd/{handle}/{way.path.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(handle)
    return connection


def all_of(connection: socket.socket) -> str:
    found = b""
    while data := connection.recv(65536):
        found += data
    return found.decode()


def _send_all(connection: socket.socket, block: bytes) -> None:
    connection.sendall(block)
    connection.shutdown(socket.SHUT_WR)


def asked(way: EgressSocket, text: str) -> str:
    with connected(way) as connection:
        connection.sendall(text.encode())
        return all_of(connection)


def test_a_plain_request_reaches_its_host_in_origin_form_and_without_what_is_for_the_proxy(
    way: EgressSocket, server: int
) -> None:
    head = f"POST http://files.example:{server}/a?b=1 HTTP/1.1\r\nHost: other.example\r\nUpgrade: h2c\r\n"
    answer = asked(way, f"{head}Proxy-Authorization: Basic eA==\r\nContent-Length: 4\r\n\r\nbody")
    assert answer.startswith("HTTP/1.1 200")
    assert answer.endswith(f"POST /a?b=1 files.example:{server} [] body")
    assert way.refusals() == ()


def test_a_tunnel_carries_bytes_both_ways_until_both_ends_are_closed(way: EgressSocket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, connected(way) as connection:
        port = listener.getsockname()[1]
        connection.sendall(f"CONNECT x.lab.example:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly".encode())
        there, _ = listener.accept()
        with there:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            assert there.recv(5) == b"early"
            connection.shutdown(socket.SHUT_WR)
            assert there.recv(1) == b""
            block = b"x" * 3_000_000
            threading.Thread(target=_send_all, args=(there, block)).start()
            assert len(all_of(connection)) == len(block)
    until(lambda: way.connections == 0)


@pytest.mark.parametrize(
    ("target", "status", "said"),
    [
        ("CONNECT 169.254.169.254:80", 403, "the host 169.254.169.254 has the address 169.254.169.254, which is not"),
        ("CONNECT [::ffff:127.0.0.1]:8080", 403, "which is not a public one"),
        ("CONNECT [fd00::1]:443", 403, "which is not a public one"),
        ("CONNECT fd00::1:443", 403, "the host fd00::1 has the address fd00::1"),
        ("CONNECT rebound.example:443", 403, "the host rebound.example has the address 127.0.0.1"),
        ("CONNECT lab.example:443", 403, "the host lab.example has the address 127.0.0.1"),
        ("CONNECT notlab.example:443", 403, "the host notlab.example has the address"),
        ("CONNECT 93.184.215.14:25", 403, "port 25 of 93.184.215.14 is not for engines"),
        ("GET http://10.0.0.1/", 403, "the host 10.0.0.1 has the address 10.0.0.1"),
        ("GET ftp://files.example/x", 501, "http and https only, not ftp"),
        ("GET /index.html", 400, "names no host"),
        ("CONNECT files.example:99999", 400, "names no host"),
    ],
)
def test_what_is_not_allowed_is_refused_with_a_sentence_in_reason_and_body(
    way: EgressSocket, target: str, status: int, said: str
) -> None:
    answer = asked(way, f"{target} HTTP/1.1\r\nHost: x\r\n\r\n")
    first, _, body = answer.partition("\r\n\r\n")
    assert first.startswith(f"HTTP/1.1 {status} ")
    assert said in first.splitlines()[0]
    assert said in body
    assert len(way.refusals()) == (status == 403)
    assert all("WES_ENGINE_NETWORK" in sentence for sentence in way.refusals())


def test_what_is_no_http_or_has_an_endless_head_is_refused(way: EgressSocket) -> None:
    assert asked(way, "\x16\x03\x01\x02\x00\r\n\r\n").startswith("HTTP/1.1 400")
    endless = f"GET http://files.example/ HTTP/1.1\r\nX: {'x' * 100_000}"
    assert asked(way, endless).startswith("HTTP/1.1 400")


def test_a_host_that_does_not_answer_is_said_to_be_away(way: EgressSocket, server: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    answer = asked(way, f"CONNECT files.example:{port} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 502 the host files.example can't be reached at port {port}\r\n")
    assert way.refusals() == ()


def test_refusals_are_kept_once_each_and_not_without_end(way: EgressSocket) -> None:
    for number in (1, 1, *range(2, 50)):
        asked(way, f"CONNECT 10.0.0.{number}:443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(way.refusals()) == module.MOST_REFUSALS
    assert "10.0.0.1 " in way.refusals()[0]
    assert "10.0.0.2 " in way.refusals()[1]


def test_one_sandbox_with_too_many_connections_does_not_keep_another_out(
    proxy: EgressProxy, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)
    greedy, other = proxy.open("r1"), proxy.open("r1")
    held = [connected(greedy) for _ in range(3)]
    until(lambda: greedy.connections == 3)
    with connected(greedy) as refused:
        assert refused.recv(1) == b""
    assert asked(other, f"GET http://files.example:{server}/ HTTP/1.1\r\nHost: x\r\n\r\n").startswith("HTTP/1.1 200")
    for each in held:
        each.close()
    until(lambda: greedy.connections == 0)


def test_who_says_nothing_and_a_tunnel_in_which_nothing_moves_are_ended(
    way: EgressSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.5)
    assert asked(way, "GET http://files.example/ HTTP/1.1\r\n") == ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        answer = asked(way, f"CONNECT files.example:{listener.getsockname()[1]} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer == "HTTP/1.1 200 Connection established\r\n\r\n"
    assert time.monotonic() - began >= 0.5


def test_another_account_and_a_closed_way_get_nothing(tmp_path: Path, server: int) -> None:
    for proxy in proxy_of(tmp_path, NAMED, uids=[os.geteuid() + 1]):
        with connected(proxy.open("r1")) as connection:
            assert connection.recv(1) == b""
    for proxy in proxy_of(tmp_path, NAMED):
        way = proxy.open("r1")
        proxy.close(way)
        with pytest.raises(OSError, match="No such file"):
            connected(way)


def test_the_setting_is_public_none_or_a_list() -> None:
    public, mixed = chosen_policy(["public"], "S"), chosen_policy(["public", "10.0.0.0/8"], "S")
    listed = chosen_policy(["github.com", "*.githubusercontent.com", "10.1.0.0/16"], "S")
    assert chosen_policy(["none"], "S") is None
    assert public == NetworkPolicy(setting="S")
    assert mixed is not None
    assert mixed.public
    assert listed is not None
    assert not listed.public
    for wrong in ([], ["none", "github.com"], ["*"], ["a/b"], ["x*.org"]):
        with pytest.raises(SettingsError, match="S: "):
            chosen_policy(wrong, "S")
