import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient


@pytest.fixture
def client_of():
    """Return a function that creates a client, signed in as the user with a name."""

    def client_of(name=None):
        client = APIClient()
        if name:
            users = get_user_model().objects
            client.force_login(users.filter(username=name).first() or users.create_user(name))
        return client

    return client_of
