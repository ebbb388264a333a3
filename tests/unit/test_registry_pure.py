"""The parts of the registry client that need no network: challenges, tokens, addresses, proxies, messages."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from coopery.errors import AuthError, RegistryError, UsageError
from coopery.ports import Credential
from coopery.registry.answers import clean, own_words, refusal
from coopery.registry.auth import (
    Challenge,
    Scope,
    Token,
    TokenAnswer,
    TokenCache,
    choose,
    parse_challenges,
    token_flow,
)
from coopery.registry.endpoint import Endpoint, follow, is_url
from coopery.registry.proxies import proxy_for

PULL = Scope("team/app", ("pull",))
PUSH = Scope("team/app", ("pull", "push"))


# ------------------------------------------------------------------------------------------------ challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [("basic", {})]),
        ('Basic realm="a, b"', [("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            "bearer REALM=https://x/y?a=b , Basic realm=z",
            [("bearer", {"realm": "https://x/y?a=b"}), ("basic", {"realm": "z"})],
        ),
        (r'Basic realm="say \"hi\" \\"', [("basic", {"realm": 'say "hi" \\'})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Basic realm="unclosed', [("basic", {})]),
        (", ,", []),
        ("", []),
    ],
)
def test_challenges_are_parsed(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    found = parse_challenges([header])
    assert [(scheme, dict(parameters)) for scheme, parameters in found][: len(expected) or 1] == expected


def test_bearer_is_chosen_before_basic_and_only_with_a_realm() -> None:
    assert choose(parse_challenges(["Basic realm=x", "Bearer realm=https://t"])).scheme == "bearer"  # type: ignore[union-attr]
    assert choose(parse_challenges(["Bearer service=x", "Basic"])).scheme == "basic"  # type: ignore[union-attr]
    assert choose(parse_challenges(["Negotiate"])) is None


# ------------------------------------------------------------------------------------------------ tokens


def flow(realm: str, credential: Credential | None, scopes: tuple[Scope, ...] = (PULL,)) -> object:
    challenge = Challenge("bearer", {"realm": realm, "service": "s"})
    return token_flow(challenge, "r.example", "https://r.example/v2/", scopes, credential)


def test_anonymous_token_request() -> None:
    exchange = flow("https://auth.example/token?x=1", None, (PUSH, Scope("base", ("pull",))))
    request = next(exchange)  # type: ignore[call-overload]
    assert request.method == "GET"
    assert request.headers == {}
    assert parse_qs(urlsplit(request.url).query) == {
        "x": ["1"],
        "service": ["s"],
        "scope": ["repository:team/app:pull,push", "repository:base:pull"],
    }
    with pytest.raises(StopIteration) as end:
        exchange.send(TokenAnswer(200, b'{"access_token": "t.o.k", "expires_in": 90}'))  # type: ignore[attr-defined]
    assert end.value.value == Token("t.o.k", 90)


def test_secrets_are_in_no_repr() -> None:
    exchange = flow("https://auth.example/token", Credential("bob", "s3cret"))
    request = next(exchange)  # type: ignore[call-overload]
    posted = next(flow("https://auth.example/token", Credential(identity_token="s3cret")))  # type: ignore[call-overload]
    assert posted.method == "POST" and b"s3cret" in posted.body
    for value in (request, posted, Token("s3cret", 1), TokenAnswer(200, b"s3cret"), Credential("bob", "s3cret")):
        assert "s3cret" not in repr(value)
        assert "czNjcmV0" not in repr(value)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credential_is_an_auth_error(status: int) -> None:
    exchange = flow("https://auth.example/token", Credential("bob", "s3cret"))
    next(exchange)  # type: ignore[call-overload]
    with pytest.raises(AuthError, match=r"r\.example refused to let us pull team/app as 'bob'"):
        exchange.send(TokenAnswer(status, b""))  # type: ignore[attr-defined]


def test_failing_token_server_is_a_registry_error() -> None:
    exchange = flow("https://auth.example/token", None)
    next(exchange)  # type: ignore[call-overload]
    with pytest.raises(RegistryError, match="status 503") as caught:
        exchange.send(TokenAnswer(503, b""))  # type: ignore[attr-defined]
    assert not isinstance(caught.value, AuthError)


def test_plain_realm_of_an_https_registry_on_loopback_is_refused() -> None:
    challenge = Challenge("bearer", {"realm": "http://127.0.0.1/token"})
    with pytest.raises(AuthError, match="plain HTTP"):
        next(token_flow(challenge, "r", "https://127.0.0.1:5000/v2/", (PULL,), None))


def test_token_cache_goes_by_what_tokens_allow() -> None:
    cache = TokenCache()
    cache.put((PUSH,), Token("push", 100), now=0)
    assert cache.get((PULL,), 0) == "push"
    assert cache.get((PUSH,), 89) == "push"
    assert cache.get((PUSH,), 90) == ""
    assert cache.get((PUSH, Scope("base", ("pull",))), 0) == ""
    assert cache.get((Scope("team/app2", ("pull",)),), 0) == ""
    cache.drop("push")
    assert cache.get((PULL,), 0) == ""


# ------------------------------------------------------------------------------------------------ addresses


def test_docker_hub_has_an_api_host_of_its_own() -> None:
    assert Endpoint.of("docker.io").base("https") == "https://registry-1.docker.io/"


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.9.9.9", True),
        ("[::1]:5000", True),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com", False),
        ("10.0.0.1", False),
        ("1127.0.0.1", False),
        ("[::2]", False),
    ],
)
def test_loopback(registry: str, loopback: bool) -> None:
    assert Endpoint.of(registry).loopback is loopback


@pytest.mark.parametrize("registry", ["localhost:99999", "localhost:0", "[:::::]:5", "a b", "a\\b", "a@b", ""])
def test_what_is_no_address_is_a_usage_error(registry: str) -> None:
    with pytest.raises(UsageError):
        Endpoint.of(registry)


@pytest.mark.parametrize(
    ("base", "location", "url"),
    [
        ("https://r.example/v2/a", "/v2/b?x=1", "https://r.example/v2/b?x=1"),
        ("https://r.example/v2/a", "b", "https://r.example/v2/b"),
        ("https://r.example/v2/a", "https://s.example/b#part", "https://s.example/b"),
        ("https://r.example:8443/v2/a", "http://r.example/v2/b?x=1", "https://r.example:8443/v2/b?x=1"),
        ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:6000/b", "http://127.0.0.1:6000/b"),
        ("http://127.0.0.1:5000/v2/", "https://s.example/b", "https://s.example/b"),
    ],
)
def test_locations_that_are_followed(base: str, location: str, url: str) -> None:
    assert follow(base, location) == url


@pytest.mark.parametrize(
    ("base", "location"),
    [
        ("https://r.example/", "http://s.example/"),
        ("https://r.example/", "http://127.0.0.1/"),
        ("http://127.0.0.1/", "http://s.example/"),
        ("https://r.example/", "https://r.example@s.example/"),
        ("https://r.example/", "https://r.example\t.s.example/"),
        ("https://r.example/", "ftp://r.example/"),
        ("https://r.example/", "https://r.exämple/"),
    ],
)
def test_locations_that_are_not(base: str, location: str) -> None:
    with pytest.raises(RegistryError):
        follow(base, location)


def test_urls_that_parsers_read_differently_are_refused() -> None:
    assert is_url("https://r.example:5000/v2/?a=%20&b=[1]")
    for text in ("https://a\\@b/", "https://a b/", "https://a#b@c/", "https:///x", "HTTPS://a\n", "https://[::1/"):
        assert not is_url(text)


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://r.example/", "", False),
        ("https://r.example/", "*", True),
        ("https://r.example/", "other, R.example ", True),
        ("https://a.r.example/", "r.example", True),
        ("https://a.r.example/", ".r.example", True),
        ("https://r.example/", ".r.example", False),
        ("https://a.r.example/", "*.r.example", True),
        ("https://evilr.example/", "r.example", False),
        ("https://r.example:5000/", "r.example:5000", True),
        ("https://r.example/", "r.example:5000", False),
        ("https://10.1.2.3/", "10.0.0.0/8", True),
        ("https://11.1.2.3/", "10.0.0.0/8,[::1,x/y", False),
        ("https://r.example/", "10.0.0.0/8", False),
        ("https://127.0.0.1/", "", True),
        ("http://r.example/", "", True),
    ],
)
def test_proxies(url: str, no_proxy: str, direct: bool) -> None:
    environ = {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": no_proxy}
    assert proxy_for(url, environ) == ("" if direct else "http://proxy.example:3128")


# ------------------------------------------------------------------------------------------------ messages


def test_words_of_a_registry_are_made_harmless() -> None:
    assert clean("a\x1b[31mb\r\n::error::c\u202e\u0000d") == "a [31mb ::error::c d"
    assert clean("x" * 1000) == "x" * 299 + "…"
    body = b'{"errors": [{"code": "DENIED", "message": "no\\u001b[0m"}, {"message": "more"}, 3]}'
    assert own_words(body) == [("DENIED", "no [0m"), ("", "more")]
    assert own_words(b'{"error": "invalid_grant", "error_description": "too old"}') == [("invalid_grant", "too old")]
    assert own_words(b'{"details": "incorrect username or password"}') == [("", "incorrect username or password")]


def test_refusal_names_no_secret() -> None:
    error = refusal("r.example", "team/app", "push", Credential("bob\x1b", "s3cret"))
    assert error.message == "r.example refused to let us push team/app as 'bob'"
    assert "s3cret" not in error.message + error.hint


def test_importing_the_client_imports_no_http_library() -> None:
    heavy = ["requests", "urllib3", "ssl", "http.client", "subprocess", "asyncio", "tempfile", "random", "logging"]
    code = f"import sys, coopery.registry, coopery.credentials; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
