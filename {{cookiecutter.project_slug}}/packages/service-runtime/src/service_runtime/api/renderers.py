"""Render errors and metadata in the API's format, even if a view renders something else."""

from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from rest_framework import renderers
from rest_framework.metadata import SimpleMetadata
from rest_framework.settings import api_settings


class BrowsableAPIRenderer(renderers.BrowsableAPIRenderer):
    """REST framework's pages for browsers, whose Content-Security-Policy allows their styles.

    Their templates contain `<style>` and `style=`. Inline scripts stay forbidden.
    """

    def get_context(self, data: Any, media_type: Any, renderer_context: Any) -> Any:
        """Return the context of the template, and change the policy of the response."""
        # As csp_update does, which decorates views only.
        renderer_context["response"]._csp_update = {"style-src": [SELF, UNSAFE_INLINE]}
        return super().get_context(data, media_type, renderer_context)


class Metadata(SimpleMetadata):
    """Respond to OPTIONS like Django REST framework, but also for views that render HTML."""

    def determine_metadata(self, request: Any, view: Any) -> Any:
        """Return the metadata of a view."""
        use_api_renderer(request)
        return super().determine_metadata(request, view)


def use_api_renderer(request: Any) -> None:
    """Render the response in the API's default format, unless the client negotiated another one."""
    defaults: Any = api_settings.DEFAULT_RENDERER_CLASSES
    renderer = getattr(request, "accepted_renderer", None)
    if not isinstance(renderer, (*defaults, renderers.BrowsableAPIRenderer)):
        use_renderer(request, defaults[0]())


def use_renderer(request: Any, renderer: renderers.BaseRenderer) -> None:
    """Render the response with this renderer."""
    request.accepted_renderer, request.accepted_media_type = renderer, renderer.media_type
