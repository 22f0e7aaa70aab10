"""Private, undocumented and replaced APIs of other libraries on which the package relies.

A release that changes one fails here, with the library's version and the modules concerned. A
private name in `src` that has no contract fails too.
"""

import importlib
import inspect
import logging
import os
import queue
import re
import socket
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import prometheus_client.metrics
import prometheus_client.values
import pytest
from cacheops.query import ManagerMixin, QuerySetMixin
from cacheops.transaction import transaction_states
from csp.decorators import csp_update
from csp.middleware import CheckableLazyObject, CSPMiddleware
from django.contrib.auth import get_user_model
from django.contrib.auth import middleware as auth_middleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends.base import SessionBase
from django.core.cache.backends.redis import RedisCache, RedisCacheClient
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject, empty
from django.utils.log import log_response
from drf_spectacular.drainage import GENERATOR_STATS
from environs import Env, FileAwareEnv
from gunicorn.http.message import Message
from prometheus_client.multiprocess import MultiProcessCollector
from psycopg.errors import _WaitTimeout
from psycopg.waiting import Wait, wait
from pythonjsonlogger.core import RESERVED_ATTRS
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.test import force_authenticate

from service_runtime.serving.contract import GUNICORN
from tests.sources import MODULES, modules_with, names_in, parameters

Contract = tuple[str, Callable[[], object]]


def takes(path: str, *names: str) -> Contract:
    """Return the contract that a function takes these parameters, in this order."""
    return path, lambda: parameters(path) == list(names)


def has(path: str, *names: str) -> Contract:
    """Return the contract that a function has these parameters among others."""
    return path, lambda: {*parameters(path)} >= {*names}


def private(kind: Callable[..., Any], *arguments: Any) -> Any:
    """Return an instance whose private attributes mypy does not know."""
    return kind(*arguments)


def users() -> Any:
    return get_user_model().objects.all()


def nonce_is_stored_in_the_request() -> bool:
    request: Any = RequestFactory().get("/")
    middleware = CSPMiddleware(lambda request: HttpResponse())
    middleware.process_request(request)
    before = getattr(request, "_csp_nonce", None)
    return before is None and str(request.csp_nonce) == request._csp_nonce


def update_of_a_view_is_stored_in_the_response() -> bool:
    change = {"style-src": ["example.com"]}
    response: Any = csp_update(change)(lambda request: HttpResponse())(HttpRequest())
    return bool(response._csp_update == change)


def policy_of_a_view_is_stored_in_the_response() -> bool:
    source = inspect.getsource(importlib.import_module("csp.decorators"))
    return set(re.findall(r"response\.(\w+) =", source)) <= {
        f"_csp_{name}{suffix}" for name in ("exempt", "update", "replace", "config")
        for suffix in ("", "_ro")
    }  # fmt: skip


def messages_are_stored_in_the_request() -> bool:
    request: Any = RequestFactory().get("/")
    request.session = {}
    MessageMiddleware(lambda request: HttpResponse()).process_request(request)
    return hasattr(request, "_messages")


def user_of_a_request_is_stored_in_both() -> bool:
    request: Any = Request(RequestFactory().get("/"))
    request.user = request.auth = user = get_user_model()()
    return request._user is request._auth is request._request.user is user


def forced_user_is_stored_in_the_request() -> bool:
    request: Any = RequestFactory().get("/")
    force_authenticate(request, user := get_user_model()())
    return request._force_auth_user is user


def metrics_take_their_lock_from_the_module() -> bool:
    modules: list[Any] = [prometheus_client.metrics, prometheus_client.values]
    return all(re.search(r"= Lock\(\)", inspect.getsource(module)) for module in modules)


def lazy_object_stores_what_it_wraps() -> bool:
    lazy: Any = SimpleLazyObject(list)
    return vars(lazy)["_wrapped"] is empty and lazy == [] and vars(lazy)["_wrapped"] == []


def a_wait_that_times_out_raises() -> bool:
    left, right = socket.socketpair()

    def never_ready() -> Generator[Wait, Any, None]:
        while True:
            yield Wait.R

    with left, right, suppress(_WaitTimeout):
        wait(never_ready(), left.fileno(), 0.01, 0.02)
        return False
    return True


