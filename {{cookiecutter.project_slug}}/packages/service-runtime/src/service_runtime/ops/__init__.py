"""The operations port of each worker: probes, metrics and a watchdog.

It responds while every request thread is busy. Readiness does not depend on what all pods share.
"""

from .server import start

__all__ = ["start"]
