"""Identity tokens, from a server that speaks as GitHub's does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import github_runner
import pytest
from github_identity import IdentityProvider
from github_runner import obeyed

from coopery.errors import AuthError, NetworkError
from coopery_github import GitHub, identity


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider() as running:
        yield running


def _environ(provider: IdentityProvider, directory: Path, scenario: str = "push") -> dict[str, str]:
    own = {"ACTIONS_ID_TOKEN_REQUEST_URL": provider.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-bearer"}
    return github_runner.environment(scenario, directory) | own


def test_a_token_is_masked(provider: IdentityProvider, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = GitHub(_environ(provider, tmp_path))
    token = platform.identity_token("sts.amazonaws.com")
    assert token == "token-1-for-sts.amazonaws.com"
    assert platform.identity_token("a&b=c d") == "token-2-for-a&b=c d"
    assert provider.asked == [("sts.amazonaws.com", "Bearer request-bearer"), ("a&b=c d", "Bearer request-bearer")]
    assert [command.text for command in obeyed(capfd.readouterr().err)] == [token, "token-2-for-a&b=c d"]


def test_failures_that_pass_are_tried_again(provider: IdentityProvider, tmp_path: Path) -> None:
    provider.queued = [(503, b""), (429, b"")]
    waits: list[float] = []
    assert identity.ask(_environ(provider, tmp_path), "a", wait=waits.append) == "token-3-for-a"
    assert len(waits) == 2


def test_failures_that_stay(provider: IdentityProvider, tmp_path: Path) -> None:
    environ = _environ(provider, tmp_path)
    provider.queued = [(500, b"")] * 4
    with pytest.raises(NetworkError, match="in 4 attempts: status 500"):
        identity.ask(environ, "a", wait=lambda _: None)
    for status, body in ((403, b"{}"), (302, b""), (200, b"no JSON"), (200, b'{"value": 3}'), (200, b"[" * 100_000)):
        provider.queued = [(status, body)]
        with pytest.raises(AuthError):
            identity.ask(environ, "a", wait=lambda _: None)
    assert len(provider.asked) == 9, "no redirect is followed"


def test_no_answer(provider: IdentityProvider, tmp_path: Path) -> None:
    environ = _environ(provider, tmp_path) | {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/x"}
    with pytest.raises(NetworkError) as caught:
        identity.ask(environ, "a", wait=lambda _: None)
    assert "request-bearer" not in str(caught.value)


def test_without_the_permission(tmp_path: Path) -> None:
    platform = GitHub(github_runner.environment("push", tmp_path))
    assert platform.identity_token("a") is None
    assert "id-token: write" in platform.identity_help("a")


def test_strangers_code_gets_none(provider: IdentityProvider, tmp_path: Path) -> None:
    platform = GitHub(_environ(provider, tmp_path, "target-fork"))
    assert platform.identity_token("sts.amazonaws.com") is None
    assert "a fork's pull request" in platform.identity_help("sts.amazonaws.com")
    assert provider.asked == []
