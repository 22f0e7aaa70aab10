"""Serving under gunicorn: its settings, hooks and logger, and the WSGI application."""
