"""Traces (OpenTelemetry) and error reports (Sentry), each enabled by one environment variable.

Their packages are the extras `tracing` and `sentry`, which are imported only if enabled.
"""

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from .conf import settings
from .logging import context
from .logging.values import plain, text


def start() -> None:
    """Start the reporting that the settings enable, before the application is created.

    Raises:
        ImproperlyConfigured: its extra is not installed.
    """
    if settings.SENTRY_DSN:
        _start_sentry()
    if settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        _start_tracing()


def _start_sentry() -> None:
    try:
        import sentry_sdk
    except ImportError:
        raise _missing("SENTRY_DSN", "sentry") from None
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=f"{settings.SERVICE_NAME}@{settings.SERVICE_VERSION}",
        send_default_pii=False,
        include_local_variables=False,  # they can contain secrets
        before_send=_redacted,
    )


def _redacted(event: Any, hint: Any) -> Any:
    """Redact a report like a log line."""
    event.get("logentry", {}).pop("params", None)  # values without names, which `formatted` has
    for part in ("logentry", "extra", "request", "breadcrumbs"):
        if part in event:
            event[part] = plain(event[part])
    for error in event.get("exception", {}).get("values", []):
        error["value"] = text(error.get("value") or "")
    return event


def _start_tracing() -> None:
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.django import DjangoInstrumentor
        from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
        from opentelemetry.instrumentation.redis import RedisInstrumentor
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise _missing("OTEL_EXPORTER_OTLP_ENDPOINT", "tracing") from None
    resource = Resource.create(
        {"service.name": settings.SERVICE_NAME, "service.version": settings.SERVICE_VERSION}
    )
    provider = TracerProvider(resource=resource)
    # The exporter reads the environment, which lacks a value that comes from a file.
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = settings.OTEL_EXPORTER_OTLP_ENDPOINT
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

    def note_route(span: Any, request: Any, response: Any) -> None:
        # The fast path skips process_view(), where OpenTelemetry notes it.
        if request.resolver_match is not None:
            span.set_attribute("http.route", request.resolver_match.route)

    DjangoInstrumentor().instrument(response_hook=note_route)
    instrumentors: list[Any] = [PsycopgInstrumentor(), RedisInstrumentor(), SQLite3Instrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument()

    def ids() -> tuple[str, str] | None:
        span = trace.get_current_span().get_span_context()
        return (f"{span.trace_id:032x}", f"{span.span_id:016x}") if span.is_valid else None

    context.span_ids = ids


def _missing(variable: str, extra: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"{variable} is set, but the extra {extra!r} is not installed: `uv sync --extra {extra}`."
    )
