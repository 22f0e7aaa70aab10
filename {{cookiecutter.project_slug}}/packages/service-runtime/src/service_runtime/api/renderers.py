"""Renders errors and metadata in the API's format, whatever the view's own is."""

from typing import Any

from rest_framework.metadata import SimpleMetadata
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.settings import api_settings


class Metadata(SimpleMetadata):
    """Django REST framework's response to OPTIONS, which a view that renders HTML can serve too."""

    def determine_metadata(self, request: Any, view: Any) -> Any:
        """Return the metadata of a view."""
        use_api_renderer(request)
        return super().determine_metadata(request, view)


def use_api_renderer(request: Any) -> None:
    """Have the response rendered as the API does, unless the client has chosen such a renderer."""
    renderers: Any = api_settings.DEFAULT_RENDERER_CLASSES
    renderer = getattr(request, "accepted_renderer", None)
    if not isinstance(renderer, (*renderers, BrowsableAPIRenderer)):
        use_renderer(request, renderers[0]())


def use_renderer(request: Any, renderer: BaseRenderer) -> None:
    """Have the response rendered by this renderer."""
    request.accepted_renderer, request.accepted_media_type = renderer, renderer.media_type
