import pytest
from django.http import HttpResponse
from django.urls import include, path
from rest_framework import throttling
from rest_framework.views import APIView

from service_runtime.throttling import ScopedRateThrottle, UserRateThrottle, throttled
from service_runtime.throttling.checks import check_throttles


class Malformed(UserRateThrottle):
    rate = "many"


class Fixed(UserRateThrottle):
    rate = "5/min"


class OwnRates(ScopedRateThrottle):
    THROTTLE_RATES = {"here": "1/h", "broken": "1/parsec"}


class ByParser(UserRateThrottle):
    rate = "5 in all"

    def parse_rate(self, rate):
        return (int(rate.split()[0]), 86_400)


class Asking(UserRateThrottle):
    def get_rate(self):
        raise AssertionError("a check must not call get_rate")


class ForeignSubclass(throttling.UserRateThrottle):
    rate = "1/h"


class Own(APIView):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = {"GET": "read", "POST": ["write", "all"]}


class WithMalformed(APIView):
    throttle_classes = [Malformed, Fixed]


class WithForeign(APIView):
    throttle_classes = [throttling.ScopedRateThrottle, ForeignSubclass]


class WithOwnRates(APIView):
    throttle_classes = [OwnRates, ByParser, Asking]
    throttle_scope = ["here", "broken", "lacking"]


@throttled("form")
def form(request):
    return HttpResponse()


urlpatterns = [
    path(
        "api/",
        include(
            [
                path("own/", Own.as_view()),
                path("other/", Own.as_view(throttle_scope="other")),
                path("malformed/", WithMalformed.as_view()),
                path("foreign/", WithForeign.as_view()),
                path("rates/", WithOwnRates.as_view()),
            ]
        ),
    ),
    path("form/", form),
]


def reported():
    return sorted((message.id, message.msg.split(":")[0]) for message in check_throttles())


@pytest.mark.urls(__name__)
def test_every_mistake_is_reported_by_name(settings, set_rates):
    settings.THROTTLE_VARIABLES = ["THROTTLE_READ", "THROTTLE_READ__PAID", "THROTTLE_TYPO"]
    settings.THROTTLING_FAIL_CLOSED = ["form", "nowhere"]
    set_rates(read="1/h", all="1/h", read__paid="2/h", typo="1/h")
    no_rate = (
        "{} uses the throttle scope {!r}, which has no rate. Set THROTTLE_{}, or a default in the"
        " settings."
    )
    inexact = (
        "WithForeign /api/foreign/ uses {}, a throttle of rest_framework, whose counts are not"
        " exact. Import its base class from service_runtime.throttling."
    )

    assert reported() == [
        ("throttling.E001", no_rate.format("Own /api/other/", "other", "OTHER")),
        ("throttling.E001", no_rate.format("Own /api/own/", "write", "WRITE")),
        ("throttling.E001", no_rate.format("form /form/", "form", "FORM")),
        ("throttling.E002", "WithMalformed /api/malformed/"),
        ("throttling.E002", "WithOwnRates /api/rates/"),
        ("throttling.E002", "WithOwnRates /api/rates/"),
        ("throttling.W001", "THROTTLE_TYPO is set, but no view uses its scope."),
        ("throttling.W002", inexact.format("ForeignSubclass")),
        ("throttling.W002", inexact.format("ScopedRateThrottle")),
        (
            "throttling.W003",
            "THROTTLING_FAIL_CLOSED contains 'nowhere', but no view uses this scope.",
        ),
    ]


def test_the_test_project_has_no_mistakes():
    assert reported() == []


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("THROTTLE_WRIET", " Did you mean THROTTLE_WRITE?"),
        ("THROTTLE_WRIET__PAID", " Did you mean THROTTLE_WRITE__PAID?"),
        ("THROTTLE_NIGHTLY", ""),
    ],
)
def test_variable_of_a_misspelt_scope_is_reported_with_the_closest(settings, set_rates, name, hint):
    settings.THROTTLE_VARIABLES = [name]
    set_rates(read="1/h", all="1/h", write="1/h", form="1/h", other="1/h")

    [warning] = [message for message in check_throttles() if message.id == "throttling.W001"]

    assert warning.msg == f"{name} is set, but no view uses its scope.{hint}"
