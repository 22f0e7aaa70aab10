"""API tokens: hashed in the database, expiring and revocable."""

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from drf_spectacular.utils import extend_schema
from knox.models import AuthToken
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.authtoken.serializers import AuthTokenSerializer
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from service_runtime.logging import log_event
from service_runtime.throttling import ScopedRateThrottle, UsernameRateThrottle

from .authentication import TokenAuthentication
from .serializers import TokenSerializer


class TokenApiView(APIView):
    """`POST` creates a token for a username and password; `DELETE` revokes its own token.

    Clients send tokens as `Authorization: Token <token>`.
    """

    authentication_classes = [TokenAuthentication]
    throttle_classes = [ScopedRateThrottle, UsernameRateThrottle]
    throttle_scope = "login"

    def get_authenticators(self) -> list[BaseAuthentication]:
        # A client that signs in again can still send its expired token.
        is_post = self.request is not None and self.request.method == "POST"
        return [] if is_post else super().get_authenticators()

    def get_permissions(self) -> list[AllowAny | IsAuthenticated]:
        return [AllowAny() if self.request.method == "POST" else IsAuthenticated()]

    @extend_schema(
        description="Create a token for a username and password.",
        request=AuthTokenSerializer,
        responses=TokenSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        credentials = AuthTokenSerializer(data=request.data, context={"request": request})
        credentials.is_valid(raise_exception=True)
        user = credentials.validated_data["user"]
        token, text = AuthToken.objects.create(user)
        user_logged_in.send(sender=get_user_model(), request=request, user=user)
        log_event("token_issued", {"user": user.pk, "expiry": token.expiry})
        body = TokenSerializer({"token": text, "expiry": token.expiry})
        return Response(body.data, headers={"Cache-Control": "no-store"})

    @extend_schema(
        description="Revoke the token of this request.",
        request=None,
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        request.auth.delete()
        user_logged_out.send(sender=get_user_model(), request=request, user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
