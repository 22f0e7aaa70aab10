"""`manage.py create_app` creates an app and installs it, or says why not."""

import ast
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from service_runtime.management.new_app import TEMPLATES

SETTINGS = '''"""Settings."""

THROTTLE_RATES = rates_from_environment(
    env,
    defaults={
        "login": "10/minute",
        "author_limit": "100/hour",  # ünïcode, with a comma
    },
)
INSTALLED_APPS = [
    "service_runtime",
    "shop.users",
    "django.contrib.admin",
]
CACHEOPS: dict[str, dict] = {
    **SHARED,
    "users.user": {
        "ops": "get",
    },
}
'''
URLS = """from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("api/", include("shop.users.urls")),
    path("api/docs/", lambda request: HttpResponse()),
]
"""
LINES = {
    "INSTALLED_APPS": '"shop.orders",',
    "THROTTLE_RATES": '"orders_limit": "100/hour",',
    "CACHEOPS": '"orders.*": {"ops": (), "timeout": 60 * 10},',
    "urlpatterns": 'path("api/", include("shop.orders.urls")),',
}


@pytest.fixture
def shop(tmp_path, settings, monkeypatch):
    """Return the folder of a service's package."""
    folder = tmp_path / "shop"
    (folder / "users").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "users/urls.py").write_text("urlpatterns = []\n")
    (folder / "settings.py").write_text(SETTINGS)
    (folder / "urls.py").write_text(URLS)
    monkeypatch.syspath_prepend(tmp_path)
    settings.ROOT_URLCONF = "shop.urls"
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def contents(folder: Path) -> dict[str, str]:
    """Return the text of each Python file, by its path."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*.py"))}


def rejection(folder, *arguments):
    """Return the error of the command, which must not write anything."""
    before = contents(folder)
    with pytest.raises(CommandError) as error:
        call_command("create_app", *arguments)
    assert contents(folder) == before
    return str(error.value)


def test_the_app_has_every_file(shop, capsys):
    call_command("create_app", "orders")

    found = contents(shop / "orders")
    packages = {"__init__.py", "migrations/__init__.py", "tests/__init__.py"}
    assert set(found) == packages | {f"{path}.py" for path in TEMPLATES}
    for path, text in found.items():
        ast.parse(text, path)
        assert "$" not in text
    assert "class Order(models.Model):" in found["models.py"]
    assert 'name = "shop.orders"' in found["apps.py"]
    printed = "Created shop.orders with the model Order, served at /api/orders/\n"
    assert capsys.readouterr().out == printed


def test_each_line_is_inserted_into_its_list(shop):
    call_command("create_app", "orders")

    assert (shop / "urls.py").read_text() == URLS.replace(
        'users.urls")),\n', f'users.urls")),\n    {LINES["urlpatterns"]}\n'
    )
    expected = SETTINGS.replace('.users",\n', f'.users",\n    {LINES["INSTALLED_APPS"]}\n')
    expected = expected.replace(
        "with a comma\n", f"with a comma\n        {LINES['THROTTLE_RATES']}\n"
    )
    expected = expected.replace("    },\n}\n", f"    }},\n    {LINES['CACHEOPS']}\n}}\n")
    assert (shop / "settings.py").read_text() == expected


def test_a_second_app_follows_the_first(shop):
    call_command("create_app", "orders")
    call_command("create_app", "line_items")

    settings, urls = (shop / "settings.py").read_text(), (shop / "urls.py").read_text()
    assert '    "shop.orders",\n    "shop.line_items",\n' in settings
    assert '"line_items_limit": "100/hour",\n' in settings
    assert 'include("shop.orders.urls")),\n    path("api/", include("shop.line_items' in urls
    assert 'path("line-items/"' in (shop / "line_items/urls.py").read_text()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("orders", "Order"),
        ("line_items", "LineItem"),
        ("categories", "Category"),
        ("inventory", "Inventory"),
        ("shop", "Shop"),  # the name of the service, which the app does not shadow
    ],
)
def test_the_model_is_the_singular_of_the_name(shop, name, model):
    call_command("create_app", name)

    assert f"class {model}(models.Model):" in (shop / name / "models.py").read_text()


def test_the_model_can_be_chosen(shop):
    call_command("create_app", "news", "--model", "Article")

    assert "class Article(models.Model):" in (shop / "news/models.py").read_text()
    assert '"""Articles, newest first."""' in (shop / "news/views.py").read_text()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "lower-case letters"),
        ("Orders", "lower-case letters"),
        ("new-orders", "lower-case letters"),
        ("new__orders", "lower-case letters"),
        ("2orders", "lower-case letters"),
        ("bücher", "lower-case letters"),
        ("../orders", "lower-case letters"),
        ("x" * 31, "lower-case letters"),
        ("class", "it is a Python keyword"),
        ("settings", "shop.settings exists already"),
        ("users", "shop.users exists already"),
        ("sessions", "it is the label of an installed app"),
        ("json", "it is the name of a Python module"),
        ("sys", "it is the name of a Python module"),
        ("tests", "it is the name of a Python module"),
        ("docs", "the service has the path /api/docs/ already"),
    ],
)
def test_a_name_in_use_is_rejected(shop, name, rule):
    message = rejection(shop, name)

    assert message.startswith(f"{name!r} cannot be the name of an app: ")
    assert rule in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("model", "rule"),
    [
        ("order", "start with a capital letter"),
        ("New Order", "start with a capital letter"),
        ("None", "it is a Python keyword"),
        ("Session", "another app has a model of this name"),
        ("Response", "the app's code uses the name"),
    ],
)
def test_a_model_in_use_is_rejected(shop, model, rule):
    message = rejection(shop, "new", "--model", model)

    assert message.startswith(f"{model!r} cannot be the name of a model: ")
    assert rule in message
    assert message.endswith("Choose one: make app NAME=new MODEL=...")


def test_a_second_run_is_rejected(shop):
    call_command("create_app", "orders")

    assert rejection(shop, "orders").endswith("shop.orders exists already.")


def test_an_item_that_is_there_already_is_not_replaced(shop):
    message = rejection(shop, "author", "--model", "Writer")

    assert message.startswith('THROTTLE_RATES in settings.py has the item "author_limit"')


@pytest.mark.parametrize(
    ("former", "rearranged"),
    [
        ("INSTALLED_APPS = [\n", "INSTALLED_APPS = SHARED + [\n"),
        ("INSTALLED_APPS = [\n", "APPS = [\n"),
        ('    "shop.users",\n', '    *("shop.users", "shop.blog"), *OTHERS,\n'),
        ('    "shop.users",\n    "django.contrib.admin",\n', '    "cacheops", "shop.users",\n'),
        ('    "service_runtime",\n    "shop.users",\n    "django.contrib.admin",\n', ""),
    ],
    ids=["sum", "other name", "nested", "one line", "empty"],
)
def test_a_line_without_a_place_is_printed(shop, former, rearranged):
    assert former in SETTINGS
    (shop / "settings.py").write_text(SETTINGS.replace(former, rearranged))

    with pytest.raises(CommandError) as error:
        call_command("create_app", "orders")

    first, *others = str(error.value).splitlines()
    assert first == "shop.orders was created, but is not installed. Add by hand:"
    assert others == ['    to INSTALLED_APPS in settings.py: "shop.orders",']
    settings = (shop / "settings.py").read_text()
    assert '"shop.orders"' not in settings
    assert LINES["CACHEOPS"] in settings
    assert (shop / "orders/models.py").exists()


def test_all_lines_are_printed_without_a_settings_file(shop):
    (shop / "settings.py").unlink()

    with pytest.raises(CommandError) as error:
        call_command("create_app", "orders")

    by_hand = [line.strip() for line in str(error.value).splitlines()[1:]]
    lines = {name: code for name, code in LINES.items() if name != "urlpatterns"}
    assert by_hand == [f"to {name} in settings.py: {code}" for name, code in lines.items()]
    assert not (shop / "settings.py").exists()


def test_nothing_remains_if_a_file_cannot_be_written(shop, monkeypatch):
    write = Path.write_text

    def fail_for_urls(path, text, **options):
        if path == shop / "urls.py":
            raise OSError("No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", fail_for_urls)

    message = rejection(shop, "orders")

    assert message == "No app was created: No space left on device."
    assert not (shop / "orders").exists()
