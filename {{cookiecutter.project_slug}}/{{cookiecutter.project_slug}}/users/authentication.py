from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox import auth
from rest_framework.exceptions import AuthenticationFailed


class TokenAuthentication(auth.TokenAuthentication):
    """Authentication by knox that treats undecodable bytes as an invalid token."""

    def authenticate_credentials(self, token: bytes) -> Any:
        try:
            return super().authenticate_credentials(token)  # type: ignore[no-untyped-call]
        except UnicodeDecodeError:
            raise AuthenticationFailed(_("Invalid token.")) from None


class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """Its security scheme in the OpenAPI schema."""

    target_class = f"{__name__}.TokenAuthentication"
