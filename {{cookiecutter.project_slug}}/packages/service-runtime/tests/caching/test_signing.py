"""Write access to Redis is not enough to choose what is unpickled."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import redis
from cacheops import cached, cached_as
from django.contrib.auth.models import Group
from django.core.cache import cache
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.caching import signing
from service_runtime.caching.dependencies import Dependencies
from service_runtime.caching.store import get_or_compute

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def server(settings):
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


class Exploit:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@cached(timeout=60)
def by_time():
    return ["by time"]


@cached_as(Group, timeout=60)
def by_model():
    return ["by model"]


def set_key():
    cache.set("key", ["value"])


groups: Any = Group.objects  # cacheops adds methods
READS = {
    "cache.get": lambda: cache.get_or_set("key", ["value"]),
    "cache.get_many": lambda: cache.get_many(["key"]).get("key") or set_key(),
    "cached": by_time,
    "cached_as": by_model,
    "queryset": lambda: [group.name for group in Group.objects.all()],
    "get": lambda: Group.objects.get().name,
    "count": lambda: groups.cache().count(),
    "response": lambda: get_or_compute("name", Dependencies.of([Group]), lambda: b"body").value,
}
TAMPERING = {
    "unsigned": lambda value, forged: forged,
    "signed with another key": lambda value, forged: b"\0" * signing.SIZE + forged,
    "appended": lambda value, forged: value + forged,
    "replaced behind the signature": lambda value, forged: value[:-1] + forged,
    "behind its checksum": lambda value, forged: value.partition(b":")[0] + b":" + forged,
    "behind its checksum and signature": lambda value, forged: (
        value[: value.find(b":") + 1 + signing.SIZE] + forged
    ),
    "empty": lambda value, forged: b"",
    "cut": lambda value, forged: value[: len(value) // 2],
    "not text": lambda value, forged: b"\xff\xfe:" + forged,
}


def stored_keys(server):
    """Return the keys of values, without those of stamps and their schemes."""
    keys = server.scan_iter("tests:*")
    return [key for key in keys if b":conj:" not in key and b":schemes:" not in key]


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_tampered_value_is_a_miss_and_runs_no_code(server, tmp_path, read, tamper):
    Group.objects.create(name="editors")
    read()
    expected = read()
    (key,) = stored_keys(server)
    forged = pickle.dumps(Exploit(tmp_path / "file"))
    tampered = tamper(server.get(key), forged)
    server.set(key, tampered)

    read()

    assert not (tmp_path / "file").exists()
    assert server.get(key) != tampered  # deleted or replaced
    assert read() == expected


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_value_copied_from_another_key_is_invalid(server, read):
    Group.objects.create(name="editors")
    read()
    expected = read()
    (key,) = stored_keys(server)
    cache.set("other", ["forged"])
    cached(timeout=60)(lambda: ["forged"])()
    get_or_compute("other", Dependencies.of([Group]), lambda: b"forged")
    for other in stored_keys(server):
        if other != key:
            server.set(key, server.get(other))
            read()
            assert read() == expected


@pytest.mark.parametrize("read", [by_model, READS["queryset"], READS["response"]])
def test_older_value_is_invalid_with_the_current_stamps(server, read):
    group = Group.objects.create(name="editors")
    read()
    (key,) = stored_keys(server)
    older = server.get(key)
    group.save()
    expected = read()
    checksum = server.get(key).partition(b":")[0]
    forged = checksum + b":" + older.partition(b":")[2]
    server.set(key, forged)

    assert read() == expected
    assert server.get(key) != forged


def test_unreadable_value_is_deleted_without_the_others(server):
    cache.set_many({"a": 1, "b": ["b"], "c": ["c"]})
    server.set(cache.make_and_validate_key("b"), pickle.dumps(["forged"]))

    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "c": ["c"]}
    assert not server.exists(cache.make_and_validate_key("b"))
    assert cache.get("c") == ["c"]


class Changing:
    """A class whose state is different in another release."""

    error: type[Exception] | None = None

    def __setstate__(self, state):
        if self.error:
            raise self.error

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, AttributeError, RecursionError])
def test_value_whose_class_cannot_read_it_is_a_miss(server, monkeypatch, error):
    compute = cached_as(Group, timeout=60)(Changing)
    in_time = cached(timeout=60)(Changing)
    cache.set("key", Changing())
    assert compute()
    assert in_time()
    monkeypatch.setattr(Changing, "error", error)

    assert cache.get("key", "missing") == "missing"
    assert cache.get_many(["key"]) == {}
    assert isinstance(compute(), Changing)
    assert isinstance(in_time(), Changing)
    assert not server.exists(cache.make_and_validate_key("key"))


def test_secret_key_fallbacks_are_accepted(settings):
    cache.set("key", ["value"])
    assert by_model() == ["by model"]
    former, settings.SECRET_KEY = settings.SECRET_KEY, "x" * 50
    settings.SECRET_KEY_FALLBACKS = [former]
    assert cache.get("key") == ["value"]

    settings.SECRET_KEY_FALLBACKS = []
    assert cache.get("key") is None


def test_signature_separates_place_and_value():
    signature = signing.sign(b"ab", b"c")[: signing.SIZE]

    with pytest.raises(signing.InvalidSignatureError):
        signing.unsign(b"a", signature + b"bc")


@given(st.binary(), st.binary(), st.binary(), st.binary())
def test_signature_is_valid_for_one_place_and_value_only(place, value, other_place, other_value):
    signed = signing.sign(place, value)
    assert signing.unsign(place, signed) == value
    if (place, value) != (other_place, other_value):
        with pytest.raises(signing.InvalidSignatureError):
            signing.unsign(other_place, signed[: signing.SIZE] + other_value)
