"""The release workflow of a service publishes its image and charts with the tag's version."""

import tarfile
from pathlib import Path

import pytest
import yaml

from tests.charts import tools
from tests.support import BakedProject, bake
from tests.workflows import run_job, stand_in

IMAGE = "ghcr.io/example/acme-blog"
IMAGE_DIGEST = f"sha256:{'1' * 64}"
CHART_DIGEST = f"sha256:{'2' * 64}"

DOCKER = """
case "$*" in
  login*) cat > "$RUNNER_TEMP/password" ;;
  "buildx build"*) echo '{"containerimage.digest": "DIGEST"}' > "$RUNNER_TEMP/image.json" ;;
esac
""".replace("DIGEST", IMAGE_DIGEST)

HELM = """
case $1 in
  push)
    [ ! -e "$RUNNER_TEMP/registry-down" ] || { echo "Error: denied" >&2; exit 1; }
    mkdir -p "$RUNNER_TEMP/registry" && cp "$2" "$RUNNER_TEMP/registry"
    printf 'Pushed: %s\\nDigest: DIGEST\\n' "$3" >&OUTPUT
    ;;
  *) exec HELM "$@" ;;
esac
""".replace("DIGEST", CHART_DIGEST)


@pytest.fixture(params=[1, 2], ids=["helm-4", "helm-3"])
def folder(request, tmp_path) -> Path:
    """A folder with stand-ins for what needs a registry or an identity.

    Helm packages for real; Helm 4 prints the digest on stdout, Helm 3 on stderr.
    """
    programs = tmp_path / "programs"
    helm = HELM.replace("HELM", str(tools.helm())).replace("OUTPUT", str(request.param))
    for name, script in [("docker", DOCKER), ("helm", helm), ("cosign", ""), ("sudo", "")]:
        stand_in(programs, name, script)
    return tmp_path


def publish(project: BakedProject, folder: Path, tag: str) -> str:
    """Run the job that publishes."""
    return run_job(
        project.path / ".github/workflows/release.yml",
        "publish",
        project.path,
        folder / "programs",
        GITHUB_REF_NAME=tag,
        USERNAME="ada",
        PASSWORD="correct horse",
    )


def charts(folder: Path) -> dict[str, tuple[str, str]]:
    """Return version and appVersion of each chart in the registry."""
    found = {}
    for path in sorted((folder / "registry").glob("*.tgz")):
        with tarfile.open(path) as archive:
            name = path.name.rsplit("-", 1)[0]
            file = archive.extractfile(f"{name}/Chart.yaml")
            assert file
            chart = yaml.safe_load(file)
        found[chart["name"]] = (chart["version"], chart["appVersion"])
    return found


def calls(folder: Path, program: str) -> list[str]:
    """Return the command lines of a stand-in."""
    lines = (folder / "calls").read_text().splitlines()
    return [line for line in lines if line.startswith(program)]


def test_image_and_charts_have_the_version_of_the_tag(folder, tmp_path_factory):
    project = bake().copy(tmp_path_factory.mktemp("service"))
    version = project.path / "pyproject.toml"
    version.write_text(version.read_text().replace('version = "0.1.0"', 'version = "1.2.3"'))
    publish(project, folder, "v1.2.3")

    assert charts(folder) == {"redis": ("1.2.3", "8"), "web": ("1.2.3", "1.2.3")}
    build = calls(folder, "docker buildx build")[0]
    assert f"--tag {IMAGE}:1.2.3 " in build
    assert "--platform linux/amd64,linux/arm64 --provenance=mode=max --sbom=true" in build
    assert {call.split()[-1] for call in calls(folder, "helm push")} == {f"oci://{IMAGE}/charts"}


def test_image_and_charts_are_signed_by_digest(folder):
    publish(bake(), folder, "v0.1.0")

    published = [
        f"{IMAGE}@{IMAGE_DIGEST}",
        f"{IMAGE}/charts/redis@{CHART_DIGEST}",
        f"{IMAGE}/charts/web@{CHART_DIGEST}",
    ]
    assert calls(folder, "cosign") == [f"cosign sign --yes {' '.join(published)}"]
    assert (folder / "summary").read_text().split() == published


def test_password_of_the_registry_is_in_no_command_line(folder):
    publish(bake(), folder, "v0.1.0")

    assert (folder / "password").read_text() == "correct horse\n"
    assert calls(folder, "docker login") == ["docker login ghcr.io --username ada --password-stdin"]
    assert "correct horse" not in (folder / "calls").read_text()


def test_tag_that_is_not_the_version_publishes_nothing(folder):
    with pytest.raises(AssertionError, match=r"Tag v0\.2\.0 does not match version 0\.1\.0"):
        publish(bake(), folder, "v0.2.0")
    assert not (folder / "calls").exists()


def test_repository_without_a_registry_publishes_nothing(folder):
    with pytest.raises(AssertionError, match=r"IMAGE_REPOSITORY=acme/blog .* has no registry"):
        publish(bake(image_repository="acme/blog"), folder, "v0.1.0")
    assert not (folder / "calls").exists()


def test_chart_that_cannot_be_pushed_fails_the_release_unsigned(folder):
    (folder / "registry-down").touch()
    with pytest.raises(AssertionError, match="exited with 1"):
        publish(bake(), folder, "v0.1.0")
    assert calls(folder, "cosign") == []