CACHEOPS, DJANGO, DRF, REDIS = "django-cacheops", "Django", "djangorestframework", "redis"
PROMETHEUS, JSON_LOGGER, CSP = "prometheus-client", "python-json-logger", "django-csp"
SPECTACULAR = "drf-spectacular"
CONTRACTS: list[tuple[str, Contract]] = [
    (CACHEOPS, takes("cacheops.query.QuerySetMixin._cache_key", "self", "prefix")),
    (CACHEOPS, takes("cacheops.query.QuerySetMixin._should_cache", "self", "op")),
    (CACHEOPS, takes("cacheops.query.QuerySetMixin.aggregate", "self", "args", "kwargs")),
    (CACHEOPS, takes("cacheops.query.ManagerMixin._pre_save",
                     "self", "sender", "instance", "using", "kwargs")),
    (CACHEOPS, ("cacheops.query._old_objs",
                lambda: "_old_objs.__dict__.pop" in inspect.getsource(ManagerMixin))),
    (CACHEOPS, ("cacheops.query.QuerySetMixin._cacheprofile",
                lambda: users()._cacheprofile["timeout"] == 60 * 15)),
    (CACHEOPS, ("cacheops.query.QuerySetMixin._prefix", lambda: isinstance(users()._prefix, str))),
    (CACHEOPS, takes("cacheops.getset.getting", "key", "cond_dnfs", "prefix", "lock")),
    (CACHEOPS, takes("cacheops.getset.cache_thing", "prefix", "cache_key", "data", "cond_dnfs",
                     "timeout", "dbs", "precall_key", "expected_checksum")),
    (CACHEOPS, ("cacheops.query.getting", lambda: "cache_thing, getting" in inspect.getsource(
        importlib.import_module(QuerySetMixin.__module__)))),
    (CACHEOPS, takes("cacheops.getset.dnfs_to_conj_keys", "prefix", "cond_dnfs")),
    (CACHEOPS, takes("cacheops.getset.dnfs_to_schemes", "cond_dnfs")),
    (CACHEOPS, takes("cacheops.getset.join_stamps", "stamps")),
    (CACHEOPS, takes("cacheops.tree.dnfs", "qs")),
    (CACHEOPS, takes("cacheops.invalidation.get_obj_dict", "model", "obj")),
    (CACHEOPS, takes("cacheops.invalidation.invalidate_dict", "model", "obj_dict", "using")),
    (CACHEOPS, takes("cacheops.invalidation.serializable_fields", "model")),
    (CACHEOPS, takes("cacheops.transaction.is_sql_dirty", "sql")),
    (CACHEOPS, ("cacheops.transaction.transaction_states",
                lambda: not transaction_states["default"])),
    (CACHEOPS, takes("cacheops.redis.load_script", "name")),
    (DJANGO, has("django.db.models.query.QuerySet._insert", "using", "on_conflict")),
    (DJANGO, has("django.db.models.base.Model._do_update", "base_qs", "using", "values")),
    (DJANGO, has("django.db.models.query.QuerySet._raw_delete", "using")),
    (DJANGO, has("django.db.models.sql.subqueries.UpdateQuery.update_batch", "using")),
    (DJANGO, has("django.db.models.sql.subqueries.DeleteQuery.delete_batch", "using")),
    (DJANGO, ("django.db.models.query.QuerySet._chain", lambda: users()._chain() is not users())),
    (DJANGO, ("django.db.models.query.QuerySet._iterable_class",
              lambda: users()._iterable_class is not users().values()._iterable_class)),
    (DJANGO, ("django.db.models.query.QuerySet._known_related_objects",
              lambda: users()._known_related_objects == {})),
    (DJANGO, takes("django.core.cache.backends.redis.RedisCacheClient._get_connection_pool",
                   "self", "write")),
    (DJANGO, ("django.core.cache.backends.redis.RedisCacheClient._serializer",
              lambda: private(RedisCacheClient, ["redis://a"])._serializer.dumps(1) == 1)),
    (DJANGO, ("django.core.cache.backends.redis.RedisCache._class",
              lambda: private(RedisCache, "redis://a", {})._class is RedisCacheClient)),
    (DJANGO, ("django.core.cache.backends.redis.RedisCache._cache",
              lambda: isinstance(private(RedisCache, "redis://a", {})._cache, RedisCacheClient))),
    (DJANGO, ("django.contrib.sessions.backends.base.SessionBase._validate_session_key",
              lambda: not private(SessionBase)._validate_session_key("short"))),
    (DJANGO, ("django.contrib.messages.HttpRequest._messages", messages_are_stored_in_the_request)),
    (DJANGO, ("django.contrib.auth.HttpRequest._cached_user",
              lambda: "request._cached_user = " in inspect.getsource(auth_middleware))),
    (DJANGO, ("django.utils.functional.LazyObject._wrapped", lazy_object_stores_what_it_wraps)),
    (DJANGO, ("django.utils.log._has_been_logged",
              lambda: 'getattr(response, "_has_been_logged"' in inspect.getsource(log_response))),
    ("psycopg", takes("psycopg.connection.Connection.wait", "self", "gen", "interval", "timeout")),
    ("psycopg", ("psycopg.errors._WaitTimeout", a_wait_that_times_out_raises)),
    (DRF, ("rest_framework.request.Request._request", user_of_a_request_is_stored_in_both)),
    (DRF, ("rest_framework.request.Request._user", user_of_a_request_is_stored_in_both)),
    (DRF, ("rest_framework.request.Request._auth", user_of_a_request_is_stored_in_both)),
    (DRF, ("rest_framework.test.HttpRequest._force_auth_user",
           forced_user_is_stored_in_the_request)),
    (SPECTACULAR, takes("drf_spectacular.openapi.AutoSchema._get_pagination_parameters", "self")),
    (SPECTACULAR, ("drf_spectacular.drainage.GENERATOR_STATS", GENERATOR_STATS.silence)),
    (CSP, ("csp.middleware.HttpRequest._csp_nonce", nonce_is_stored_in_the_request)),
    (CSP, ("csp.middleware.HttpResponse._csp", policy_of_a_view_is_stored_in_the_response)),
    (CSP, ("csp.middleware.HttpResponse._csp_update", update_of_a_view_is_stored_in_the_response)),
    (CSP, ("csp.middleware.CSPMiddleware._csp_nonce_post_response",
           lambda: CheckableLazyObject(CSPMiddleware._csp_nonce_post_response) is not None)),
    (REDIS, takes("redis.connection.Connection._connect", "self")),
    (REDIS, takes("redis.connection.UnixDomainSocketConnection._connect", "self")),
    (REDIS, takes("redis.retry.Retry.call_with_retry",
                  "self", "do", "fail", "is_retryable", "with_failure_count")),
    (REDIS, ("redis.retry.Retry._supported_errors",
             lambda: Retry(NoBackoff(), 1, (OSError,))._supported_errors == (OSError,))),
    (REDIS, takes("redis.connection.AbstractConnection.pack_command", "self", "args")),
    (REDIS, takes("redis.connection.AbstractConnection.send_packed_command",
                  "self", "command", "check_health")),
    (REDIS, has("redis.connection.AbstractConnection.read_response", "self")),
    (REDIS, ("redis.crc.key_slot", lambda: key_slot(b"a:{b}:c") == key_slot(b"b") == 3300)),
    (REDIS, ("redis.exceptions.AskError.slot_id",
             lambda: (MovedError("7 a:1").slot_id, AskError("7 ::1:2").host) == (7, "::1"))),
    (DJANGO, ("django.http.HttpResponse.headers._store",
              lambda: private(HttpResponse, "", "a/b").headers._store
              == {"content-type": ("Content-Type", "a/b")})),
    (PROMETHEUS, ("prometheus_client.values.Lock", metrics_take_their_lock_from_the_module)),
    (PROMETHEUS, ("prometheus_client.values.ValueClass",
                  lambda: "values.ValueClass(" in inspect.getsource(prometheus_client.metrics))),
    (PROMETHEUS, takes("prometheus_client.values.MultiProcessValue", "process_identifier")),
    (PROMETHEUS, ("prometheus_client.multiprocess.MultiProcessCollector._path",
                  lambda: "self._path" in inspect.getsource(MultiProcessCollector.collect))),
    (PROMETHEUS, takes("prometheus_client.multiprocess.MultiProcessCollector.merge",
                       "files", "accumulate")),
    (JSON_LOGGER, takes("pythonjsonlogger.core.BaseJsonFormatter.add_fields",
                        "self", "log_data", "record", "message_dict")),
    (JSON_LOGGER, ("pythonjsonlogger.core.RESERVED_ATTRS",
                   lambda: {*vars(logging.makeLogRecord({}))} <= {*RESERVED_ATTRS})),
    ("environs", ("environs.FileAwareEnv._get_value",
                  lambda: list(inspect.signature(FileAwareEnv._get_value).parameters)
                  == ["self", "env_key", "default"])),
    ("environs", ("environs.Env._fields", lambda: Env()._fields == {})),
    ("environs", ("environs.Env._values", lambda: Env()._values == {})),
    ("environs", ("environs.Env._environ", lambda: Env()._environ == {})),
    ("environs", ("environs.Env._errors", lambda: Env(eager=False)._errors["PORT"] == [])),
    ("gunicorn", takes("gunicorn.http.wsgi.Response.default_headers", "self")),
    ("gunicorn", takes("gunicorn.glogging.Logger.setup", "self", "cfg")),
    ("gunicorn", takes("gunicorn.glogging.Logger.access",
                       "self", "resp", "req", "environ", "request_time")),
    *[("gunicorn", takes(path, *names.split())) for path, names in GUNICORN.items()],
    ("gunicorn", ("gunicorn.http.message.Message._expected_100_continue",
                  lambda: Message._expected_100_continue is False)),
    ("Python", ("queue.Queue.all_tasks_done", lambda: queue.Queue().all_tasks_done.wait_for)),
    ("Python", ("concurrent.futures.ThreadPoolExecutor._work_queue",
                lambda: ThreadPoolExecutor(1)._work_queue.qsize() == 0)),
    ("Python", ("queue.Queue.unfinished_tasks", lambda: queue.Queue().unfinished_tasks == 0)),
]  # fmt: skip
# Names that are documented, and strings that are names of the package itself.
DOCUMENTED = {"_meta", "_state", "_base_manager", "_default_manager", "_fields", "_replace"}
DOCUMENTED |= {name for module in (os, sys) for name in dir(module)}
OWN = {"_message", "_throttling"}
PRIVATE = re.compile(r"_[a-z]\w*")
WITHOUT_IMPORT = {"service_runtime.local_redis"}  # needs a package of the extra `test`


