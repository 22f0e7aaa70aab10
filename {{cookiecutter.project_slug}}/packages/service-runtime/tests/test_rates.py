import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime.environment import Environment
from service_runtime.rates import BLOCK, Rate, Window, parse_rate, rate_of, rates_from_environment


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("100/hour", [(100, 3600)]),
        ("100/h", [(100, 3600)]),
        ("1/s", [(1, 1)]),
        ("10 / Minutes", [(10, 60)]),
        ("5/10min", [(5, 600)]),
        ("7/2days", [(7, 172_800)]),
        ("10/s;1000/h", [(10, 1), (1000, 3600)]),
        ("100/hr", [(100, 3600)]),
        ("7/2hrs", [(7, 7200)]),
        ("100 per hour", [(100, 3600)]),
        ("100 PER 10 minutes", [(100, 600)]),
        ("10 per s;1000 per day", [(10, 1), (1000, 86_400)]),
        ("1000000000/366d", [(1_000_000_000, 31_622_400)]),
        (" off ", []),
        (" Block ", [(0, 0)]),
    ],
)
def test_rate_syntax(text, windows):
    assert parse_rate(text) == Rate(tuple(Window(*window) for window in windows))


@pytest.mark.parametrize("unit", ["s", "sec", "m", "min", "h", "hr", "hour", "d", "day"])
def test_rates_of_rest_framework_have_the_same_meaning(unit):
    from rest_framework.throttling import AnonRateThrottle

    text = f"17/{unit}"
    class_with_rate = type("Throttle", (AnonRateThrottle,), {"rate": text})

    assert tuple(parse_rate(text).windows[0]) == class_with_rate().parse_rate(text)


def test_shadow_rates():
    assert parse_rate("100/h;shadow") == Rate((Window(100, 3600),), shadow=True)
    assert parse_rate("block;shadow") == Rate((BLOCK,), shadow=True)


MALFORMED = (
    "100 100/ /h 0/h -1/h 1/0min 1/week 1.5/h x/h 1/h/s 1/ms 10/s;;1/h 10/s; off;1/h shadow"
    " shadow;1/h 1/h;5/h 1/60s;2/min 1000000001/h 1/367d \u0661/h block;1/h 1/h;block blocked"
    " 100perhour 1per/h"
)


@pytest.mark.parametrize("text", ["", *MALFORMED.split()])
def test_a_malformed_rate_is_rejected_by_name(text):
    with pytest.raises(ValueError, match=r"must|is not a rate") as error:
        parse_rate(text)
    assert str(error.value).startswith(repr(text))


def test_a_limit_of_zero_is_rejected_with_a_hint_at_block():
    with pytest.raises(ValueError, match=r"^'0/hour' must allow 1 .* 'block' denies every"):
        parse_rate("0/hour")


def test_a_misspelt_unit_is_rejected_with_the_valid_units():
    with pytest.raises(ValueError, match=r"^'5/houres' is not a rate .* units are s, min, h and d"):
        parse_rate("5/houres")


def test_the_environment_overrides_defaults_and_can_add_scopes(monkeypatch):
    monkeypatch.setenv("THROTTLE_LOGIN", "5/min")
    monkeypatch.setenv("THROTTLE_WITH_DASH", "2/min")
    monkeypatch.setenv("THROTTLE_EXPORT", "1/day")
    monkeypatch.setenv("THROTTLE_LOGIN__PAID", "50/min")
    defaults = {"login": "10/min", "with-dash": "1/min", "other": "off"}

    assert rates_from_environment(Environment(), defaults) == {
        "login": "5/min",
        "login__paid": "50/min",
        "with-dash": "2/min",
        "other": "off",
        "export": "1/day",
    }


def test_a_malformed_variable_is_reported_by_name(monkeypatch):
    monkeypatch.setenv("THROTTLE_LOGIN", "many")
    env = Environment()

    rates_from_environment(env, {"login": "10/min"})

    with pytest.raises(ImproperlyConfigured, match=r"THROTTLE_LOGIN.*'many' is not a rate"):
        env.seal()


def test_a_tier_uses_its_rate_if_there_is_one():
    rates = {"export": "1/h", "export__paid": "100/h", "export__internal": "off"}

    assert rate_of(rates, "export") == parse_rate("1/h")
    assert rate_of(rates, "export", "Paid") == parse_rate("100/h")
    assert rate_of(rates, "export", "internal") == Rate(())
    assert rate_of(rates, "export", "unheard-of") == parse_rate("1/h")
    assert rate_of(rates, "missing", "paid") is None
