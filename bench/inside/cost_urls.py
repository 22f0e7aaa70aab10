"""The list of blogs: cached, uncached, and with a rate that one client has used up."""

from cache_urls import Uncached, views
from cache_urls import urlpatterns as others
from django.urls import path


class Denied(views.BlogApiView):
    """The list for a client that is over its limit."""

    throttle_scope = "denied"


urlpatterns = [
    path("uncached/", Uncached.as_view()),
    path("denied/", Denied.as_view()),
    *others,
]
