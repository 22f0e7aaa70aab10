"""Caching, throttling, logging, metrics and serving for a Django REST service on Kubernetes.

A service imports from the rooms: `service_runtime.caching`, `.throttling`, `.logging`. The package
never imports the service.
"""
