"""What error pages and reports may show of the settings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Hides what Django hides, and URLs, which have passwords in them."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|URL|DSN|LOCATION|CACHEOPS_REDIS",
        flags=re.IGNORECASE,
    )
