"""Public cached responses, served without their view.

To a caller without credentials, the first response to a URL comes from its view. The following ones
have the same status, headers and body, and need one round trip to Redis: the request is counted in
the same scopes, and the cached response is read. Whatever differs from the first request (another
media type, a response to compute, an outage) calls the view.
"""

from .handler import FastPathHandler
from .middleware import FastPathMiddleware

__all__ = ["FastPathHandler", "FastPathMiddleware"]
