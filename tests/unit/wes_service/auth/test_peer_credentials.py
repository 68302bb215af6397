import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.other_account import NOBODY, root_only, say_as
from wes_service.auth import peer_credentials
from wes_service.auth.peer_credentials import (
    SocketAddress,
    SocketInfo,
    address_of,
    query_sock_diag,
    read_proc_net,
    uid_of_client,
)

ENDS = [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1"), ("AF_INET6", "::ffff:127.0.0.1")]
WAYS = [query_sock_diag, read_proc_net]


def listening(host: str) -> socket.socket:
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    return socket.create_server((host.removeprefix("::ffff:"), 0), family=family)


@contextmanager
def connected(family: str, host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end and the client's."""
    with listening(host) as server, socket.socket(getattr(socket, family)) as client:
        client.connect((host, server.getsockname()[1]))
        ours, _ = server.accept()
        with ours:
            yield ours, client


def ends(ours: socket.socket) -> tuple[SocketAddress, SocketAddress]:
    return address_of(ours.getpeername()), address_of(ours.getsockname())


@pytest.mark.parametrize(("family", "host"), ENDS)
def test_a_client_of_this_account_is_known(family: str, host: str) -> None:
    with connected(family, host) as (ours, _):
        assert uid_of_client(ours) == os.geteuid()


@pytest.mark.parametrize(("family", "host"), ENDS)
def test_netlink_and_the_tables_say_the_same(family: str, host: str) -> None:
    with connected(family, host) as (ours, client):
        inode = os.fstat(client.fileno()).st_ino
        expected = SocketInfo(state=peer_credentials.ESTABLISHED, uid=os.geteuid(), inode=inode)
        assert [way(*ends(ours)) for way in WAYS] == [expected, expected]


@root_only
@pytest.mark.parametrize(("family", "host"), ENDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_client_of_another_account_is_known_as_such(
    family: str, host: str, way: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_credentials, "query_sock_diag", way)
    client: list[int | None] = []

    def serve(server: socket.socket) -> None:
        ours, _ = server.accept()
        with ours:
            ours.recv(10)
            client.append(uid_of_client(ours))

    with listening(host) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        say_as(NOBODY, b"hello", server.getsockname()[1], family=family, host=host)
        thread.join()
    assert client == [NOBODY]


def test_a_client_that_closed_its_end_belongs_to_nobody_not_to_root() -> None:
    with connected("AF_INET", "127.0.0.1") as (ours, client):
        client.close()
        assert uid_of_client(ours) is None


def test_a_client_that_only_ended_what_it_sends_is_still_known() -> None:
    with connected("AF_INET", "127.0.0.1") as (ours, client):
        client.shutdown(socket.SHUT_WR)
        assert uid_of_client(ours) == os.geteuid()


def test_a_connection_that_was_reset_tells_nothing() -> None:
    with connected("AF_INET", "127.0.0.1") as (ours, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert uid_of_client(ours) is None


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_that_listens_at_the_clients_address_is_not_taken_for_it(way: object) -> None:
    with listening("127.0.0.1") as server:
        address = address_of(server.getsockname())
        assert callable(way)
        assert way(address, SocketAddress(address.ip, 1)) is None


def test_where_the_kernel_has_no_netlink_the_tables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_netlink(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(peer_credentials, "query_sock_diag", no_netlink)
    with connected("AF_INET", "127.0.0.1") as (ours, _):
        assert uid_of_client(ours) == os.geteuid()


def test_where_neither_is_there_nothing_is_told(tmp_path: Path) -> None:
    with connected("AF_INET", "127.0.0.1") as (ours, _):
        assert read_proc_net(*ends(ours), folder=tmp_path) is None
