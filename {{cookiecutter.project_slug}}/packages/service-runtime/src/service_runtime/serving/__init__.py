"""Serving under gunicorn: its settings and hooks, and the WSGI application.

The process does not start with invalid settings, errors of Django's checks or a port in use.
"""
