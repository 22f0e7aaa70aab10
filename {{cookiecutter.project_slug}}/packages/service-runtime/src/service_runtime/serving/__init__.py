"""Serving under gunicorn: its configuration and hooks, and the WSGI application.

The process does not start with invalid settings, with errors of Django's checks or with a
port in use. All its output is log lines; with DEBUG on, it also prints its URLs on stderr.
"""

from .gunicorn import configuration

__all__ = ["configuration"]
