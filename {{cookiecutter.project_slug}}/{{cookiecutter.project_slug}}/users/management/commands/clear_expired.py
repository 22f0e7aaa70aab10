from typing import Any

from django.contrib.sessions.models import Session
from django.core.management.base import BaseCommand
from django.db.models import Model, QuerySet
from django.utils import timezone
from knox.models import AuthToken

BATCH = 1000  # rows in memory at a time


class Command(BaseCommand):
    help = "Delete expired sessions and tokens."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        sessions = _delete(Session.objects.filter(expire_date__lt=now))
        tokens = _delete(AuthToken.objects.filter(expiry__lt=now))
        self.stdout.write(f"Deleted {sessions} sessions and {tokens} tokens.")


def _delete(expired: QuerySet[Any, Model]) -> int:
    deleted = 0
    while keys := list(expired.values_list("pk", flat=True)[:BATCH]):
        deleted += expired.filter(pk__in=keys).delete()[0]
    return deleted
