from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """The project's own user model, so that fields can be added at any time."""
