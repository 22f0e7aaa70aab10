"""Requests and responses: malformed input is a 400; every response has the security headers."""

from .requests import CommonMiddleware, WSGIRequest
from .security_headers import CSPMiddleware, SecurityHeadersMiddleware

__all__ = ["CSPMiddleware", "CommonMiddleware", "SecurityHeadersMiddleware", "WSGIRequest"]
