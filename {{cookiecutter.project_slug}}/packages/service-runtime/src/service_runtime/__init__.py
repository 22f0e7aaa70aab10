"""What runs under the team's own code: configuration, caching, throttling, logging, operations.

Nothing here imports from the project's apps, so that it could be lifted out as a package.
"""
