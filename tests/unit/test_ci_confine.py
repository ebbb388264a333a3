"""What a settings file may say where anybody may have written it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coopery.ci.confine import confined
from coopery.ci.settings import Given, Layer, RegistryEntry, SecretName, Settings, Target, combine
from coopery.ci.written import Spot
from coopery.errors import UsageError

IN_FILE = Spot("coopery.yaml", 3, 1, ("a", "b", "c"))
OF_THE_JOB = Spot("the input of the job")


def _target(key: str, value: object, spot: Spot) -> Settings:
    return Settings(targets=(Target(**{key.replace("-", "_"): value}, spots={key: spot}),))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("context", ".."),
        ("context", "/"),
        ("context", "out"),
        ("file", "/etc/passwd"),
        ("file", "sub/../../Dockerfile"),
        ("build-contexts", {"home": "/root"}),
        ("build-contexts", {"layout": "oci-layout:///var/lib/images:1"}),
        ("outputs", ("type=local,dest=/etc",)),
        ("scratch", "/var/lib"),
        ("cache-from", ("type=local,src=/var/cache/other",)),
    ],
)
def test_paths_lead_nowhere_else(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "out").symlink_to("/")
    with pytest.raises(UsageError, match="lies outside"):
        confined(_target(key, value, IN_FILE), str(tmp_path))
    settings = _target(key, value, OF_THE_JOB)
    if value != "out":
        assert confined(settings, str(tmp_path)).settings == settings  # the job itself may


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("context", "."),
        ("context", "app"),
        ("context", "https://git.example/a/b.git#main"),
        ("file", "docker/Dockerfile"),
        ("build-contexts", {"tools": "tools", "base": "docker-image://registry.example/base:1"}),
        ("outputs", ("type=oci,dest=image.tar",)),
    ],
)
def test_what_lies_inside_is_left_alone(tmp_path: Path, key: str, value: object) -> None:
    settings = _target(key, value, IN_FILE)
    assert confined(settings, str(tmp_path)).settings == settings


@pytest.mark.parametrize(
    ("key", "value", "link"),
    [
        ("context", "app", "app"),
        ("context", "app", "app/Dockerfile"),
        ("context", ".", ".dockerignore"),
        ("file", "docker/Dockerfile", "docker/Dockerfile"),
        ("build-contexts", {"tools": "tools"}, "tools"),
    ],
)
def test_links_lead_nowhere_else(tmp_path: Path, key: str, value: object, link: str) -> None:
    checkout = tmp_path / "checkout"
    (checkout / link).parent.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (checkout / link).symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="leads out of the job's directory by a link"):
        confined(_target(key, value, OF_THE_JOB), str(checkout))


def test_a_mapping_of_file_and_job_counts_as_the_files(tmp_path: Path) -> None:
    layers = [
        Layer(values={"build-contexts": Given({"root": "/"}, IN_FILE)}),
        Layer(values={"build-contexts": Given({"tools": "tools"}, OF_THE_JOB)}),
    ]
    with pytest.raises(UsageError, match="lies outside"):
        confined(combine(layers), str(tmp_path))


def test_the_machine_is_not_the_files_to_use(tmp_path: Path) -> None:
    changes = {"isolation": "chroot", "load": True, "outputs": ("type=docker", "type=docker,dest=image.tar")}
    target = Target(**changes, spots=dict.fromkeys(changes, IN_FILE))  # type: ignore[arg-type]
    found = confined(Settings(targets=(target,)), str(tmp_path))
    (kept,) = found.settings.targets
    assert (kept.isolation, kept.load, kept.outputs) == ("auto", False, ("type=docker,dest=image.tar",))
    assert found.left_out == ("isolation", "load", "the output for Docker")
    wished = Settings(targets=(Target(**changes, spots=dict.fromkeys(changes, OF_THE_JOB)),))  # type: ignore[arg-type]
    assert confined(wished, str(tmp_path)).settings == wished


def test_a_certificate_lies_inside(tmp_path: Path) -> None:
    entry = RegistryEntry(certificate="/root/key.pem", spot=IN_FILE)
    with pytest.raises(UsageError, match="lies outside"):
        confined(Settings(targets=(Target(),), registries={"r.test": entry}), str(tmp_path))


def test_secrets_logins_and_entitlements_of_the_file_are_left_out(tmp_path: Path) -> None:
    target = Target(
        secrets={
            "mine": SecretName(env="DEPLOY_PASSWORD", spot=IN_FILE),
            "job": SecretName(name="NPM", spot=OF_THE_JOB),
        },
        ssh=("default",),
        allow=("security.insecure",),
        spots={"ssh": IN_FILE, "allow": IN_FILE},
    )
    registries = {
        "evil.example": RegistryEntry(username="x", password="DEPLOY_PASSWORD", plain_http=True, spot=IN_FILE),
        "good.example": RegistryEntry(username="x", password="P", spot=OF_THE_JOB),
    }
    found = confined(Settings(targets=(target,), registries=registries), str(tmp_path))
    (kept,) = found.settings.targets
    assert (set(kept.secrets), kept.ssh, kept.allow) == ({"job"}, (), ())
    assert found.settings.registries["evil.example"] == RegistryEntry(plain_http=True, spot=IN_FILE)
    assert found.settings.registries["good.example"] == registries["good.example"]
    assert found.left_out == ("the secret mine", "ssh", "allow", "the login for evil.example")
