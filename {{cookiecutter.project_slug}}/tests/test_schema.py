"""The API does what its OpenAPI schema says, whatever a client sends: schemathesis tries."""

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from knox.models import AuthToken

from {{ cookiecutter.project_slug }}.wsgi import application

api = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
bounded = hypothesis_settings(
    derandomize=True,
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def _host(db, settings):
    settings.ALLOWED_HOSTS = ["localhost"]


@pytest.fixture
def token(db):
    """Return the headers of a client that may do everything."""
    user = get_user_model().objects.create_superuser("root")
    return {"Authorization": f"Token {AuthToken.objects.create(user)[1]}"}


@pytest.fixture
def unlimited(settings, set_rates):
    """Have throttles that count, and deny nothing."""
    set_rates(**dict.fromkeys(settings.THROTTLE_RATES, "1000000/hour"))


@pytest.fixture
def exhausted(settings, set_rates):
    """Have throttles that deny nearly everything."""
    set_rates(**dict.fromkeys(settings.THROTTLE_RATES, "1/hour"))


@api.parametrize()
@bounded
def test_for_anonymous_clients(case, unlimited):
    case.call_and_validate()


@api.parametrize()
@bounded
def test_for_clients_with_a_token(case, unlimited, token):
    case.call_and_validate(headers=token)


@api.parametrize()
@bounded
def test_for_clients_over_their_limit(case, exhausted, token):
    case.call_and_validate(headers=token)
