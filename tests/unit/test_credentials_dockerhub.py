"""Docker Hub by OIDC: what is sent to whom, and what each hop's failure says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from coopery.credentials.cloud import CloudProvider, LoginFailed
from coopery.credentials.dockerhub import DockerHub

ENVIRON = {
    "DOCKERHUB_OIDC_CONNECTIONID": "123e4567-e89b-42d3-a456-426614174000",
    "DOCKERHUB_OIDC_USERNAME": "my-org",
    "DOCKERHUB_OIDC_TOKEN": "the-jobs-token",
}


class Exchange:
    """Stands in for Docker's token server."""

    def __init__(self, status: int = 200, body: bytes = b'{"access_token": "hub-token"}') -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._answer = status, body

    def __call__(self, url: str, form: Mapping[str, str]) -> tuple[int, bytes]:
        self.asked.append((url, dict(form)))
        return self._answer


def test_the_jobs_token_becomes_an_organizations():
    exchange = Exchange()
    login = DockerHub({**ENVIRON, "DOCKERHUB_OIDC_EXPIREIN": "900"}, exchange).mint("docker.io")
    assert (login.credential.username, login.credential.password) == ("my-org", "hub-token")
    assert 800 < login.ends - time.time() <= 900
    url, form = exchange.asked[0]
    assert url == "https://identity.docker.com/oauth/token"
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "subject_token": "the-jobs-token",
        "connection_id": ENVIRON["DOCKERHUB_OIDC_CONNECTIONID"],
        "expires_in": "900",
    }


def test_a_token_file_is_read_each_time(tmp_path: Path):
    token, exchange = tmp_path / "token", Exchange()
    hub = DockerHub({**ENVIRON, "DOCKERHUB_OIDC_TOKEN_FILE": str(token)}, exchange)
    for text in ("first", "second"):
        token.write_text(text + "\n")
        hub.mint("docker.io")
    assert [form["subject_token"] for _, form in exchange.asked] == ["first", "second"]


def test_only_docker_hub_is_served_and_only_with_a_connection():
    assert DockerHub(ENVIRON).serves("docker.io")
    assert DockerHub(ENVIRON).serves("dhi.io")
    for host in ("docker.io.example.org", "hub.docker.com", "ghcr.io", "registry-1.docker.io"):
        assert not DockerHub(ENVIRON).serves(host)
    assert not DockerHub({}).serves("docker.io")


@pytest.mark.parametrize(
    ("environ", "exchange", "hop", "said"),
    [
        ({"DOCKERHUB_OIDC_USERNAME": ""}, Exchange(), "identity", "DOCKERHUB_OIDC_USERNAME isn't set"),
        ({"DOCKERHUB_OIDC_TOKEN": ""}, Exchange(), "identity", "neither"),
        ({"DOCKERHUB_OIDC_TOKEN_FILE": "/nowhere"}, Exchange(), "identity", "can't be read"),
        ({"DOCKERHUB_OIDC_EXPIREIN": "60"}, Exchange(), "identity", "not 300 to 3600"),
        ({}, Exchange(401, b"{}"), "exchange", "status 401"),
        ({}, Exchange(200, b"[]"), "exchange", "without a token"),
        ({}, Exchange(200, json.dumps({"access_token": 5}).encode()), "exchange", "without a token"),
    ],
)
def test_a_failure_names_its_hop_and_no_secret(environ, exchange, hop, said):
    with pytest.raises(LoginFailed) as caught:
        DockerHub({**ENVIRON, **environ}, exchange).mint("docker.io")
    assert caught.value.hop == hop
    assert said in caught.value.said
    assert "the-jobs-token" not in caught.value.said + caught.value.hint


def test_a_failed_login_goes_on_anonymously_and_is_explained_when_refused():
    provider = CloudProvider(DockerHub(ENVIRON, Exchange(403)))
    assert provider.get("docker.io", "my-org/app") is None
    assert "failed at its exchange" in provider.advice("docker.io", "my-org/app", "push")