NAMES = {path.rpartition(".")[2] for _, (path, _) in CONTRACTS}


@pytest.mark.parametrize(("library", "contract"), CONTRACTS, ids=[row[1][0] for row in CONTRACTS])
def test_library_has_not_changed(library, contract):
    path, holds = contract
    modules = modules_with(path.rpartition(".")[2])
    assert modules, f"Nothing relies on {path} any more: remove its contract."
    release = "" if library == "Python" else f" {version(library)}"
    sentence = f"{library}{release}: {path} changed; {', '.join(modules)} relies on it."
    try:
        is_as_before = holds() is not False
    except Exception as error:
        raise AssertionError(sentence) from error
    assert is_as_before, sentence


def test_every_private_name_of_another_library_has_a_contract():
    found = {module: names_in(path) for module, path in MODULES.items()}
    known = NAMES | DOCUMENTED | OWN | {name for defined, _ in found.values() for name in defined}

    assert [
        f"{module}: {name}"
        for module, (_, used) in found.items()
        for name in sorted(used - known)
        if PRIVATE.fullmatch(name)
    ] == []


@pytest.mark.parametrize("module", [name for name in MODULES if name not in WITHOUT_IMPORT])
def test_every_private_method_that_is_overridden_has_a_contract(module):
    classes = [
        cls
        for cls in vars(importlib.import_module(module)).values()
        if issubclass(type(cls), type) and cls.__module__ == module
    ]

    assert [
        f"{cls.__qualname__}.{name} overrides that of {base.__module__}.{base.__qualname__}"
        for cls in classes
        for base in cls.__mro__
        for name in vars(cls).keys() & vars(base).keys() - NAMES
        if PRIVATE.fullmatch(name) and callable(vars(cls)[name])
        if not base.__module__.startswith("service_runtime")
    ] == []
