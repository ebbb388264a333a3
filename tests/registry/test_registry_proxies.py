"""Registries beyond a real proxy: tunnels, plain requests, exceptions, and who sees which credential."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from network_support import Authority, Proxy
from registry_support import PASSWORD, USER, Reply, Request, ScriptedServer, client, login, push_image, real_registry

from coopery.errors import CooperyError, NetworkError
from coopery.oci.reference import Reference
from coopery.registry.settings import registry_settings

PROXY_USER = "mole:tunn3l%"
PROXY_URL_USER = "mole:tunn3l%25"
TAGGED = Reference.parse("registry.test/team/app:1")
Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def authority(workplace: Path) -> Authority:
    return Authority(workplace / "proxied")


@pytest.fixture(scope="module")
def secure(workplace: Path, authority: Authority) -> Iterator[str]:
    with real_registry(workplace / "proxied", tls=authority.issue("registry.test")) as host:
        yield host


@pytest.fixture
def proxy() -> Iterator[Start]:
    """Starts proxies."""
    started: list[Proxy] = []

    def start(routes: Mapping[str, str], user: str = "") -> Proxy:
        started.append(Proxy(routes, user))
        return started[-1]

    yield start
    for one in started:
        one.close()


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(user.encode()).decode()


def guarded(request: Request) -> Reply:
    """A registry that wants USER and PASSWORD, and has nothing."""
    if not request.authorization:
        return Reply(401, {"WWW-Authenticate": "Basic realm=x"})
    return Reply() if request.path == "/v2/" else Reply(404)


@pytest.mark.parametrize("user", ["", PROXY_USER])
def test_https_goes_through_a_tunnel(proxy: Start, secure: str, authority: Authority, user: str) -> None:
    through = proxy({"registry.test:443": secure}, user)
    at = f"{PROXY_URL_USER}@" if user else ""
    environ = {"HTTPS_PROXY": f"http://{at}{through.host}", "SSL_CERT_FILE": str(authority.certificate)}
    registry = client(environ=environ).registry
    assert push_image(registry, TAGGED) == registry.head(TAGGED)
    assert {(method, target) for method, target, _ in through.asked} == {("CONNECT", "registry.test:443")}
    if user:
        assert {headers["proxy-authorization"] for _, _, headers in through.asked} == {basic(user)}


@pytest.mark.parametrize("user", ["", PROXY_USER])
def test_plain_http_goes_through_a_proxy(proxy: Start, open_registry: str, user: str) -> None:
    through = proxy({"registry.test:5000": open_registry}, user)
    at = f"{PROXY_URL_USER}@" if user else ""
    settings = registry_settings({}, plain_http=["registry.test:5000"])
    registry = client(settings=settings, environ={"http_proxy": f"http://{at}{through.host}"}).registry
    tagged = Reference.parse("registry.test:5000/proxied/app:1")
    assert push_image(registry, tagged) == registry.head(tagged)
    assert through.targets == {"registry.test:5000"}
    assert "CONNECT" not in {method for method, _, _ in through.asked}


def test_neither_sees_what_is_for_the_other(proxy: Start, authority: Authority) -> None:
    server = ScriptedServer(guarded, tls=authority.issue("neither.test"))
    through = proxy({"neither.test:443": server.host}, PROXY_USER)
    environ = {
        "HTTPS_PROXY": f"http://{PROXY_URL_USER}@{through.host}",
        "SSL_CERT_FILE": str(authority.certificate),
    }
    assert client(login(), environ=environ).registry.head(Reference.parse("neither.test/app:1")) is None
    seen = [value for request in server.requests for value in request.headers.values()]
    assert basic(f"{USER}:{PASSWORD}") in seen
    assert not [value for value in seen if basic(PROXY_USER)[6:] in value or "tunn3l" in value]
    assert not [name for request in server.requests for name in request.headers if name.startswith("proxy-")]
    known = [value for _, _, headers in through.asked for value in headers.values()]
    assert basic(f"{USER}:{PASSWORD}") not in known
    server.close()


def test_direct_requests_carry_nothing_for_the_proxy(
    proxy: Start, serve: Callable[[Callable[[Request], Reply]], ScriptedServer]
) -> None:
    server = serve(guarded)  # on loopback, so never through a proxy
    through = proxy({}, PROXY_USER)
    url = f"http://{PROXY_URL_USER}@{through.host}"
    one = client(login(), environ={"HTTPS_PROXY": url, "HTTP_PROXY": url})
    with pytest.raises(NetworkError):
        one.registry.head(TAGGED)  # through the proxy, which doesn't know the way
    assert one.registry.head(Reference.parse(f"{server.host}/app:1")) is None
    assert through.targets == {"registry.test:443"}
    assert not [name for request in server.requests for name in request.headers if name.startswith("proxy-")]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_to_know_who_we_are(proxy: Start, scheme: str) -> None:
    through = proxy({}, PROXY_USER)
    settings = registry_settings({}, plain_http=["registry.test"] if scheme == "http" else [])
    environ = {f"{scheme}_proxy": f"http://mole:wrongpassword@{through.host}"}
    with pytest.raises(NetworkError, match=r"proxy on the way to registry\.test") as caught:
        client(settings=settings, environ=environ).registry.head(TAGGED)
    error: CooperyError = caught.value
    assert "PROXY" in error.hint
    assert "wrongpassword" not in f"{error.message}{error.hint}{error.detail}"
    assert len(through.asked) == 1  # it would say the same again


def test_exceptions_are_reached_directly(proxy: Start) -> None:
    through = proxy({"a.test:443": "127.0.0.1:1", "b.test:443": "127.0.0.1:1"})
    environ = {"HTTPS_PROXY": through.host, "NO_PROXY": "a.test"}
    for name in ("a.test", "b.test"):
        with pytest.raises(NetworkError):
            client(environ=environ).registry.head(Reference.parse(f"{name}/app:1"))
    assert through.targets == {"b.test:443"}


def test_a_proxy_that_speaks_tls_itself(secure: str, authority: Authority) -> None:
    """Its certificate is verified as any other's, also where the registry's isn't."""
    through = Proxy({"registry.test:443": secure})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    through.wrap(context)
    settings = registry_settings({}, skip_tls_verify_registry=["registry.test"])
    environ = {"HTTPS_PROXY": f"https://{through.host}"}
    with pytest.raises(NetworkError):
        client(settings=settings, environ=environ).registry.head(TAGGED)
    assert not through.asked
    environ["SSL_CERT_FILE"] = str(authority.certificate)
    client(settings=settings, environ=environ).registry.head(TAGGED)
    assert through.targets == {"registry.test:443"}
    through.close()
