import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from ..models import Author, Blog


@pytest.fixture
def author(db) -> Author:
    return Author.objects.create(name="Ada")


@pytest.fixture
def blog(author: Author) -> Blog:
    return Blog.objects.create(author=author, title="First", body="Hello")


@pytest.fixture
def editor(db) -> APIClient:
    """Return a client signed in as a superuser."""
    client = APIClient()
    client.force_login(get_user_model().objects.create_superuser("editor"))
    return client
