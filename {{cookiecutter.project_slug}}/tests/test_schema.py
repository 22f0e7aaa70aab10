"""schemathesis checks that the API behaves as its OpenAPI schema says, for any request."""

from typing import Any

import pytest
import schemathesis
from django.contrib.auth import get_user_model
{%- if cookiecutter.example_app == "yes" %}
from django.core.management.color import no_style
{%- endif %}
from django.core.signals import request_finished, request_started
{%- if cookiecutter.example_app == "yes" %}
from django.db import close_old_connections, connection
{%- else %}
from django.db import close_old_connections
{%- endif %}
from hypothesis import HealthCheck, Phase
from hypothesis import settings as bounds
from knox.models import AuthToken
from schemathesis.specs.openapi import checks
{% if cookiecutter.example_app == "yes" %}
from {{ cookiecutter.project_slug }}.blog.models import Author, Blog
{%- endif %}
from {{ cookiecutter.project_slug }}.wsgi import application

api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
bounded = bounds(
    derandomize=True,
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
EXCLUDED: Any = [
    # Serializers coerce "1" to 1, and validate more than a schema can express.
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
    # REST framework authenticates before it checks the method: 401 instead of 405.
    checks.unsupported_method,
]


@pytest.fixture(autouse=True)
def _one_transaction(db, settings):
    """Keep the connection open for the test's transaction, as Django's test client does."""
    settings.ALLOWED_HOSTS = ["localhost"]
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
{%- if cookiecutter.example_app == "yes" %}


@pytest.fixture(autouse=True)
def _blogs(db):
    for number in range(5):  # IDs that schemathesis tries
        author = Author.objects.create(pk=number, name=f"Author {number}")
        Blog.objects.create(pk=number, author=author, title="First", body="Hello")
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Author, Blog]):
            cursor.execute(statement)
{%- endif %}


@pytest.fixture
def token(db):
    """Return the headers of a superuser's client that accepts problem details."""
    user = get_user_model().objects.create_superuser("root")
    return {
        "Authorization": f"Token {AuthToken.objects.create(user)[1]}",
        "Accept": "application/json, application/problem+json",
    }


@pytest.fixture
def unlimited(settings, set_rates):
    """Throttles count and deny nothing."""
    set_rates(**dict.fromkeys(settings.THROTTLE_RATES, "1000000/hour"))


@pytest.fixture
def exhausted(settings, set_rates):
    """Throttles deny every request after the first."""
    set_rates(**dict.fromkeys(settings.THROTTLE_RATES, "1/hour"))


@api.parametrize()
@bounded
def test_anonymous_clients(case, unlimited):
    case.call_and_validate(excluded_checks=EXCLUDED)


@api.parametrize()
@bounded
def test_clients_with_a_token(case, unlimited, token):
    case.call_and_validate(headers=token, excluded_checks=EXCLUDED)


@api.parametrize()
@bounds(bounded, max_examples=3)
def test_clients_over_their_limit(case, exhausted, token):
    case.call_and_validate(headers=token, excluded_checks=EXCLUDED)
