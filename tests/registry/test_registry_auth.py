"""Credentials reach the registry and its token server, and nobody else."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from registry_support import PASSWORD, FakeBlobs, Reply, Request, ScriptedServer, blob_of, client, login

from coopery.errors import AuthError, CooperyError, RegistryError
from coopery.oci.reference import Reference
from coopery.ports import Credential

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
DATA = b"a blob"


def at(server: ScriptedServer, path: str = "team/app:1") -> Reference:
    return Reference.parse(f"{server.host}/{path}")


def bearer(realm: str) -> Reply:
    return Reply(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="tests"'})


def wants_basic(answer: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    def ask(request: Request) -> Reply:
        return answer(request) if request.authorization else Reply(401, {"WWW-Authenticate": 'Basic realm="x"'})

    return ask


def issuing(*tokens: str, life: int = 300) -> Callable[[Request], Reply]:
    """A token server that gives the tokens in turn, the last for ever."""
    left = list(tokens)

    def issue(request: Request) -> Reply:
        token = left.pop(0) if len(left) > 1 else left[0]
        return Reply(body=json.dumps({"token": token, "expires_in": life}).encode())

    return issue


def accepting(realm: str, *tokens: str) -> Callable[[Request], Reply]:
    """A registry with DATA for whoever comes with one of the tokens."""
    fake = FakeBlobs(DATA)

    def answer(request: Request) -> Reply:
        known = request.authorization.removeprefix("Bearer ") in tokens
        return fake(request) if known or request.path == "/v2/" else bearer(realm)

    return answer


# ------------------------------------------------------------------------------------------------ other hosts


def test_credential_does_not_follow_a_redirect_to_another_host(serve: Serve) -> None:
    storage = serve(lambda request: Reply(body=DATA))
    server = serve(wants_basic(lambda request: Reply(307, {"Location": f"{storage.url}/bucket/key?signature=x%2By"})))
    assert b"".join(client(login()).registry.blob(at(server), blob_of(DATA))) == DATA
    assert [request.authorization for request in storage.requests] == [""]
    assert storage.requests[0].query == {"signature": ["x+y"]}


def test_credential_follows_a_redirect_within_the_registry(serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        return Reply(body=DATA) if request.path == "/elsewhere" else Reply(302, {"Location": "/elsewhere"})

    server = serve(wants_basic(answer))
    assert b"".join(client(login()).registry.blob(at(server), blob_of(DATA))) == DATA


def test_challenge_of_another_host_stays_unanswered(serve: Serve) -> None:
    thief = serve(lambda request: Reply(401, {"WWW-Authenticate": "Basic realm=give"}))
    server = serve(wants_basic(lambda request: Reply(307, {"Location": f"{thief.url}/blob"})))
    with pytest.raises(RegistryError, match=r"where .* sent us, answered with status 401"):
        list(client(login()).registry.blob(at(server), blob_of(DATA)))
    assert [request.authorization for request in thief.requests] == [""]


def test_upload_location_on_another_host_gets_no_credential(serve: Serve) -> None:
    storage = serve(FakeBlobs())
    fake = FakeBlobs()
    fake.before = lambda r: Reply(202, {"Location": f"{storage.url}/uploads/1?s=1"}) if r.method == "POST" else None
    server = serve(wants_basic(fake))
    client(login()).registry.push_blob(at(server), blob_of(DATA), lambda: io.BytesIO(DATA))
    assert [(request.method, request.authorization) for request in storage.requests] == [("PUT", "")]
    assert all(request.authorization for request in server.sent("POST")[1:])


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example.com/blob",
        "file:///etc/passwd",
        "//storage.example.com/blob",
        "https://user@storage.example.com/",
        "https://storage.example.com\\@127.0.0.1/",
        "https://",
        "http://[::1",
        "https://storage.example.com:99999/",
        "",
    ],
)
def test_location_that_may_not_be_followed(serve: Serve, location: str) -> None:
    server = serve(lambda request: Reply(307, {"Location": location}))
    with pytest.raises(RegistryError):
        list(client(login()).registry.blob(at(server), blob_of(DATA)))


def test_redirects_in_circles_end(serve: Serve) -> None:
    server = serve(lambda request: Reply(307, {"Location": request.path}))
    with pytest.raises(RegistryError, match="circles"):
        list(client().registry.blob(at(server), blob_of(DATA)))


# ------------------------------------------------------------------------------------------------ token servers


@pytest.mark.parametrize(
    "realm",
    [
        "http://tokens.example.com/token",
        "ftp://tokens.example.com/token",
        "http://127.0.0.1@tokens.example.com/token",
        "http://127.0.0.1.example.com/token",
        "not a url",
        "/token",
    ],
)
def test_hostile_realm_gets_nothing(serve: Serve, realm: str) -> None:
    server = serve(lambda request: bearer(realm))
    with pytest.raises(AuthError, match=r"plain HTTP|not a usable URL"):
        client(login()).registry.manifest(at(server))


def test_token_server_cannot_redirect_the_credential_elsewhere(serve: Serve) -> None:
    thief = serve(issuing("t"))
    tokens = serve(lambda request: Reply(307, {"Location": f"{thief.url}/token"}))
    server = serve(lambda request: bearer(f"{tokens.url}/token"))
    with pytest.raises(AuthError, match="redirects to another host"):
        client(login()).registry.manifest(at(server))
    assert thief.requests == []


def test_token_server_may_redirect_within_itself(serve: Serve) -> None:
    issue = issuing("good")
    tokens = serve(lambda r: issue(r) if r.path == "/token/" else Reply(301, {"Location": "/token/"}))
    server = serve(accepting(f"{tokens.url}/token", "good"))
    assert client(login()).registry.has_blob(at(server), blob_of(DATA).digest)


def test_revoked_token_is_replaced_once_with_a_fresh_credential(serve: Serve) -> None:
    tokens = serve(issuing("first", "second"))
    accepted = ["first"]
    server = serve(lambda request: accepting(f"{tokens.url}/token", *accepted)(request))
    one = client(login())
    assert one.registry.has_blob(at(server), blob_of(DATA).digest)
    accepted[:] = ["second"]
    assert one.registry.has_blob(at(server), blob_of(DATA).digest)
    assert len(one.credentials.asked) == 2
    accepted[:] = ["never"]
    before = len(server.requests)
    with pytest.raises(AuthError):
        one.registry.has_blob(at(server), blob_of(DATA).digest)
    assert len(one.credentials.asked) == 3
    assert len(server.requests) <= before + 2


def test_token_that_runs_out_in_mid_push_is_renewed(serve: Serve) -> None:
    tokens = serve(issuing("first", "second"))
    registry = accepting(f"{tokens.url}/token", "first", "second")
    late = accepting(f"{tokens.url}/token", "second")
    server = serve(lambda request: (late if request.method == "PUT" else registry)(request))
    data = b"another blob"
    result = client(login()).registry.push_blob(at(server), blob_of(data), lambda: io.BytesIO(data))
    assert result == "uploaded"
    assert [request.authorization for request in server.sent("PUT")] == ["Bearer first", "Bearer second"]
    assert [request.body for request in server.sent("PUT")] == [data, data]


def test_token_is_asked_for_again_before_it_runs_out(serve: Serve) -> None:
    tokens = serve(issuing("good", life=60))
    server = serve(accepting(f"{tokens.url}/token", "good"))
    one = client(login())
    for now, asked in ((0, 1), (49, 1), (51, 2), (100, 2)):
        one.now = now
        assert one.registry.has_blob(at(server), blob_of(DATA).digest)
        assert len(tokens.requests) == asked
    assert len([request for request in server.requests if not request.authorization]) == 2  # the probe, the first


def test_token_for_pushing_serves_pulling_but_not_the_reverse(serve: Serve) -> None:
    tokens = serve(issuing("good"))
    server = serve(accepting(f"{tokens.url}/token", "good"))
    one = client(login())
    push = lambda: one.registry.push_blob(at(server), blob_of(DATA), lambda: io.BytesIO(DATA))  # noqa: E731
    one.registry.has_blob(at(server), blob_of(DATA).digest)
    push()
    one.registry.has_blob(at(server), blob_of(DATA).digest)
    one.registry.has_blob(at(server, "team/other"), blob_of(DATA).digest)
    assert [request.query["scope"] for request in tokens.requests] == [
        ["repository:team/app:pull"],
        ["repository:team/app:pull,push"],
        ["repository:team/other:pull"],
    ]
    assert {request.query["account"][0] for request in tokens.requests} == {"builder"}


def test_registry_token_is_sent_as_it_is(serve: Serve) -> None:
    tokens = serve(issuing("unused"))
    server = serve(accepting(f"{tokens.url}/token", "ready-made"))
    assert client(Credential(registry_token="ready-made")).registry.has_blob(at(server), blob_of(DATA).digest)
    assert tokens.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"token"',
        b"{}",
        b'{"token": 7}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": ""}',
        b'{"token": "\xc3\xbc"}',
        b"[" * 60_000,
    ],
)
def test_malformed_token_is_an_error(serve: Serve, body: bytes) -> None:
    tokens = serve(lambda request: Reply(body=body))
    server = serve(accepting(f"{tokens.url}/token", "good"))
    with pytest.raises(AuthError):
        client(login()).registry.manifest(at(server))


@pytest.mark.parametrize("life", [b"-5", b"0", b"1e999", b"NaN", b'"soon"', b"null", b"[]", b"99999999999999999999"])
def test_odd_life_of_a_token_is_no_error(serve: Serve, life: bytes) -> None:
    tokens = serve(lambda request: Reply(body=b'{"token": "good", "expires_in": ' + life + b"}"))
    server = serve(accepting(f"{tokens.url}/token", "good"))
    assert client(login()).registry.has_blob(at(server), blob_of(DATA).digest)


# ------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    "challenge", ["", "Negotiate", "Bearer", 'Digest realm="x", nonce="y"', "\x00", "Basic" * 2000]
)
def test_challenge_we_cannot_answer_is_an_auth_error(serve: Serve, challenge: str) -> None:
    server = serve(lambda request: Reply(401, {"WWW-Authenticate": challenge}))
    with pytest.raises(AuthError, match="refused to let us pull team/app"):
        client(login()).registry.manifest(at(server))


def test_forbidden_names_who_and_what(serve: Serve) -> None:
    denied = json.dumps({"errors": [{"code": "DENIED", "message": "quota"}]}).encode()
    server = serve(wants_basic(lambda request: Reply(403 if request.method == "POST" else 404, body=denied)))
    with pytest.raises(AuthError) as caught:
        client(login()).registry.push_blob(at(server), blob_of(DATA), lambda: io.BytesIO(DATA))
    assert caught.value.message == f"{server.host} refused to let us push team/app as 'builder'"
    assert caught.value.detail == "DENIED: quota"
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_secrets_are_in_no_error(serve: Serve, status: int) -> None:
    server = serve(wants_basic(lambda request: Reply(status, body=request.authorization.encode())))
    with pytest.raises(CooperyError) as caught:
        client(login()).registry.manifest(at(server))
    chain: BaseException | None = caught.value
    while chain:
        text = str(chain) + repr(chain) + getattr(chain, "hint", "") + getattr(chain, "detail", "")
        assert PASSWORD not in text
        assert "YnVpbGRlcjpzM2NyZXQ" not in text
        chain = chain.__cause__ or chain.__context__


def test_netrc_is_not_a_source_of_credentials(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(FakeBlobs(DATA))
    assert client().registry.has_blob(at(server), blob_of(DATA).digest)
    assert {request.authorization for request in server.requests} == {""}


def test_cookies_are_not_kept(serve: Serve) -> None:
    fake = FakeBlobs(DATA)

    def answer(request: Request) -> Reply:
        reply = fake(request)
        reply.headers["Set-Cookie"] = "session=1; Path=/"
        return reply

    server = serve(answer)
    one = client()
    for _ in range(2):
        assert one.registry.has_blob(at(server), blob_of(DATA).digest)
    assert all("cookie" not in request.headers for request in server.requests)
