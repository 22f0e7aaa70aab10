"""The first admin is created from the environment, once."""

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import IntegrityError

PASSWORD = "correct horse battery staple"


@pytest.fixture
def create_admin(db, monkeypatch, capsys):
    """Return a function that runs the command and returns its output."""

    def create_admin(**variables):
        for name in ("USERNAME", "PASSWORD", "EMAIL", "PASSWORD_FILE"):
            monkeypatch.delenv(f"DJANGO_SUPERUSER_{name}", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(f"DJANGO_SUPERUSER_{name}", value)
        call_command("create_admin")
        return capsys.readouterr().out

    return create_admin


def test_user_is_created_with_all_rights(create_admin):
    output = create_admin(USERNAME="ada", PASSWORD=PASSWORD, EMAIL="ada@example.com")

    user = get_user_model().objects.get()
    assert (user.username, user.email) == ("ada", "ada@example.com")
    assert user.is_superuser
    assert user.is_staff
    assert user.check_password(PASSWORD)
    assert PASSWORD not in output


def test_user_that_exists_is_not_changed(create_admin):
    create_admin(USERNAME="ada", PASSWORD=PASSWORD, EMAIL="ada@example.com")
    output = create_admin(USERNAME="ada", PASSWORD="another " + PASSWORD, EMAIL="x@example.com")

    user = get_user_model().objects.get()
    assert "nothing was changed" in output
    assert user.check_password(PASSWORD)
    assert user.email == "ada@example.com"


def test_password_can_come_from_a_file(create_admin, tmp_path):
    (tmp_path / "password").write_text(PASSWORD)
    create_admin(USERNAME="ada", PASSWORD_FILE=str(tmp_path / "password"))

    assert get_user_model().objects.get().check_password(PASSWORD)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PASSWORD": PASSWORD}, "DJANGO_SUPERUSER_USERNAME is not set"),
        ({"USERNAME": "ada"}, "DJANGO_SUPERUSER_PASSWORD is not set"),
        ({"USERNAME": "ada", "PASSWORD": "12345"}, "DJANGO_SUPERUSER_PASSWORD: .* too short"),
    ],
)
def test_invalid_value_creates_no_user(create_admin, settings, variables, message):
    validators = "django.contrib.auth.password_validation.MinimumLengthValidator"
    settings.AUTH_PASSWORD_VALIDATORS = [{"NAME": validators}]
    with pytest.raises(CommandError, match=message):
        create_admin(**variables)
    assert not get_user_model().objects.exists()


def test_another_conflict_is_an_error(create_admin, monkeypatch):
    def conflict(*arguments, **options):
        raise IntegrityError("UNIQUE constraint failed: email")

    monkeypatch.setattr("service_runtime.management.commands.create_admin.call_command", conflict)
    with pytest.raises(CommandError, match="was not created: UNIQUE"):
        create_admin(USERNAME="ada", PASSWORD=PASSWORD)
