"""Settings for all tests: none of them depends on the user's own configuration."""

import pytest

GIT_CONFIG = """
[user]
    name = Test
    email = test@example.com
[safe]
    directory = *
"""


@pytest.fixture(scope="session", autouse=True)
def neutral_configuration(tmp_path_factory):
    """Give git and cookiecutter a configuration that belongs to the tests."""
    folder = tmp_path_factory.mktemp("configuration")
    (folder / "gitconfig").write_text(GIT_CONFIG)
    (folder / "cookiecutter.yaml").write_text(
        f"replay_dir: {folder}/replay\ncookiecutters_dir: {folder}/templates\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        patch.setenv("COOKIECUTTER_CONFIG", str(folder / "cookiecutter.yaml"))
        yield
