"""Drills: cause failures of a release on Kubernetes, and measure what its clients notice.

python -m service_runtime.drills --help
"""
