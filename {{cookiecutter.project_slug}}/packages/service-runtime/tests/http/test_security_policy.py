"""The policy that is built once is the policy of django-csp."""

from typing import Any

import pytest
from csp.constants import NONCE, SELF
from csp.decorators import csp, csp_exempt, csp_replace, csp_update
from csp.exceptions import CSPNonceError
from csp.middleware import CSPMiddleware as Original
from django.http import HttpResponse

from service_runtime.http.security_headers import CSPMiddleware

HEADERS = ("Content-Security-Policy", "Content-Security-Policy-Report-Only")


def own(request):
    return HttpResponse(headers={"Content-Security-Policy": "default-src 'none'"})


VIEWS = {
    "plain": lambda request: HttpResponse(),
    "nonce": lambda request: HttpResponse(str(request.csp_nonce)),
    "own": own,
    "exempt": csp_exempt()(lambda request: HttpResponse()),
    "update": csp_update({"img-src": ["example.com"]})(lambda request: HttpResponse()),
    "replace": csp_replace({"img-src": ["example.com"]})(lambda request: HttpResponse()),
    "replaced": csp({"default-src": [SELF]})(lambda request: HttpResponse()),
}


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("excluded", [(), ("/other/",), ("/path/",)])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_every_response_has_the_policy_of_django_csp(rf, settings, view, excluded, debug):
    directives = {"default-src": [SELF], "script-src": [SELF, NONCE]}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": directives, "EXCLUDE_URL_PREFIXES": excluded}
    settings.CONTENT_SECURITY_POLICY_REPORT_ONLY = {"DIRECTIVES": {"default-src": [SELF]}}
    settings.DEBUG = debug
    results = []
    for middleware in (CSPMiddleware, Original):
        request = rf.get("/path/")
        request._csp_nonce = "nonce" if "csp_nonce" in view.__code__.co_names else None
        response: Any = middleware(view)(request)
        results.append({name: response.headers.get(name) for name in HEADERS})
        if request._csp_nonce is None:
            with pytest.raises(CSPNonceError):
                str(request.csp_nonce)

    assert results[0] == results[1]
