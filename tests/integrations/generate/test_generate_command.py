"""`coopery generate` as people call it, and as it is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from generate_cases import ENDINGS, ROOT, SOURCE
from hypothesis import given
from hypothesis import strategies as st

from coopery.credentials.aws import Aws
from coopery.generate import aws
from coopery.generate.plan import SOURCE as PLACEHOLDER
from coopery.generate.plan import Plan, Wish, make_plan
from coopery.generate.quoting import groovy_string, yaml_scalar
from coopery.generate.registries import known_registries
from support.command import Coopery


def plan(platform: str = "buildkite", **wish: Any) -> Plan:
    return make_plan(Wish(**wish), platform, platform.title())


# ------------------------------------------------------------------------------------------------ the command


def test_help_names_platforms_and_registries(coopery: Coopery) -> None:
    told = " ".join(coopery("generate", "--help").stdout.split())
    assert "PLATFORM is buildkite, github-action, gitlab, jenkins" in told
    assert "ghcr, gitlab, ecr, dockerhub, other" in told
    assert PLACEHOLDER in told


def test_a_file_is_written_and_not_replaced(coopery: Coopery, tmp_path: Path) -> None:
    file = tmp_path / ".github/workflows/image.yml"
    coopery("generate", "github-action", "-o", file, "--source", SOURCE)
    text = file.read_text()
    assert yaml.safe_load(text)["jobs"]["image"]
    again = coopery("generate", "gitlab", "-o", file, check=False)
    assert again.returncode == 2 and "--force" in again.stderr
    assert file.read_text() == text
    coopery("generate", "gitlab", "--output", file, "--force")
    assert file.read_text() == coopery("generate", "gitlab").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["travis"], "travis"),
        (["gitlab", "--registry", "quay"], "there is no 'quay'\nhint: one of ghcr, gitlab"),
        (
            ["gitlab", "--registry", "ghcr", "--keyless"],
            "ghcr.io takes no identity of jobs of GitLab CI, only",
        ),
        (["buildkite", "--registry", "gitlab", "--keyless"], "or take --registry ecr"),
        (["jenkins", "--registry", "dockerhub", "--keyless"], "docker.io takes no identity of jobs of Jenkins"),
        (["gitlab", "--image", "registry.example/x", "--keyless"], "leave out --keyless"),
        (["jenkins", "--cache", "platform"], "take --cache registry"),
        (["gitlab", "--platforms", "windows/amd64"], "images for windows can't be built"),
        (["gitlab", "--platforms", "linux/amd64/v3"], "take linux/amd64"),
        (["gitlab", "--platforms", "linux/amd64,x y"], "is not a platform"),
        (["gitlab", "--image", "ghcr.io/a/b:tag"], "write --image ghcr.io/a/b"),
        (["gitlab", "--image", "Not Lower"], "is not an image reference"),
        (["gitlab", "--source", "coopery"], "write OWNER/NAME@COMMIT"),
        (["gitlab", "--source", "a/b@c d\nscript: [x]"], "write OWNER/NAME@COMMIT"),
        (["gitlab", "--branch", "main'; x"], "--branch"),
        (["gitlab", "--repository", "a/b\nc"], "--repository"),
    ],
)
def test_what_cant_be_had_has_a_way_out(coopery: Coopery, arguments: list[str], said: str) -> None:
    done = coopery("generate", *arguments, check=False)
    assert done.returncode == 2
    assert said in done.stderr, done.stderr
    assert done.stdout == ""


# ------------------------------------------------------------------------------------------------ what is asked for


def test_images_say_their_registry() -> None:
    found = plan(images=("ghcr.io/a/b", "docker.io/a/b", "ghcr.io/a/c", "registry.example/x", "other.example/y"))
    assert [place.registry.id for place in found.places] == ["ghcr", "dockerhub", "other", "other"]
    assert found.places[0].images == ("ghcr.io/a/b", "ghcr.io/a/c")
    assert [place.token for place in found.places[2:]] == ["REGISTRY_TOKEN", "REGISTRY2_TOKEN"]
    assert all(place.given for place in found.places)


def test_images_without_a_registry_go_to_each() -> None:
    found = plan(images=("team/app",), registries=("ghcr", "ecr"))
    assert found.images == ("ghcr.io/team/app", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/app")
    assert [place.given for place in found.places] == [True, False], "ECR's host is an example still"


def test_a_registry_beside_images_in_others() -> None:
    found = plan(images=("docker.io/a/b",), registries=("dockerhub", "ghcr"), repository="Acme/Shop")
    assert found.images == ("docker.io/a/b", "ghcr.io/acme/shop")


@pytest.mark.parametrize(("platform", "image"), [("gitlab", "registry.gitlab.com"), ("jenkins", "ghcr.io")])
def test_nothing_said_means_the_platforms_own_registry(platform: str, image: str) -> None:
    assert plan(platform).images == (f"{image}/acme/shop",)


@pytest.mark.parametrize(
    ("host", "partition", "audience"),
    [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "aws", "sts.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "aws-us-gov", "sts.amazonaws.com"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "aws-cn", "sts.amazonaws.com.cn"),
    ],
)
def test_policies_of_aws(host: str, partition: str, audience: str) -> None:
    assert Aws().serves(host)
    found = plan(images=(f"{host}/a/b",), keyless=True, cache="registry")
    (place,) = found.places
    assert aws.role(place) == f"arn:{partition}:iam::123456789012:role/coopery-push"
    (trust,) = json.loads(aws.trust_policy(place, "issuer.example", ["a:*"]))["Statement"]
    assert trust["Principal"]["Federated"] == f"arn:{partition}:iam::123456789012:oidc-provider/issuer.example"
    assert trust["Condition"]["StringEquals"] == {"issuer.example:aud": audience}
    _, push = json.loads(aws.push_policy(place, found.pushed_to(place, cached=True)))["Statement"]
    names = [arn.partition(":repository/")[2] for arn in push["Resource"]]
    assert names == ["a/b", "a/b/cache"]
    told = [action for action in re.findall(r"ecr:\w+", Aws().rights("push")) if action != "ecr:public"]
    assert set(told) <= set(push["Action"])


def test_the_table_is_for_all() -> None:
    for entry in known_registries().values():
        assert re.fullmatch(entry.pattern, entry.host)
        assert entry.home in ("", *ENDINGS) and set(entry.keyless_on) <= set(ENDINGS)


# ------------------------------------------------------------------------------------------------ quoting


@given(st.text())
def test_yaml_gives_back_what_was_written(text: str) -> None:
    quoted = yaml_scalar(text)
    assert yaml.safe_load(f"a: {quoted}\nb: c\n") == {"a": text, "b": "c"}
    assert yaml.safe_load(f"- {yaml_scalar(text)}\n") == [text]
    flow = yaml_scalar(text, flow=True)
    assert yaml.safe_load(f"[{flow}, {{a: {flow}}}]\n") == [text, {"a": text}]


@given(st.text())
def test_groovy_strings_end_where_they_should(text: str) -> None:
    quoted = groovy_string(text)
    inside = re.fullmatch(r"'((?:[^'\\\n]|\\.)*)'", quoted, re.DOTALL)
    assert inside
    assert re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], inside[1]) == text


# ------------------------------------------------------------------------------------------------ installed


def test_a_wheel_brings_templates_and_table(tmp_path: Path) -> None:
    """What is in a wheel is enough, away from the checkout."""
    pytest.importorskip("hatchling", reason="needs hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    place = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(place)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    # Other packages are this Python's, but for the editable install of this one.
    script = (
        f"import sys; here = {str(ROOT)!r} + '/'\n"
        "others = [p for p in sys.path if 'site-packages' in p or not p.startswith(here)]\n"
        f"sys.path = [{str(place)!r}, *others]\n"
        "from importlib import metadata\n"
        "import coopery.generate.pipelines as made\n"
        f"assert made.__file__.startswith({str(place)!r})\n"
        "print({name: len(made.generate(name, made.Wish())) for name in made.platforms()})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(ENDINGS) == set(re.findall(r"'([a-z-]+)'", done.stdout))
