import ipaddress

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from service_runtime.client_address import client_address
from service_runtime.throttling.identity import client_of, client_of_address

PEER = "192.0.2.1"


@pytest.mark.parametrize(
    ("proxies", "header", "address"),
    [
        # Without a proxy, the header comes from the client.
        (0, None, PEER),
        (0, "203.0.113.7", PEER),
        # The last entry comes from the proxy; the client can send any others.
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1,198.51.100.2 ,  203.0.113.7 ", "203.0.113.7"),
        (2, "198.51.100.1, 203.0.113.7, 192.0.2.9", "203.0.113.7"),
        # The request did not pass all proxies.
        (1, None, PEER),
        (2, "203.0.113.7", PEER),
        (3, "203.0.113.7, 192.0.2.9", PEER),
        # The entry is not an address.
        (1, "", PEER),
        (1, "unknown", PEER),
        (1, "203.0.113.7, ", PEER),
        (1, "_hidden, 203.0.113.256", PEER),
        (1, "::ffff:203.0.113.7", "203.0.113.7"),
        (1, "203.0.113.7:4711", "203.0.113.7"),
        (1, "[2001:db8::7]:443", "2001:db8::7"),
        (1, "2001:db8::7", "2001:db8::7"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "\u0661.1.1.1", PEER),
    ],
)
def test_the_client_address_behind_proxies(settings, proxies, header, address):
    settings.NUM_PROXIES = proxies
    extra = {} if header is None else {"HTTP_X_FORWARDED_FOR": header}
    request = RequestFactory().get("/", REMOTE_ADDR=PEER, **extra)

    assert client_address(request) == ipaddress.ip_address(address)


def test_a_peer_without_an_address_is_unknown(settings):
    request = RequestFactory().get("/", REMOTE_ADDR="")

    assert client_address(request) is None
    assert client_of(request, AnonymousUser()) == "ip:unknown"


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "ip:203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "ip:2001:db8:1:2::/64"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_64(address, client):
    assert client_of_address(ipaddress.ip_address(address)) == client


def get_client(request):
    return request.headers.get("X-Api-Key") and f"key:{request.headers['X-Api-Key']}"


def test_a_hook_can_identify_clients(settings):
    settings.THROTTLING_GET_CLIENT = f"{__name__}.get_client"
    with_key = RequestFactory().get("/", headers={"X-Api-Key": "a{b}\u00e9"})
    without = RequestFactory().get("/", REMOTE_ADDR=PEER)

    assert client_of(with_key, AnonymousUser()) == "key:a%7Bb%7D%C3%A9"
    assert client_of(without, AnonymousUser()) == f"ip:{PEER}"
