from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """A custom user model from the start, so that fields can be added later."""
