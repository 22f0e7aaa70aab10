"""Nobody is answered with what was kept for somebody else."""

import itertools
import re

import pytest
from cacheops import invalidate_all
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command, get_commands
from knox.models import AuthToken
from rest_framework.test import APIClient
from service_runtime.routes import all_views

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def by_token(user):
    _, token = AuthToken.objects.create(user)
    return APIClient(headers={"Authorization": f"Token {token}"})


def by_session(user):
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def visitors():
    """Return clients: nobody, two users and one who may do everything, each in either way."""
    users = get_user_model().objects
    ada, grace = users.create_user("ada"), users.create_user("grace")
    root = users.create_superuser("root")
    return {
        "nobody": APIClient(),
        "ada, token": by_token(ada),
        "ada, session": by_session(ada),
        "grace, token": by_token(grace),
        "root, session": by_session(root),
    }


def paths():
    """Return the path of every view, with 1 for what a route leaves open."""
    routes = [route for route, _ in all_views() if "^" not in route and "logout" not in route]
    return sorted({"/" + re.sub(r"<[^>]*>", "1", route) for route in routes})


def answer_of(client, path):
    """Return what a client is answered, without what is made anew for each answer."""
    answer = client.get(path, SERVER_NAME="localhost")
    body = b"" if answer.streaming else answer.content
    body = re.sub(rb'(csrfmiddlewaretoken" value=|csrfToken = )"[^"]*"', b"", body)
    return answer.status_code, answer.headers.get("Location"), body


def test_every_answer_is_one_s_own_whoever_asked_before(visitors, settings):
    rates = dict.fromkeys(settings.THROTTLE_RATES, "1000000/hour")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    if "load_blogs" in get_commands():
        call_command("load_blogs", verbosity=0)
    assert {"/", "/api/schema/", "/admin/"} <= set(paths())

    for path in paths():
        settings.CACHEOPS_ENABLED = False
        own = {name: answer_of(client, path) for name, client in visitors.items()}
        settings.CACHEOPS_ENABLED = True
        for first, second in itertools.permutations(visitors, 2):
            invalidate_all()
            cache.clear()
            for name in (first, second, first):
                assert answer_of(visitors[name], path) == own[name], (path, first, second)
