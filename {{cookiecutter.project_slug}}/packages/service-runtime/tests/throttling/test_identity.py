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
        # Nobody's word is taken when there is no proxy.
        (0, None, PEER),
        (0, "203.0.113.7", PEER),
        # The last entry is the proxy's own; what precedes it is whatever the client sent.
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1, 203.0.113.7", "203.0.113.7"),
        (1, "198.51.100.1,198.51.100.2 ,  203.0.113.7 ", "203.0.113.7"),
        (2, "198.51.100.1, 203.0.113.7, 192.0.2.9", "203.0.113.7"),
        # A request that did not come through all of them.
        (1, None, PEER),
        (2, "203.0.113.7", PEER),
        (3, "203.0.113.7, 192.0.2.9", PEER),
        # What is no address.
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
def test_the_address_that_counts(settings, proxies, header, address):
    settings.NUM_PROXIES = proxies
    extra = {} if header is None else {"HTTP_X_FORWARDED_FOR": header}
    request = RequestFactory().get("/", REMOTE_ADDR=PEER, **extra)

    assert client_address(request) == ipaddress.ip_address(address)


def test_a_peer_without_an_address(settings):
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
def test_a_client_is_an_address_or_a_64(address, client):
    assert client_of_address(ipaddress.ip_address(address)) == client


def get_client(request):
    return request.headers.get("X-Api-Key") and f"key:{request.headers['X-Api-Key']}"


def test_a_hook_may_key_by_something_else(settings):
    settings.THROTTLING_GET_CLIENT = f"{__name__}.get_client"
    with_key = RequestFactory().get("/", headers={"X-Api-Key": "a{b}\u00e9"})
    without = RequestFactory().get("/", REMOTE_ADDR=PEER)

    assert client_of(with_key, AnonymousUser()) == "key:a%7Bb%7D%C3%A9"
    assert client_of(without, AnonymousUser()) == f"ip:{PEER}"
