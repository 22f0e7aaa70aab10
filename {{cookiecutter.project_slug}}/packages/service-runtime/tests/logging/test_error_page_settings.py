from service_runtime.logging import reporting


def test_error_pages_hide_urls_with_passwords():
    safe = reporting.ExceptionReporterFilter().get_safe_settings()

    for name in ("REDIS_URL", "CACHEOPS_REDIS", "SECRET_KEY", "THROTTLING_REDIS_URL"):
        assert set(safe[name]) == {"*"}, name
