"""Describe the API's errors and headers in its OpenAPI schema."""

from collections.abc import Iterator
from http.client import responses
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
from .problems import PROBLEM

_STRING = {"type": "string"}


def _header(kind: str, description: str) -> dict[str, Any]:
    return {"schema": {"type": kind}, "description": description}


COMPONENTS: dict[str, Any] = {
    "ErrorDetail": {"type": "object", "properties": {"detail": _STRING}, "required": ["detail"]},
    "ErrorMessages": {
        "description": "Messages for each invalid value, or `detail` for the request as a whole.",
        "anyOf": [{"type": "object", "additionalProperties": {}}, {"type": "array", "items": {}}],
    },
    "ProblemDetails": {
        "description": "Problem details (RFC 9457).",
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": _STRING,
            "status": {"type": "integer"},
            "detail": _STRING,
            "errors": {"$ref": "#/components/schemas/ErrorMessages"},
            "violated-policies": {"type": "array", "items": _STRING},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "RateLimit": _header("string", "The remaining requests `r`, and the seconds `t` until more."),
    "RateLimit-Policy": _header("string", "The policies: `q` requests in `w` seconds."),
    "Retry-After": _header("integer", "The seconds until the same request can succeed."),
    "WWW-Authenticate": _header("string", "The authentication scheme."),
    "X-RateLimit-Limit": _header("integer", "The requests that the tightest policy allows."),
    "X-RateLimit-Remaining": _header("integer", "The requests that remain in it."),
    "X-RateLimit-Reset": _header("integer", "The seconds until more remain."),
}
_DRAFT = ["RateLimit", "RateLimit-Policy"]
_LEGACY = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]
RATE_LIMIT = {"draft": _DRAFT, "legacy": _LEGACY, "both": _DRAFT + _LEGACY, "off": []}
# Statuses of responses that precede the throttles, or that the throttles could not count.
_UNCOUNTED = {"401", "403", "406", "503"}
_READABLE_BY_ALL = {DjangoModelPermissionsOrAnonReadOnly, IsAuthenticatedOrReadOnly}


class AutoSchema(openapi.AutoSchema):
    """Add the responses that follow from a view's throttles, permissions and parsers.

    A status that `extend_schema` declares is not changed.
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
            if headers := self._headers(code):
                response["headers"] = headers | response.get("headers", {})
        return operation

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the security requirements; an empty one if anonymous clients are allowed."""
        auth = super().get_auth()
        is_open = auth and {} not in auth and not self._restrictions()
        return [*auth, {}] if is_open else auth

    def _restrictions(self) -> set[type]:
        """Return the permission classes that can reject an anonymous client."""
        is_safe = self.method in SAFE_METHODS
        found = {type(permission) for permission in self.view.get_permissions()}
        return found - {AllowAny} - (_READABLE_BY_ALL if is_safe else set())

    def _errors(self, operation: dict[str, Any]) -> Iterator[str]:
        parameters = operation.get("parameters", [])
        in_path = any(parameter["in"] == "path" for parameter in parameters)
        in_query = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        get_paging: Any = self._get_pagination_parameters
        paging = {parameter["name"] for parameter in get_paging()}
        has_body = "requestBody" in operation
        if has_body or in_query - paging:
            yield "400"
        yield from self._rejections()
        if in_path or in_query & paging:
            yield "404"
        yield "406"
        if has_body:
            yield "415"
            if hasattr(self.view, "get_queryset"):
                yield "409"
        if self._is_throttled():
            yield from ("429", "503")

    def _rejections(self) -> Iterator[str]:
        """Yield the statuses for clients without credentials or permission."""
        authenticators = self.view.get_authenticators()
        challenge = self.view.get_authenticate_header(self.view.request)
        if challenge:
            yield "401"
        has_csrf = self.method not in SAFE_METHODS and any(
            isinstance(authenticator, SessionAuthentication) for authenticator in authenticators
        )
        # Without a challenge, Django REST framework rejects invalid credentials by a 403.
        is_forbidden = authenticators and not challenge
        if has_csrf or is_forbidden or self._restrictions() - {IsAuthenticated, *_READABLE_BY_ALL}:
            yield "403"

    def _is_throttled(self) -> bool:
        view = self.view
        return any(
            not hasattr(throttle, "get_scopes") or throttle.get_scopes(view.request, view)
            for throttle in view.get_throttles()
        )

    def _headers(self, code: str) -> dict[str, dict[str, str]]:
        names = []
        if code not in _UNCOUNTED and self._is_throttled():
            names += RATE_LIMIT[settings.THROTTLING_HEADERS]
        if code in {"429", "503"}:
            names.append("Retry-After")
        if code == "401":
            names.append("WWW-Authenticate")
        return {name: self._component(ResolvedComponent.HEADER, name) for name in names}

    def _error(self, code: str) -> dict[str, Any]:
        self._component(ResolvedComponent.SCHEMA, "ErrorMessages")  # ProblemDetails refers to it
        names = {PROBLEM: "ProblemDetails"}
        if not settings.API_PROBLEM_DETAILS:
            names["application/json"] = "ErrorMessages" if code == "400" else "ErrorDetail"
        refs = {
            media_type: self._component(ResolvedComponent.SCHEMA, name)
            for media_type, name in names.items()
        }
        content = {media_type: {"schema": ref} for media_type, ref in refs.items()}
        return {"description": responses[int(code)], "content": content}

    def _component(self, kind: str, name: str) -> dict[str, str]:
        """Register a component if it is missing, and return the reference to it."""
        create: Any = ResolvedComponent
        component = create(name, kind, COMPONENTS[name], object=name)
        self.registry.register_on_missing(component)
        ref: dict[str, str] = component.ref
        return ref
