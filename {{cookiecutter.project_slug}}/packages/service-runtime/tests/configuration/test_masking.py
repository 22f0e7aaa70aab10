"""No secret is printed, whatever the variable, the form of its value and where it is set."""

import json
import re
from urllib.parse import quote

import pytest
from django.core.management import call_command
from hypothesis import example, given
from hypothesis import strategies as st

from service_runtime.configuration.masking import masked_url
from service_runtime.environment import Environment

HUSH = "hush/h@sh:h#sh?"  # in a URL it has to be percent-encoded
ENCODED = quote(HUSH, safe="")
URLS = {
    "user": f"{{}}://ada:{ENCODED}@host.example:6379",
    "no user": f"{{}}://:{ENCODED}@host.example:6379",
    "only a name": f"{{}}://{ENCODED}@host.example:6379",
    "empty password": f"{{}}://{ENCODED}:@host.example:6379",
}
REDIS = {
    "query": f"redis://host.example/0?password={ENCODED}",
    "encoded name": f"redis://host.example/0?pass%77ord={ENCODED}",
    "socket": f"unix://ada:{ENCODED}@/host.example.sock?db=1",
    **{form: url.format("rediss") for form, url in URLS.items()},
}
CLUSTERS = {
    form: f"{url.format('rediss+cluster')},b.example:6380,c.example" for form, url in URLS.items()
}
DATABASES = {
    "query": f"postgres://host.example/name?sslpassword={ENCODED}",
    **{form: url.format("postgres") + "/name" for form, url in URLS.items()},
}
SECRETS = [
    ("SECRET_KEY", HUSH * 5),
    ("SECRET_KEY_FALLBACKS", f"{HUSH},{ENCODED}"),
    ("SENTRY_DSN", f"https://{ENCODED}@sentry.example/1"),
    *[("REDIS_URL", url) for url in REDIS.values()],
    *[("CACHEOPS_REDIS_URL", url) for url in REDIS.values()],
    *[("THROTTLING_REDIS_URL", url) for url in [*REDIS.values(), *CLUSTERS.values()]],
    *[("DATABASE_URL", url) for url in DATABASES.values()],
    *[("MIGRATE_DATABASE_URL", url) for url in DATABASES.values()],
    *[("OTEL_EXPORTER_OTLP_ENDPOINT", url.format("http")) for url in URLS.values()],
    ("CORS_ALLOWED_ORIGINS", URLS["user"].format("https")),
    # Invalid: parts of a password that is not encoded look like a path, a query or a port.
    *[("REDIS_URL", f"redis://:{start}hush@host.example") for start in ("", "1/", "1?", "1#", "[")],
    *[("DATABASE_URL", f"postgres://u:{start}hush@host/n") for start in ("1/", "1?", "1#", "[")],
    ("REDIS_URL", "hush"),
    ("DATABASE_URL", "mysql://ada:hush@host/name"),
]


def printed(monkeypatch, capsys, env):
    monkeypatch.setattr(Environment, "in_force", env)
    monkeypatch.setattr("service_runtime.management.commands.settings.apps.ready", False)
    call_command("settings")
    call_command("settings", "--json")
    call_command("settings", *{name for name in env.fields if "_URL" in name})
    return capsys.readouterr().out


@pytest.mark.parametrize("place", ["environment", "file", ".env"])
@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_secret_is_not_printed(monkeypatch, capsys, read, tmp_path, name, value, place):
    if place == "environment":
        env = read(**{name: value})
    elif place == "file":
        (tmp_path / "mounted").write_text(f"{value}\n")
        env = read(**{f"{name}_FILE": str(tmp_path / "mounted")})
    else:
        env = read(file=f"{name}='{value}'\n")

    text = printed(monkeypatch, capsys, env)

    assert env.source(name)
    assert not re.search("hush|h@sh|h%40sh", text)


def test_secrets_of_the_service_are_not_printed(monkeypatch, capsys, read):
    def own(env):
        env.str("PAYMENT_TOKEN", "hush-default")
        env.str("PAYMENT_ID", metadata={"secret": True})
        env.str("BROKER", "amqp://u:hush@host")
        env.url("WEBHOOK")
        env.json("ACCOUNTS")
        env.dj_db_url("REPLICA_URL")
        env.list("SIGNING_KEYS")
        env.int("ACCOUNT", metadata={"secret": True})
        env.int("PAYMENT_PWD")

    url = "https://u:hush@host.example"
    env = read(
        own,
        **{"PAYMENT_ID": "hush", "WEBHOOK": url, "ACCOUNTS": json.dumps({"password": "hush"})},
        **{"REPLICA_URL": "postgres://u:hush@host.example/name", "SIGNING_KEYS": "hush,hush"},
        **{"PAYMENT_TOKEN": "hush", "ACCOUNT": "hush", "PAYMENT_PWD": "hush"},
    )

    text = printed(monkeypatch, capsys, env)

    assert env.errors.keys() == {"ACCOUNT", "PAYMENT_PWD"}
    assert "WEBHOOK" in text
    assert "hush" not in text


@given(password=st.text(min_size=1), user=st.text(), hosts=st.integers(1, 4))
@example(password="a b", user="ada", hosts=1)
@example(password="1/2@3", user="", hosts=2)
def test_password_of_a_url_is_masked(password, user, hosts):
    names = ",".join(f"[fd00::{number}]:6379" if number % 2 else "h:1" for number in range(hosts))
    url = f"redis+cluster://{quote(user, safe='')}:{quote(password, safe='')}@{names}/0"

    expected = f"redis+cluster://{quote(user, safe='')}:[redacted]@{names}/0"
    assert masked_url(url) in {expected, "[redacted]"}


@given(st.text())
def test_password_that_is_not_encoded_is_masked(password):
    shown = masked_url(f"postgres://ada:<{password}>@db.example/name")

    assert f"<{password}>" not in shown
    assert shown in {"postgres://ada:[redacted]@db.example/name", "[redacted]"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://ada:hush@host", "redis://ada:[redacted]@host"),
        ("redis://hush@host", "redis://[redacted]@host"),
        (
            "rediss+cluster://:hush@a:7000,b:7000",
            "rediss+cluster://:[redacted]@a:7000,b:7000",
        ),
        (
            "postgres://u:hush@db/n?sslmode=require&sslpassword=hush",
            "postgres://u:[redacted]@db/n?sslmode=require&sslpassword=[redacted]",
        ),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("sqlite:////srv/db.sqlite3", "sqlite:////srv/db.sqlite3"),
    ],
)
def test_rest_of_a_url_is_shown(url, shown):
    assert masked_url(url) == shown
