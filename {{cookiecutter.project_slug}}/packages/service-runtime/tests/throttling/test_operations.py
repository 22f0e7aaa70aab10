import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from service_runtime.throttling import operations
from tests.throttling.limiters import UnavailableLimiter

CREDENTIALS = {"username": "ada", "password": "wrong"}


@pytest.fixture
def run(capsys):
    """Return a function that runs the command and returns what it prints."""

    def run(*arguments):
        call_command("throttles", *arguments)
        return capsys.readouterr().out

    return run


def test_scopes_are_listed_with_their_views_and_the_source_of_the_rate(run, settings, set_rates):
    settings.THROTTLE_VARIABLES = ["THROTTLE_LOGIN"]
    set_rates(login="3/min", login__staff="off", unused="1/h")

    assert run() == (
        "login  3/min  (from THROTTLE_LOGIN)\n"
        "    login /admin/login/\n"
        "    TokenApiView /api/token/\n"
        "login__staff  off  (from settings)\n"
        "unused  1/h  (from settings)\n"
    )


@pytest.mark.redis
@pytest.mark.django_db
def test_the_usage_of_a_client_is_shown_and_reset(run, set_rates):
    set_rates(login="3/min;10/h", login_username="off", other="1/h")
    api = APIClient(REMOTE_ADDR="203.0.113.7")
    for _ in range(2):
        api.post("/api/token/", CREDENTIALS)

    shown = run("--client", "ip:203.0.113.7").splitlines()
    assert shown[0] == "ip:203.0.113.7"
    assert [line.split(",")[0].strip() for line in shown[1:]] == [
        "login: 1 of 3 left in 60 s",
        "login: 8 of 10 left in 3600 s",
        "other: 1 of 1 left in 3600 s",
    ]
    assert run("--client", "ip:203.0.113.8", "--scope", "login").count("of 3 left") == 1

    assert run("--client", "ip:203.0.113.7", "--reset") == "ip:203.0.113.7: 2 windows reset.\n"
    assert "login: 3 of 3 left" in run("--client", "ip:203.0.113.7")


@pytest.mark.redis
@pytest.mark.django_db
def test_the_attempts_of_a_username_are_shown_and_reset(run, set_rates):
    set_rates(login="9/min", login_username="3/h")
    APIClient().post("/api/token/", CREDENTIALS)

    shown = run("--client", "username:Ada", "--scope", "login_username").splitlines()

    assert shown[1].split(",")[0].strip() == "login_username: 2 of 3 left in 3600 s"
    assert "ada" not in shown[0].lower()
    # A client can be given as it is shown, and as events have it.
    assert run("--client", shown[0], "--reset") == f"{shown[0]}: 1 window reset.\n"
    assert "3 of 3 left" in run("--client", "username:ada")


@pytest.mark.redis
def test_a_blocked_scope_is_shown_as_blocked(run, set_rates):
    set_rates(login="block", login_username="3/h")

    assert "login  block  (from settings)\n" in run()
    assert run("--client", "ip:203.0.113.7").splitlines()[1:] == [
        "    login: blocked",
        "    login_username: 3 of 3 left in 3600 s",
    ]
    assert run("--client", "ip:203.0.113.7", "--reset").endswith(": 0 windows reset.\n")


@pytest.mark.redis
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--client", "203.0.113.7"], "'203.0.113.7' is not a client such as ip:203.0.113.7"),
        (["--client", "ip:203.0.113"], "'203.0.113' is not an IP address."),
        (["--client", "user:999"], "No user has the id '999'."),
        (["--client", "user:x"], "No user has the id 'x'."),
        (["--client", "username: "], "'username: ' is not a client such as"),
        (["--client", "ip:::1", "--scope", "nope"], "'nope' is not a scope. The scopes are login."),
        (["--scope", "nope"], "'nope' is not a scope."),
        (["--reset"], "--reset needs --client"),
    ],
)
def test_error_messages_name_the_invalid_argument(run, set_rates, arguments, error):
    set_rates(login="3/min")

    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert str(raised.value).startswith(error)


@pytest.mark.redis
def test_an_ipv6_address_is_shown_as_its_64(run, set_rates):
    set_rates(login="3/min")

    assert run("--client", "ip:2001:db8::7").startswith("ip:2001:db8::/64\n")
    assert run("--client", "ip:2001:db8::/64").startswith("ip:2001:db8::/64\n")


def test_an_unavailable_redis_is_a_one_line_error(run, settings, set_rates, monkeypatch):
    settings.THROTTLING_REDIS_URL = "redis://localhost"
    monkeypatch.setattr(operations, "limiter", UnavailableLimiter)
    set_rates(login="3/min")

    with pytest.raises(CommandError, match=r"^Redis is unavailable: connection refused$"):
        run("--client", "ip:203.0.113.7")


@pytest.mark.redis
@pytest.mark.django_db
def test_a_reset_includes_the_windows_of_all_tiers_in_one_scope(run, set_rates, settings):
    settings.THROTTLING_GET_TIER = f"{__name__}.get_tier"
    set_rates(login="5/min", login__paid="9/h", login_username="9/d")
    for _ in range(2):
        APIClient().post("/api/token/", CREDENTIALS)
        APIClient().post("/api/token/", CREDENTIALS, headers={"X-Tier": "paid"})
    client = ["--client", "ip:127.0.0.1"]

    assert "7 of 9 left in 3600 s" in run(*client, "--tier", "paid")
    assert run(*client, "--scope", "login_username", "--reset").endswith(": 0 windows reset.\n")
    assert run(*client, "--scope", "login", "--reset").endswith(": 2 windows reset.\n")
    assert "9 of 9 left" in run(*client, "--tier", "paid")


def get_tier(request):
    return request.headers.get("X-Tier")


@pytest.mark.parametrize(
    "client", ["key:anything", "ident:device-7", "username:#0123", "ip:unknown"]
)
def test_a_client_can_be_named_as_in_events(client):
    assert operations.parse_client(client) == client


def test_other_clients_are_those_of_the_hook(settings):
    with pytest.raises(ValueError, match="is not a client"):
        operations.parse_client("tenant:7")
    settings.THROTTLING_GET_CLIENT = "tests.hook"
    assert operations.parse_client("tenant:7") == "tenant:7"
    with pytest.raises(ValueError, match="is not a client"):
        operations.parse_client("tenant:")


@pytest.mark.django_db
def test_a_user_is_identified_by_its_primary_key(django_user_model):
    user = django_user_model.objects.create_user("ada")

    assert operations.parse_client(f"user:{user.pk}") == f"user:{user.pk}"


def test_without_redis_a_client_cannot_be_shown(run, settings):
    settings.THROTTLING_REDIS_URL = ""

    with pytest.raises(CommandError, match="REDIS_URL is not set"):
        run("--client", "ip:203.0.113.7")
