"""Hide secrets of the settings in error pages and reports."""

import re

from django.views.debug import SafeExceptionReporterFilter


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Hide the settings that Django hides, and URLs, which can contain passwords."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|URL|DSN|LOCATION|CACHEOPS_REDIS",
        flags=re.IGNORECASE,
    )
