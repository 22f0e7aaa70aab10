from django.urls import path

from . import views

urlpatterns = [
    path("blogs/", views.BlogApiView.as_view(), name="blog-list"),
    path("blogs/<int:pk>/", views.BlogDetailApiView.as_view(), name="blog-detail"),
    path("authors/", views.AuthorApiView.as_view(), name="author-list"),
    path("authors/<int:pk>/", views.AuthorDetailApiView.as_view(), name="author-detail"),
]
