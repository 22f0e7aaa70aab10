"""The field names that log services expect, for LOG_FIELDS=gcp, datadog or ecs.

The table stays in the package because these services find severity, trace and error of a line by
these names alone. Every team on one of them would have to collect the same dozen pairs.
"""

FIELD_NAMES: dict[str, dict[str, str]] = {
    "gcp": {
        "timestamp": "time",
        "trace_id": "logging.googleapis.com/trace",
        "span_id": "logging.googleapis.com/spanId",
        "exception.stacktrace": "stack_trace",
    },
    "datadog": {
        "severity": "status",
        "logger": "logger.name",
        "trace_id": "dd.trace_id",
        "span_id": "dd.span_id",
        "uid": "usr.id",
        "ev": "evt.name",
        "exception.type": "error.kind",
        "exception.message": "error.message",
        "exception.stacktrace": "error.stack",
        "http.request.method": "http.method",
        "http.response.status_code": "http.status_code",
        "url.path": "http.url_details.path",
        "client.address": "network.client.ip",
        "user_agent.original": "http.useragent",
    },
    "ecs": {
        "timestamp": "@timestamp",
        "severity": "log.level",
        "logger": "log.logger",
        "service": "service.name",
        "version": "service.version",
        "request_id": "http.request.id",
        "trace_id": "trace.id",
        "span_id": "span.id",
        "uid": "user.id",
        "ev": "event.action",
        "exception.type": "error.type",
        "exception.message": "error.message",
        "exception.stacktrace": "error.stack_trace",
    },
}
