"""What pipelines that really build and push are tested with: an agent with a checkout, a registry with passwords."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jenkins_pipelines import Agent, Outcome

from plainregistry import Registry
from support import registries

USER, PASSWORD = "builder", "s3cret"
# bcrypt, the only kind the registry takes: of PASSWORD, and of what moto gives as a password for ECR
_HTPASSWD = (
    f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"
    "AWS:$2y$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n"
)
LOGIN = {"kind": "usernamePassword", "also": "usernameColonPassword", "username": USER, "password": PASSWORD}
SECRETS = {
    "token": {"kind": "string", "value": "npm_$HOME`id`'\"x"},
    "netrc": {"kind": "file", "name": "net rc", "value": "machine acme login ada\n"},
    "nexus": {"kind": "usernamePassword", "username": "deploy er", "password": "nexus$pass"},
    "colon": {"kind": "usernameColonPassword", "username": "col", "password": "on:colon"},
    "deploy": {"kind": "sshUserPrivateKey", "username": "git", "passphrase": "open sesame", "value": "-----KEY-----\n"},
    "keystore": {"kind": "certificate", "alias": "shop", "password": "jks-5ecret", "value": "JKS"},
    "bundle": {"kind": "zip", "files": {"ca.pem": "CA", "client/key.pem": "CLIENT KEY"}},
}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Registry]:
    """A registry that wants a password, also of those who pull."""
    if registries.find_registry() is None:
        pytest.skip("needs docker-registry")
    folder = tmp_path / "registry"
    folder.mkdir()
    (folder / "htpasswd").write_text(_HTPASSWD)
    extra = f'auth: {{htpasswd: {{realm: tests, path: "{folder}/htpasswd"}}}}\n'
    with registries.running_registry(folder, extra) as running:
        yield running


@pytest.fixture
def builder(agent: Agent) -> Agent:
    """An agent with Coopery, and a checkout of branch main with a Dockerfile that needs no base image."""
    agent.program()
    agent.workspace.mkdir()
    (agent.workspace / "Dockerfile").write_text("FROM scratch\nCOPY hello /\n")
    (agent.workspace / "hello").write_text("hello")
    agent.credentials |= {"login": LOGIN, **SECRETS}
    agent.environ |= {"BRANCH_NAME": "main", "BRANCH_IS_PRIMARY": "true", "GIT_COMMIT": commit(agent.workspace, "One")}
    return agent


def commit(folder: Path, message: str) -> str:
    """Commits what is in `folder`; the commit."""
    run = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "init.defaultBranch=main", "-C"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--allow-empty", "-m", message]):
        subprocess.run([*run, folder, *arguments], check=True)
    shown = subprocess.run([*run, folder, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return shown.stdout.strip()


def scripted(arguments: str, step: str = "cooperyBuild") -> str:
    return f"@Library('coopery') _\nnode {{\n    give {step}({arguments})\n}}\n"


def pushed(host: str, name: str, login: tuple[str, str] = (USER, PASSWORD)) -> str:
    """The digest that the registry has under `repository:tag`; empty if it has none."""
    import requests

    repository, _, tag = name.rpartition(":")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    reply = requests.head(f"http://{host}/v2/{repository}/manifests/{tag}", headers=accept, auth=login, timeout=20)
    return reply.headers.get("Docker-Content-Digest", "") if reply.ok else ""


def told(done: Outcome, secrets: list[str]) -> None:
    """No secret was in what the step was told, ran or wrote, and the log masks them."""
    seen = json.dumps([[call["step"], call["arguments"]] for call in done.calls]) + json.dumps(done.archived) + done.log
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode()):
            assert form not in seen, form
