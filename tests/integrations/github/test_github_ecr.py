"""A push to ECR with nothing but the job's identity token: GitHub's token service is played here, AWS by moto."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import github_runner
import pytest
from github_identity import IdentityProvider
from github_runner import obeyed, read_outputs

from support.command import run_coopery
from support.registries import find_registry, running_registry

_ACCOUNT = "123456789012"
_HOST = f"{_ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
# bcrypt, at cost 5, of the password that moto gives for that account: 123456789012-auth-token.
_HTPASSWD = "AWS:$2y$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of a server that plays AWS."""
    pytest.importorskip("botocore", reason="needs botocore")
    moto = pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _jwt(audience: str) -> str:
    claims = {"iss": "https://token.actions.githubusercontent.com", "sub": "repo:acme/shop:ref:refs/heads/main"}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims | {"aud": audience, "exp": 4_070_908_800})
    return ".".join(
        (*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2ln")
    )


def test_a_push_to_ecr_by_a_role(aws: str, tmp_path: Path) -> None:
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    environ = github_runner.environment("push", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "htpasswd").write_text(_HTPASSWD)
    inputs = {
        "images": f"{_HOST}/shop",
        "cache": "none",
        "registries": f"{_HOST}:\n  role: arn:aws:iam::{_ACCOUNT}:role/push\n  plain-http: true\n",
    }
    wanted = f'auth: {{htpasswd: {{realm: ecr, path: "{tmp_path}/htpasswd"}}}}\n'
    with IdentityProvider() as github, running_registry(tmp_path / "data", wanted) as registry:
        github.mint = _jwt
        # A request as a proxy gets it is one that registries answer: all of ECR's host leads to this one.
        environ |= {"AWS_ENDPOINT_URL": aws, "HTTP_PROXY": f"http://{registry.host}", "NO_PROXY": "127.0.0.1"}
        environ |= {"ACTIONS_ID_TOKEN_REQUEST_URL": github.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-bearer"}
        del environ["PATH"]
        done = run_coopery(
            "ci", "build", home=tmp_path / "home", env=environ | {"COOPERY_INPUTS": json.dumps(inputs)}, cwd=tmp_path
        )
    assert github.asked == [("sts.amazonaws.com", "Bearer request-bearer")]
    outputs = read_outputs(Path(environ["GITHUB_OUTPUT"]))
    assert (outputs["pushed"], outputs["tags"]) == ("true", f"{_HOST}/shop:main")
    tags = tmp_path / "data/storage/docker/registry/v2/repositories/shop/_manifests/tags"
    assert (tags / "main/current/link").read_text() == outputs["digest"]
    masked = [command.text for command in obeyed(done.stderr) if command.name == "add-mask"]
    assert _jwt("sts.amazonaws.com") in masked and f"{_ACCOUNT}-auth-token" in masked
    summary = Path(environ["GITHUB_STEP_SUMMARY"]).read_text()
    for secret in masked:
        seen = done.stdout + done.stderr.replace(f"::add-mask::{secret}\n", "") + summary + json.dumps(outputs)
        assert secret not in seen


def test_without_the_permission_the_way_out_is_told(tmp_path: Path) -> None:
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    environ = github_runner.environment("push", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (tmp_path / "htpasswd").write_text(_HTPASSWD)
    inputs = {"images": f"{_HOST}/shop", "cache": "none"}
    inputs["registries"] = f"{_HOST}:\n  role: arn:aws:iam::{_ACCOUNT}:role/push\n  plain-http: true\n"
    wanted = f'auth: {{htpasswd: {{realm: ecr, path: "{tmp_path}/htpasswd"}}}}\n'
    with running_registry(tmp_path / "data", wanted) as registry:
        environ |= {"HTTP_PROXY": f"http://{registry.host}", "NO_PROXY": "127.0.0.1"}
        del environ["PATH"]
        done = run_coopery(
            *("ci", "build"),
            home=tmp_path / "home",
            env=environ | {"COOPERY_INPUTS": json.dumps(inputs)},
            cwd=tmp_path,
            check=False,
        )
    assert done.returncode == 7
    (error,) = (command for command in obeyed(done.stderr) if command.name == "error")
    assert "id-token: write" in error.text
