from typing import Any

from django.core.management.base import BaseCommand

from ...models import Author, Blog


class Command(BaseCommand):
    help = "Load example blogs, unless there are blogs already."

    def handle(self, *args: Any, **options: Any) -> None:
        if Blog.objects.exists():
            self.stdout.write("Blogs exist already.")
            return
        for name in ("Ada", "Grace"):
            author, _ = Author.objects.get_or_create(name=name)
            for number in range(1, 4):
                Blog.objects.create(
                    author=author, title=f"{name}'s blog {number}", body="Hello, world."
                )
        self.stdout.write(f"Loaded {Blog.objects.count()} blogs.")
