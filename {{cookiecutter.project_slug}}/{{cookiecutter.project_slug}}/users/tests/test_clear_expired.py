from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone
from knox.models import AuthToken

from {{ cookiecutter.project_slug }}.users.management.commands import clear_expired


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user("ada")


@pytest.mark.parametrize("batch", [1, 1000])
def test_expired_sessions_and_tokens_are_deleted(user, capsys, monkeypatch, batch):
    monkeypatch.setattr(clear_expired, "BATCH", batch)
    now = timezone.now()
    for number, age in enumerate([timedelta(hours=1), timedelta(days=30), -timedelta(hours=1)]):
        Session.objects.create(session_key=str(number), expire_date=now - age)
        AuthToken.objects.create(user, expiry=-age)
    AuthToken.objects.create(user, expiry=None)  # it does not expire

    call_command("clear_expired")

    assert capsys.readouterr().out == "Deleted 2 sessions and 2 tokens.\n"
    assert [session.session_key for session in Session.objects.all()] == ["2"]
    assert AuthToken.objects.count() == 2
