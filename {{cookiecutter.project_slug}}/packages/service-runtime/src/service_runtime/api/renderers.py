"""Render errors and metadata in the API's format, even if a view renders something else."""

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.settings import api_settings


class Metadata(SimpleMetadata):
    """Respond to OPTIONS like Django REST framework, but also for views that render HTML."""

    def determine_metadata(self, request: Any, view: Any) -> Any:
        """Return the metadata of a view."""
        use_api_renderer(request)
        return super().determine_metadata(request, view)


def use_api_renderer(request: Any) -> None:
    """Render the response in the API's default format, unless the client negotiated another one."""
    renderers: Any = api_settings.DEFAULT_RENDERER_CLASSES
    renderer = getattr(request, "accepted_renderer", None)
    if not isinstance(renderer, (*renderers, BrowsableAPIRenderer)):
        use_renderer(request, renderers[0]())


def use_renderer(request: Any, renderer: BaseRenderer) -> None:
    """Render the response with this renderer."""
    request.accepted_renderer, request.accepted_media_type = renderer, renderer.media_type
