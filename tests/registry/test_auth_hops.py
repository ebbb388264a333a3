"""A refusal names the hop that failed, identity, token or scope, and what is missing there."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from registry_support import Credentials, Reply, Request, ScriptedServer, client, login

from coopery.credentials.cloud import CloudProvider, Login, LoginFailed
from coopery.errors import AuthError, CooperyError
from coopery.oci.reference import Reference
from coopery.ports import Credential, CredentialProvider
from coopery.registry import RegistryClient

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]


class Cloud:
    """A cloud whose registries are on this machine."""

    name, extra = "Fake Cloud", "fake"

    def __init__(self, outcome: Login | Exception) -> None:
        self._outcome = outcome

    def serves(self, host: str) -> bool:
        return host.startswith("127.0.0.1:")

    def mint(self, host: str) -> Login:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def rights(self, action: str) -> str:
        return f"to {action}, it needs the role {action}er"


def of_cloud(outcome: Login | Exception) -> CredentialProvider:
    return CloudProvider(Cloud(outcome))


def refused(provider: CredentialProvider, server: ScriptedServer) -> AuthError:
    with pytest.raises(AuthError) as caught:
        RegistryClient(provider).check_push(Reference.parse(f"{server.host}/team/app"))
    return caught.value


def basic(_: Request) -> Reply:
    return Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})


@pytest.fixture
def bearer(serve: Serve) -> Callable[[int], ScriptedServer]:
    """Starts a registry whose token server answers with a status; the tokens allow nothing."""

    def start(status: int) -> ScriptedServer:
        tokens = serve(lambda request: Reply(status, body=b'{"token": "powerless"}'))
        header = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/t",service="x",error="insufficient_scope"'}
        return serve(lambda request: Reply(401, header))

    return start


def test_nobody(serve: Serve) -> None:
    error = refused(Credentials(None), serve(basic))
    assert "this fails at the identity: nothing says who we are" in error.hint
    assert "coopery login" in error.hint


def test_wrong_password(serve: Serve) -> None:
    error = refused(Credentials(login()), serve(basic))
    assert "this fails at the identity: that user name and password are not taken" in error.hint


def test_token_server_refuses(bearer: Callable[[int], ScriptedServer]) -> None:
    error = refused(Credentials(login()), bearer(401))
    assert "this fails at the token: the token server 127.0.0.1 doesn't take" in error.hint


@pytest.mark.parametrize("credential", [login(), Credential(identity_token="x"), Credential(registry_token="x")])
def test_token_is_too_weak(bearer: Callable[[int], ScriptedServer], credential: Credential) -> None:
    error = refused(Credentials(credential), bearer(200))
    assert "this fails at the scope: the credential was accepted and may not push" in error.hint


def test_password_is_right_and_may_not(serve: Serve) -> None:
    error = refused(Credentials(login()), serve(lambda r: Reply(403) if r.authorization else basic(r)))
    assert "this fails at the scope" in error.hint


def test_cloud_without_its_library(serve: Serve) -> None:
    error = refused(of_cloud(ImportError()), serve(basic))
    assert "this fails at the identity" in error.hint
    assert "pip install 'coopery[fake]'" in error.hint


@pytest.mark.parametrize("hop", ["identity", "exchange", "token"])
def test_cloud_whose_login_fails(serve: Serve, bearer: Callable[[int], ScriptedServer], hop: str) -> None:
    trouble = LoginFailed(hop, "no such\x1b[31m role", "make one")  # type: ignore[arg-type]
    for server in (serve(basic), bearer(401)):
        error = refused(of_cloud(trouble), server)
        assert f"the login by Fake Cloud failed at its {hop}: no such [31m role; make one" in error.hint


def test_cloud_whose_identity_may_not(bearer: Callable[[int], ScriptedServer]) -> None:
    error = refused(of_cloud(Login(login(), 4e9)), bearer(200))
    assert "this fails at the scope" in error.hint
    assert "to push, it needs the role pusher" in error.hint


def test_public_image_needs_no_login(serve: Serve) -> None:
    """A cloud that can't log in stops nothing where anybody may read."""
    tokens = serve(lambda request: Reply(body=b'{"token": "for-all"}'))
    header = {"WWW-Authenticate": f'Bearer realm="{tokens.url}/t"'}
    server = serve(lambda r: Reply(404) if r.authorization else Reply(401, header))
    registry = RegistryClient(of_cloud(LoginFailed("identity", "nobody")))
    assert registry.head(Reference.parse(f"{server.host}/team/app")) is None
    assert [request.authorization for request in tokens.requests] == [""]


def test_login_that_ran_out_in_mid_build_is_minted_again(serve: Serve) -> None:
    now, minted = [0.0], []

    class Renewing(Cloud):
        def mint(self, host: str) -> Login:
            minted.append(now[0])
            return Login(Credential("cloud", f"password-{len(minted)}"), now[0] + 600)

    good = [Credential("cloud", "password-1")]
    from coopery.registry.auth import basic as header

    server = serve(lambda r: Reply(404) if r.authorization == header(good[0]) else basic(r))
    registry = RegistryClient(CloudProvider(Renewing(ImportError()), clock=lambda: now[0]))
    reference = Reference.parse(f"{server.host}/team/app")
    assert registry.head(reference) is None
    good[0], now[0] = Credential("cloud", "password-2"), 700.0
    assert registry.head(reference) is None
    assert minted == [0.0, 700.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_what_a_registry_echoes_is_masked(serve: Serve, status: int) -> None:
    """Also in an answer that is well-formed, and in a header that gets shown."""
    secret = "Zq8-echoed-secret-9"

    def echo(request: Request) -> Reply:
        if not request.authorization:
            return basic(request)
        pair = request.authorization.removeprefix("Basic ")
        body = {"errors": [{"code": secret, "message": f"you sent {pair}, that is bob:{secret}"}]}
        return Reply(status, {"Retry-After": secret}, json.dumps(body).encode())

    one = client(Credential("bob", secret))
    with pytest.raises(CooperyError) as caught:
        one.registry.manifest(Reference.parse(f"{serve(echo).host}/team/app"))
    shown = caught.value.message + caught.value.hint + caught.value.detail
    assert "***" in shown
    for part in (secret, "Ym9iOlpx", "xOC1lY2hvZWQt", "LWVjaG9lZC1zZWNyZXQ"):
        assert part not in shown
