"""The list of blogs in 1 to 8 scopes."""

from cache_urls import urlpatterns as others
from cache_urls import views
from django.urls import path
from growth_service import SCOPES


def limited(number):
    """Return the list in some scopes."""

    class Limited(views.BlogApiView):
        throttle_scope = SCOPES[:number]

    return Limited.as_view()


urlpatterns = [*(path(f"scopes/{number}/", limited(number)) for number in (1, 2, 4, 8)), *others]
