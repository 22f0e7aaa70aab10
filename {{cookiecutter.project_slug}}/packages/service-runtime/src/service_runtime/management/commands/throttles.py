from argparse import ArgumentParser
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from ...conf import settings
from ...rates import BLOCK
from ...throttling import operations


class Command(BaseCommand):
    help = "List the throttle scopes, or show and reset the usage of a client."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--client", help="such as ip:203.0.113.7, user:7 or username:ada")
        parser.add_argument("--scope", help="only this scope")
        parser.add_argument("--tier", help="show the client's limits in this tier")
        parser.add_argument("--reset", action="store_true", help="reset the usage of --client")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reset"] and not options["client"]:
            raise CommandError("--reset needs --client.")
        if not options["client"]:
            self._list(options["scope"])
            return
        if not settings.THROTTLING_REDIS_URL:
            raise CommandError(
                "REDIS_URL is not set: the counters are in the memory of the serving process."
            )
        try:
            client = operations.parse_client(options["client"])
            if options["reset"]:
                count = operations.reset(client, options["scope"])
                self.stdout.write(f"{client}: {count} window{'' if count == 1 else 's'} reset.")
            else:
                self._show(client, options["scope"], options["tier"])
        except ValueError as error:
            raise CommandError(str(error)) from None
        except redis.RedisError as error:
            raise CommandError(f"Redis is unavailable: {error}") from None

    def _list(self, scope: str | None) -> None:
        scopes = [info for info in operations.list_scopes() if scope in (None, info.name)]
        if not scopes:
            raise CommandError(f"{scope!r} is not a scope.")
        for info in scopes:
            self.stdout.write(f"{info.name}  {info.rate}  (from {info.source})")
            for view in info.views:
                self.stdout.write(f"    {view}")

    def _show(self, client: str, scope: str | None, tier: str | None) -> None:
        self.stdout.write(client)
        for name, window, outcome in operations.usage(client, scope, tier):
            if window == BLOCK:
                self.stdout.write(f"    {name}: blocked")
                continue
            more = f", more in {outcome.more:.0f} s" if outcome.more else ""
            self.stdout.write(
                f"    {name}: {outcome.remaining} of {window.limit} left in {window.period} s{more}"
            )
