"""Describes the API's errors and headers in its OpenAPI schema."""

from collections.abc import Iterator
from typing import Any

from drf_spectacular import openapi
from drf_spectacular.plumbing import ResolvedComponent
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import (
    SAFE_METHODS,
    AllowAny,
    DjangoModelPermissionsOrAnonReadOnly,
    IsAuthenticated,
    IsAuthenticatedOrReadOnly,
)

from ..conf import settings
from ..throttling.throttles import RateThrottle
from .problems import PROBLEM

DESCRIPTIONS = {
    "400": "The request is malformed, or some of its values are invalid.",
    "401": "The credentials are missing, invalid or expired.",
    "403": "The caller lacks the permission, or the CSRF token is missing.",
    "404": "There is no such resource, or no such page of it.",
    "406": "No media type that the client accepts is available.",
    "409": "Another request has changed what this one refers to.",
    "415": "The body has a media type that the operation does not take.",
    "429": "The caller has exceeded a limit.",
    "503": "The service cannot count the request now, and rejects what it cannot count.",
}
SCHEMAS: dict[str, Any] = {
    "ErrorDetail": {
        "type": "object",
        "properties": {"detail": {"type": "string"}},
        "required": ["detail"],
    },
    "ErrorMessages": {
        "description": "Messages for each invalid value, or `detail` for the request as a whole.",
        "anyOf": [
            {"type": "object", "additionalProperties": {}},
            {"type": "array", "items": {}},
        ],
    },
    "ProblemDetails": {
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "errors": {"$ref": "#/components/schemas/ErrorMessages"},
            "violated-policies": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["type", "title", "status", "detail"],
    },
}
HEADERS: dict[str, Any] = {
    "RateLimit": ("string", "What is left in each policy: `r` requests, more after `t` seconds."),
    "RateLimit-Policy": ("string", "The policies: `q` requests in `w` seconds."),
    "Retry-After": ("integer", "Seconds after which the same request can succeed."),
    "WWW-Authenticate": ("string", "How to authenticate."),
    "X-RateLimit-Limit": ("integer", "Requests that the tightest policy allows."),
    "X-RateLimit-Remaining": ("integer", "Requests that are left in it."),
    "X-RateLimit-Reset": ("integer", "Seconds until more are left."),
}
_DRAFT = ["RateLimit", "RateLimit-Policy"]
_LEGACY = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
RATE_LIMIT = {"draft": _DRAFT, "legacy": _LEGACY, "both": _DRAFT + _LEGACY, "off": []}
# Statuses that come before the throttles, or without what they have counted.
_UNCOUNTED = {"401", "403", "406", "503"}


class AutoSchema(openapi.AutoSchema):
    """drf-spectacular's, which adds what follows from a view's throttles, permissions and parsers.

    A status that `extend_schema` declares stays as it is declared there.
    """

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the operation with the responses that its view leaves to the framework."""
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        declared = operation["responses"]
        for code in self._errors(operation):
            declared.setdefault(code, self._error(code))
        operation["responses"] = {code: declared[code] for code in sorted(declared)}
        for code, response in declared.items():
            headers = {name: self._header(name) for name in self._headers(code)}
            if headers:
                response["headers"] = headers | response.get("headers", {})
        return operation

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the security requirements; an empty one where clients can be anonymous."""
        auth = super().get_auth()
        permissions = {type(permission) for permission in self.view.get_permissions()}
        if auth and {} not in auth and permissions <= self._open_to_all():
            auth.append({})
        return auth

    def _open_to_all(self) -> set[type]:
        """Return the permissions that let everyone use the operation."""
        if self.method not in SAFE_METHODS:
            return {AllowAny}
        return {AllowAny, DjangoModelPermissionsOrAnonReadOnly, IsAuthenticatedOrReadOnly}

    def _errors(self, operation: dict[str, Any]) -> Iterator[str]:
        parameters = operation.get("parameters", [])
        in_path = any(parameter["in"] == "path" for parameter in parameters)
        in_query = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        paging = {parameter["name"] for parameter in self._get_pagination_parameters()}  # type: ignore[no-untyped-call]
        has_body = "requestBody" in operation
        permissions = {type(permission) for permission in self.view.get_permissions()}
        authenticators = self.view.get_authenticators()
        if has_body or in_query - paging:
            yield "400"
        if self._challenge():
            yield "401"
        has_csrf = self.method not in SAFE_METHODS and any(
            isinstance(found, SessionAuthentication) for found in authenticators
        )
        known = self._open_to_all() | {IsAuthenticated, IsAuthenticatedOrReadOnly}
        if has_csrf or permissions - known or (authenticators and not self._challenge()):
            yield "403"
        if in_path or in_query & paging:
            yield "404"
        yield "406"
        if has_body:
            yield "415"
            if hasattr(self.view, "get_queryset"):
                yield "409"
        if self._is_throttled():
            yield from ("429", "503")

    def _challenge(self) -> str | None:
        """Return what a response without valid credentials asks for; None makes it a 403."""
        found: str | None = self.view.get_authenticate_header(self.view.request)
        return found

    def _is_throttled(self) -> bool:
        for throttle in self.view.get_throttles():
            # What a class decides for itself, request by request, cannot be known here.
            get_scopes: Any = getattr(throttle, "get_scopes", None)
            if getattr(get_scopes, "__func__", None) is not RateThrottle.get_scopes:
                return True
            if get_scopes(self.view.request, self.view):
                return True
        return False

    def _headers(self, code: str) -> list[str]:
        names = []
        if code not in _UNCOUNTED and self._is_throttled():
            names += RATE_LIMIT[settings.THROTTLING_HEADERS]
        if code in {"429", "503"}:
            names.append("Retry-After")
        if code == "401":
            names.append("WWW-Authenticate")
        return names

    def _error(self, code: str) -> dict[str, Any]:
        media_types = {
            "application/json": self._schema("ErrorMessages" if code == "400" else "ErrorDetail"),
            PROBLEM: self._schema("ProblemDetails"),
        }
        if settings.API_PROBLEM_DETAILS:
            del media_types["application/json"]
        content = {media_type: {"schema": schema} for media_type, schema in media_types.items()}
        return {"description": DESCRIPTIONS[code], "content": content}

    def _schema(self, name: str) -> dict[str, str]:
        if name == "ProblemDetails":
            self._schema("ErrorMessages")  # which it refers to
        return self._component(ResolvedComponent.SCHEMA, name, SCHEMAS[name])

    def _header(self, name: str) -> dict[str, str]:
        kind, description = HEADERS[name]
        header = {"schema": {"type": kind}, "description": description}
        return self._component(ResolvedComponent.HEADER, name, header)

    def _component(self, kind: str, name: str, schema: dict[str, Any]) -> dict[str, str]:
        component: Any = ResolvedComponent(name, kind, schema=schema, object=name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        ref: dict[str, str] = component.ref
        return ref
