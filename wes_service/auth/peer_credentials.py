"""Which account of this machine is at the other end of a loopback connection; the kernel says it.

Asked by netlink (sock_diag(7)), one socket by its two addresses; where that is not there, as in some sandboxes, the
tables in /proc/net are read. A socket that its process has closed already belongs to nobody: the kernel shows root.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NETLINK_HEADER = struct.Struct("=IHHII")
ANY_INTERFACE_AND_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
UID_AND_INODE = struct.Struct("=II")
"""uid and inode, the last two fields of inet_diag_msg."""
INET_DIAG_MSG_BYTES = 72
NETLINK_TIMEOUT_SECONDS = 1.0
ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT = 1, 4, 5, 8
CLIENT_STATES = frozenset({ESTABLISHED, FIN_WAIT1, FIN_WAIT2})
SERVER_STATES = frozenset({ESTABLISHED, CLOSE_WAIT})
PROC_NET = Path("/proc/net")

IpAddress: TypeAlias = IPv4Address | IPv6Address


class SocketAddress(NamedTuple):
    """One end of a connection."""

    ip: IpAddress
    port: int


@dataclass(frozen=True, kw_only=True)
class SocketInfo:
    """A socket as the kernel shows it; `inode` 0: no process has it any more."""

    state: int
    uid: int
    inode: int


class ConnectedSocket(Protocol):
    """What is needed of a connected socket; event loops have stand-ins for it."""

    def getsockname(self) -> Any: ...

    def getpeername(self) -> Any: ...

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


def uid_of_client(connection: ConnectedSocket) -> int | None:
    """The account of the process that connected; None where there is none to be told.

    The socket of the client is looked up by its addresses, and no other can have had them if ours still stands then.
    """
    try:
        ours, theirs = address_of(connection.getsockname()), address_of(connection.getpeername())
        client = _socket_info(theirs, ours)
        is_connected = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in SERVER_STATES
    except OSError:
        return None
    if client is None or not is_connected or not client.inode or client.state not in CLIENT_STATES:
        return None
    return client.uid


def address_of(name: tuple[object, ...]) -> SocketAddress:
    """From what `getsockname` gives; an IPv4 address written as IPv6 (`::ffff:127.0.0.1`) is the IPv4 one."""
    ip = ip_address(str(name[0]).partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return SocketAddress(mapped or ip, int(str(name[1])))


def query_sock_diag(local: SocketAddress, remote: SocketAddress) -> SocketInfo | None:
    """The socket with these addresses, by sock_diag; `OSError` where the kernel offers none."""
    family = socket.AF_INET if local.ip.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + _addresses(local, remote)
    body += ANY_INTERFACE_AND_COOKIE
    head = NETLINK_HEADER.pack(NETLINK_HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(NETLINK_TIMEOUT_SECONDS)
        netlink.send(head + body)
        answer = netlink.recv(4096)
    if NETLINK_HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        _raise_netlink_error(answer)
        return None
    message = answer[NETLINK_HEADER.size : NETLINK_HEADER.size + INET_DIAG_MSG_BYTES]
    if not message.startswith(tuple(_addresses(*ends) for ends in _address_forms(local, remote)), 4):
        # Where there is no such connection, a socket that listens on its address is shown.
        return None
    uid, inode = UID_AND_INODE.unpack_from(message, INET_DIAG_MSG_BYTES - UID_AND_INODE.size)
    return SocketInfo(state=message[1], uid=uid, inode=inode)


def read_proc_net(local: SocketAddress, remote: SocketAddress, folder: Path = PROC_NET) -> SocketInfo | None:
    """The same from /proc/net, which is longer to read the more connections the machine has."""
    forms = {(_hexadecimal(mine), _hexadecimal(other)) for mine, other in _address_forms(local, remote)}
    for table in ("tcp", "tcp6"):
        for words in _rows(folder / table):
            if (words[1], words[2]) in forms:
                return SocketInfo(state=int(words[3], 16), uid=int(words[7]), inode=int(words[9]))
    return None


def _socket_info(local: SocketAddress, remote: SocketAddress) -> SocketInfo | None:
    try:
        return query_sock_diag(local, remote)
    except OSError:
        return read_proc_net(local, remote)


def _raise_netlink_error(answer: bytes) -> None:
    """The kernel's error, unless it is that there is no such socket."""
    (code,) = struct.unpack_from("=i", answer, NETLINK_HEADER.size)
    if -code != errno.ENOENT:
        raise OSError(-code, "sock_diag")


def _addresses(local: SocketAddress, remote: SocketAddress) -> bytes:
    ports = struct.pack("!HH", local.port, remote.port)
    return ports + local.ip.packed.ljust(16, b"\0") + remote.ip.packed.ljust(16, b"\0")


def _address_forms(local: SocketAddress, remote: SocketAddress) -> Iterator[tuple[SocketAddress, SocketAddress]]:
    """A client that asked for `::ffff:127.0.0.1` talks IPv4 and is shown as one of IPv6."""
    yield local, remote
    if local.ip.version == 4:
        yield _mapped(local), _mapped(remote)


def _mapped(address: SocketAddress) -> SocketAddress:
    return SocketAddress(IPv6Address(f"::ffff:{address.ip}"), address.port)


def _hexadecimal(address: SocketAddress) -> str:
    """As /proc/net has it: words of 32 bits in the machine's own order of bytes."""
    packed = address.ip.packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address.port:04X}"


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        with table.open() as lines:
            next(lines, None)
            for line in lines:
                yield line.split()
    except FileNotFoundError:
        return
