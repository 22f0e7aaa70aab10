from django.urls import path

from . import views

urlpatterns = [
    path("token/", views.TokenApiView.as_view(), name="token"),
]
