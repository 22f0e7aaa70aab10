"""The API of the example. Lists and details are cached (docs/caching.md)."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from service_runtime.caching import cached_response
from service_runtime.logging import log_event
from service_runtime.throttling import ScopedRateThrottle

from .models import Author, Blog
from .serializers import AuthorSerializer, BlogSerializer

MAX_ID = 10**18 - 1  # fits a BigAutoField


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter(
                "author",
                {"type": "integer", "minimum": 0, "maximum": MAX_ID},
                description="Return the blogs of this author only.",
            )
        ]
    ),
    post=extend_schema(description="Create a blog."),
)
class BlogApiView(generics.ListCreateAPIView[Blog]):
    """Blogs, newest first; `?author=1` filters by author."""

    serializer_class = BlogSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "blog_limit"

    def get_queryset(self) -> QuerySet[Blog]:
        blogs = Blog.objects.select_related("author")
        author = self.request.query_params.get("author")
        if author is None:
            return blogs
        if not (author.isascii() and author.isdigit() and len(author) <= len(str(MAX_ID))):
            raise ValidationError({"author": f"{author!r} is not the ID of an author."})
        return blogs.filter(author_id=int(author))

    @cached_response(Blog, Author, public=True)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    def perform_create(self, serializer: Any) -> None:
        blog = serializer.save()
        log_event("blog_created", {"id": blog.pk, "author": blog.author_id})


@extend_schema_view(
    put=extend_schema(description="Replace a blog."),
    patch=extend_schema(description="Update fields of a blog."),
    delete=extend_schema(description="Delete a blog."),
)
class BlogDetailApiView(generics.RetrieveUpdateDestroyAPIView[Blog]):
    """One blog."""

    queryset = Blog.objects.select_related("author")
    serializer_class = BlogSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "blog_limit"

    @cached_response(lambda view: Blog.objects.filter(pk=view.kwargs["pk"]), Author, public=True)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)


@extend_schema_view(post=extend_schema(description="Create an author."))
class AuthorApiView(generics.ListCreateAPIView[Author]):
    """Authors, by name."""

    queryset = Author.objects.all()
    serializer_class = AuthorSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "author_limit"

    @cached_response(Author, public=True)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)


@extend_schema_view(
    put=extend_schema(description="Replace an author."),
    patch=extend_schema(description="Update fields of an author."),
    delete=extend_schema(description="Delete an author and their blogs."),
)
class AuthorDetailApiView(generics.RetrieveUpdateDestroyAPIView[Author]):
    """One author."""

    queryset = Author.objects.all()
    serializer_class = AuthorSerializer
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "author_limit"

    @cached_response(lambda view: Author.objects.filter(pk=view.kwargs["pk"]), public=True)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)
