"""Choices in any spelling, from every source of values and with every supported Cookiecutter."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config

from tests.bake.test_answers import NEXT_STEP, load_hook, run_cli, tree
from tests.support import UV, bake, template

OLDEST = "2.1.0"
TOO_OLD = "1.7.3"
SPELLINGS = {
    "yes": "yes YES y Y t True true 1 on ON".split(),
    "no": "no No n N f False false 0 off Off".split(),
}
LICENSES = {
    "MIT": "MIT mit Mit 1".split(),
    "Apache-2.0": "Apache-2.0 apache-2.0 APACHE-2.0 2".split(),
    "BSD-3-Clause": "BSD-3-Clause bsd-3-clause 3".split(),
    "Proprietary": "Proprietary proprietary PROPRIETARY 4".split(),
}


def values_of(**given: Any) -> dict[str, Any]:
    """Return the values of all prompts, as Cookiecutter computes them from given ones."""
    context = generate_context(str(template() / "cookiecutter.json"), extra_context=given)
    return dict(prompt_for_config(context, no_input=True))


@pytest.mark.parametrize("name", SPELLINGS)
def test_yes_and_no_in_any_spelling(name):
    found = [values_of(example_app=text)["example_app"] for text in SPELLINGS[name]]

    assert found == [name] * len(found)


def test_yes_and_no_can_be_booleans():
    """As a user's configuration and an API's caller give them."""
    assert [values_of(example_app=value)["example_app"] for value in (True, False)] == ["yes", "no"]


@pytest.mark.parametrize("name", LICENSES)
def test_licence_in_any_case_or_by_its_number(name):
    found = [values_of(license=text)["license"] for text in LICENSES[name]]

    assert found == [name] * len(found)


def test_prompt_lists_the_licences_that_the_hook_accepts():
    document = json.loads((template() / "cookiecutter.json").read_text())
    listed = re.findall(r"^ +(\d) - (\S+)$", document["__prompts__"]["license"], re.MULTILINE)

    assert [name for _, name in listed] == document["__licenses"]
    assert [int(number) for number, _ in listed] == [1, 2, 3, 4]
    assert load_hook("pre_gen_project").LICENSES == document["__licenses"] == [*LICENSES]


def test_other_values_stay_as_they_are_for_the_error():
    found = values_of(example_app="maybe", license="5")

    assert (found["example_app"], found["license"]) == ("maybe", "5")


def test_typed_choices_are_the_same_as_given_ones(tmp_path):
    result = run_cli(tmp_path, typed=["", "", "", "", "", "N", "2"])

    assert result.returncode == 0, result.stderr
    assert "    2 - Apache-2.0\n" in result.stdout
    expected = bake(example_app="no", license="Apache-2.0").contents()
    assert tree(tmp_path / "acme_blog").keys() >= expected.keys()
    assert {name: (tmp_path / "acme_blog" / name).read_bytes() for name in expected} == {
        name: content for name, (content, _) in expected.items()
    }


def test_every_rejected_value_is_in_one_message(tmp_path):
    given = {"project_slug": "Blog", "example_app": "maybe", "license": "GPL", "author": " "}
    result = run_cli(tmp_path, "--no-input", *(f"{name}={text}" for name, text in given.items()))

    lines = result.stdout.splitlines()
    assert [line.partition(" is invalid: it must ")[0] for line in lines[:4]] == [
        "project_slug 'Blog'",
        "author ' '",
        "example_app 'maybe'",
        "license 'GPL'",
    ]
    assert lines[4] == NEXT_STEP
    assert result.returncode == 1
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("is_old", [False, True], ids=["this template", "before private variables"])
def test_replay_generates_the_same_service(tmp_path, monkeypatch, is_old):
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(f"replay_dir: {tmp_path}/replay\n")
    monkeypatch.setenv("COOKIECUTTER_CONFIG", str(configuration))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    run_cli(first, "--no-input", "example_app=off", "license=bsd-3-clause")
    (replay,) = (tmp_path / "replay").iterdir()
    stored = json.loads(replay.read_text())
    values = stored["cookiecutter"]
    assert (values["example_app"], values["license"]) == ("no", "BSD-3-Clause")
    if is_old:
        for name in [name for name in values if name.endswith(("spelling", "__licenses"))]:
            del values[name]
        replay.write_text(json.dumps(stored))

    result = run_cli(second, "--replay")

    assert result.returncode == 0, result.stderr
    assert tree(second) == tree(first)


def test_older_python_is_rejected(monkeypatch):
    monkeypatch.delattr(sys, "stdlib_module_names")

    version = ".".join(map(str, sys.version_info[:2]))

    message = load_hook("pre_gen_project").error(values_of(), Path("missing"))

    assert message.startswith(
        f"Cookiecutter runs with Python {version}, and 3.10 or newer is required."
    )


def run_version(version: str, folder: Path, *values: str) -> subprocess.CompletedProcess[str]:
    """Generate a service with a release of Cookiecutter."""
    # setuptools: the first releases import pkg_resources, which it contains up to 81.
    options = ["--quiet", "--no-project", "--python", sys.executable, "--with", "setuptools<81"]
    options += ["--with", f"cookiecutter=={version}"]
    return subprocess.run(
        [UV, "run", *options, "cookiecutter", "--no-input", template(), *values],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.network
def test_oldest_supported_cookiecutter_generates_the_same_service(tmp_path):
    result = run_version(OLDEST, tmp_path, "example_app=N", "license=mit")

    assert result.returncode == 0, result.stdout
    expected = bake(example_app="no").contents()
    assert {name: (tmp_path / "acme_blog" / name).read_bytes() for name in expected} == {
        name: content for name, (content, _) in expected.items()
    }


@pytest.mark.network
def test_older_cookiecutter_is_rejected_by_its_version(tmp_path):
    result = run_version(TOO_OLD, tmp_path)

    assert result.returncode == 1
    oldest = OLDEST.removesuffix(".0")
    assert result.stdout.startswith(f"Cookiecutter {oldest} or newer is required.")
    assert tree(tmp_path) == {}
