import pytest

from ..environment import Environment
from ..throttling.rates import Rate, parse_rate, rates_from_environment


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/hour", Rate(100, 3600)),
        ("100/h", Rate(100, 3600)),
        ("1/s", Rate(1, 1)),
        ("10 / Minutes", Rate(10, 60)),
        ("5/10min", Rate(5, 600)),
        ("7/2days", Rate(7, 172_800)),
        (" off ", None),
    ],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "100", "100/", "/h", "0/h", "-1/h", "1/0min", "1/week", "1.5/h", "x/h", "1/h/s", "1/ms"],
)
def test_what_is_no_rate_is_refused_by_name(text):
    with pytest.raises(ValueError, match="^" + repr(text)):
        parse_rate(text)


def test_the_environment_overrides_defaults_and_may_add_scopes(monkeypatch):
    monkeypatch.setenv("THROTTLE_LOGIN", "5/min")
    monkeypatch.setenv("THROTTLE_EXPORT", "1/day")

    rates = rates_from_environment(Environment(), {"login": "10/min", "other": "off"})

    assert rates == {"login": "5/min", "other": "off", "export": "1/day"}
