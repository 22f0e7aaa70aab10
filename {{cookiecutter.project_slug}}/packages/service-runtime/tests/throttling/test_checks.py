import pytest
from django.http import HttpResponse
from django.urls import include, path
from rest_framework import throttling
from rest_framework.views import APIView

from service_runtime.throttling.checks import check_throttles
from service_runtime.throttling.headers import throttled
from service_runtime.throttling.throttles import ScopedRateThrottle, UserRateThrottle


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
        raise AssertionError("a check must not ask for what only a request may")


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


def found():
    return sorted((message.id, message.msg.split(":")[0]) for message in check_throttles())


@pytest.mark.urls(__name__)
def test_what_is_wrong_is_reported_by_name(settings, set_rates):
    settings.THROTTLE_VARIABLES = ["THROTTLE_READ", "THROTTLE_READ__PAID", "THROTTLE_TYPO"]
    settings.THROTTLING_FAIL_CLOSED = ["form", "nowhere"]
    set_rates(read="1/h", all="1/h", read__paid="2/h", typo="1/h")
    without = "names the throttle scope {!r}, which has no rate"

    assert found() == [
        ("throttling.E001", "Own (api/other/) " + without.format("other")),
        ("throttling.E001", "Own (api/own/) " + without.format("write")),
        ("throttling.E001", "form (form/) " + without.format("form")),
        ("throttling.E002", "WithMalformed (api/malformed/)"),
        ("throttling.E002", "WithOwnRates (api/rates/)"),
        ("throttling.E002", "WithOwnRates (api/rates/)"),
        ("throttling.W001", "THROTTLE_TYPO is set, and no view uses its scope."),
        (
            "throttling.W002",
            "WithForeign (api/foreign/) uses ForeignSubclass, a subclass of UserRateThrottle of"
            " rest_framework, which is not exact; import UserRateThrottle from"
            " service_runtime.throttling.",
        ),
        (
            "throttling.W002",
            "WithForeign (api/foreign/) uses ScopedRateThrottle of rest_framework, which is not"
            " exact; import ScopedRateThrottle from service_runtime.throttling.",
        ),
        (
            "throttling.W003",
            "THROTTLING_FAIL_CLOSED names 'nowhere', a scope that no view uses.",
        ),
    ]


def test_the_project_itself_is_clean():
    assert found() == []
