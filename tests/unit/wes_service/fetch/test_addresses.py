from ipaddress import ip_address

import pytest

from common.errors import SettingsError
from sandbox.network import is_public, network_policy


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "140.82.121.4", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses_may_be_asked(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)
def test_all_other_addresses_may_not_however_they_are_written(address: str) -> None:
    assert not is_public(ip_address(address))


def test_the_operator_may_allow_hosts_by_name_and_networks() -> None:
    allowed = network_policy(["git.lab.example", "*.wild.example", "10.0.0.0/8", "::1", "192.168.7.7"])
    assert allowed.allows("GIT.lab.example.", ip_address("192.168.1.1"))
    assert allowed.allows("a.b.wild.example", ip_address("192.168.1.1"))
    assert not allowed.allows("wild.example", ip_address("192.168.1.1"))
    assert allowed.allows("any", ip_address("10.9.9.9"))
    assert allowed.allows("any", ip_address("::ffff:10.9.9.9"))
    assert allowed.allows("any", ip_address("::1"))
    assert allowed.allows("any", ip_address("192.168.7.7"))
    assert allowed.allows("any", ip_address("8.8.8.8"))
    assert not allowed.allows("other.lab.example", ip_address("192.168.1.1"))
    assert not allowed.allows("any", ip_address("127.0.0.1"))


@pytest.mark.parametrize("text", ["10.0.0.0/99", "*", "a.*.example.org", "http://host"])
def test_what_is_neither_is_a_mistake_that_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="WES_FETCH_ALLOW"):
        network_policy([text])
