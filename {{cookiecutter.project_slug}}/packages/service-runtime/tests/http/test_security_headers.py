from django.http import HttpResponse

from service_runtime.http.security_headers import SecurityHeadersMiddleware


def test_a_view_can_set_a_header_itself(rf):
    response = HttpResponse(headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    result = SecurityHeadersMiddleware(lambda request: response)(rf.get("/"))

    assert result.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "camera=()" in result.headers["Permissions-Policy"]
