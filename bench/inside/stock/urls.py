"""The list of blogs: uncached, cached by cacheops and by cache_page, under DRF's throttle."""

from blog.models import Blog
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework import generics, serializers
from rest_framework.throttling import ScopedRateThrottle


class BlogSerializer(serializers.ModelSerializer):
    author_name = serializers.CharField(source="author.name", read_only=True)

    class Meta:
        model = Blog
        fields = ["id", "title", "body", "author", "author_name", "created_at", "updated_at"]


class Unthrottled(generics.ListAPIView):
    """The list, uncached and unthrottled."""

    queryset = Blog.objects.select_related("author")
    serializer_class = BlogSerializer


class Throttled(Unthrottled):
    """The list, uncached."""

    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "blog_limit"


class Cacheops(Throttled):
    """The list with a queryset cached by cacheops."""

    def get_queryset(self):
        return super().get_queryset().cache()


@method_decorator(cache_page(60 * 10), name="list")
class CachePage(Throttled):
    """The list with a response cached by Django; the throttle counts hits too."""


urlpatterns = [
    path("unthrottled/", Unthrottled.as_view()),
    path("uncached/", Throttled.as_view()),
    path("cacheops/", Cacheops.as_view()),
    path("cache_page/", CachePage.as_view()),
]
