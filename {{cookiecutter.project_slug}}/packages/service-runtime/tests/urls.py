"""URLs of the test project: signing in by an API and by a form."""

from django.contrib import admin
from django.urls import path
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.api import problems
from service_runtime.throttling import (
    ScopedRateThrottle,
    UsernameRateThrottle,
    client_of_form,
    throttled,
)


class TokenApiView(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = [ScopedRateThrottle, UsernameRateThrottle]
    throttle_scope = "login"

    def post(self, request):
        credentials = AuthTokenSerializer(data=request.data, context={"request": request})
        credentials.is_valid(raise_exception=True)
        return Response({})

    def delete(self, request):
        return Response(status=204)


handler400 = problems.bad_request
handler403 = problems.permission_denied
handler404 = problems.not_found
handler500 = problems.server_error

login_form = throttled("login", clients={"login_username": client_of_form})(admin.site.login)
urlpatterns = [
    path("admin/login/", login_form),
    path("admin/", admin.site.urls),
    path("api/token/", TokenApiView.as_view()),
]
