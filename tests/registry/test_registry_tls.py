"""Certificates: authorities of one's own, client certificates, and what happens without verification."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from network_support import Authority, Proxy
from registry_support import Reply, Request, ScriptedServer, blob_of, certificate, client, login, push_image
from registry_support import real_registry as running

from coopery.errors import CooperyError, NetworkError, UsageError
from coopery.oci.reference import Reference
from coopery.registry.endpoint import origin
from coopery.registry.settings import RegistrySettings, registry_settings
from coopery.registry.tls import Trust, make_context, trust_in
from support.command import Coopery

DATA = b"a blob"


@pytest.fixture(scope="module")
def authority(workplace: Path) -> Authority:
    return Authority(workplace / "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> tuple[Path, Path]:
    """A certificate for this machine and for registry.test, and its key."""
    return authority.issue("127.0.0.1", "registry.test")


@pytest.fixture(scope="module")
def private(workplace: Path, server: tuple[Path, Path]) -> Iterator[str]:
    """`host:port` of a registry whose certificate is from `authority`."""
    with running(workplace / "private", tls=server) as host:
        yield host


@pytest.fixture(scope="module")
def mutual(workplace: Path, authority: Authority, server: tuple[Path, Path]) -> Iterator[str]:
    """`host:port` of a registry that wants to see a certificate from `authority`."""
    with running(workplace / "mutual", tls=server, client_authority=authority.certificate) as host:
        yield host


@pytest.fixture(scope="module")
def ours(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("builder")


def works(host: str, settings: RegistrySettings, environ: dict[str, str] | None = None) -> None:
    """Push and pull an image."""
    registry = client(settings=settings, environ=environ or {}).registry
    tagged = Reference.parse(f"{host}/team/app:1")
    assert push_image(registry, tagged) == registry.manifest(tagged)[0]


def fails(host: str, settings: RegistrySettings, match: str) -> CooperyError:
    with pytest.raises(CooperyError, match=match) as caught:
        client(settings=settings).registry.manifest(Reference.parse(f"{host}/team/app:1"))
    return caught.value


def test_an_authority_by_option(private: str, authority: Authority) -> None:
    works(private, registry_settings({}, registry_certificate=[f"{private}={authority.certificate}"]))
    error = fails(private, registry_settings({}), "is not trusted")
    assert isinstance(error, NetworkError)
    assert "--registry-certificate" in error.hint
    # Nor for a registry on another port.
    fails(private, registry_settings({}, registry_certificate=[f"127.0.0.1={authority.certificate}"]), "not trusted")


def test_an_authority_adds_to_those_of_the_environment(private: str, authority: Authority, workplace: Path) -> None:
    other, _ = certificate(workplace / "other")
    settings = registry_settings({}, registry_certificate=[f"{private}={authority.certificate}"])
    works(private, settings, {"SSL_CERT_FILE": str(other)})
    own = registry_settings({}, registry_certificate=[f"{private}={other}"])
    works(private, own, {"SSL_CERT_FILE": str(authority.certificate)})


@pytest.mark.parametrize("tool", ["docker", "containers"])
def test_certs_d_of_the_user(
    private: str, mutual: str, authority: Authority, ours: tuple[Path, Path], tmp_path: Path, tool: str
) -> None:
    for host in (private, mutual):
        folder = tmp_path / tool / "certs.d" / host
        folder.mkdir(parents=True)
        shutil.copy(authority.certificate, folder / "ours.crt")
        (folder / "README").write_text("not a certificate")
    shutil.copy(ours[0], folder / "client.cert")
    shutil.copy(ours[1], folder / "client.key")
    works(private, registry_settings({"XDG_CONFIG_HOME": str(tmp_path)}))
    works(mutual, registry_settings({"XDG_CONFIG_HOME": str(tmp_path)}))
    home = tmp_path / "home"
    (home / ".config").parent.mkdir()
    (home / ".config").symlink_to(tmp_path)
    works(private, registry_settings({"HOME": str(home)}))
    (folder / "client.key").unlink()
    fails(mutual, registry_settings({"XDG_CONFIG_HOME": str(tmp_path)}), r"client\.cert without client\.key")


def test_a_directory_by_option(mutual: str, authority: Authority, ours: tuple[Path, Path], tmp_path: Path) -> None:
    option = registry_settings({}, registry_certificate=[f"{mutual}={tmp_path}"])
    fails(mutual, option, "holds no certificates")
    shutil.copy(authority.certificate, tmp_path / "ca.crt")
    shutil.copy(ours[0], tmp_path / "client.cert")
    shutil.copy(ours[1], tmp_path / "client.key")
    works(mutual, option)


def test_a_client_certificate_by_option(mutual: str, authority: Authority, ours: tuple[Path, Path]) -> None:
    trusted = [f"{mutual}={authority.certificate}"]
    pair = [f"{mutual}={ours[0]},{ours[1]}"]
    works(mutual, registry_settings({}, registry_certificate=trusted, registry_client_cert=pair))
    error = fails(mutual, registry_settings({}, registry_certificate=trusted), "TLS with .* failed|connection to")
    assert isinstance(error, NetworkError)
    assert "--registry-client-cert" in error.hint


def test_a_client_certificate_of_somebody_else(mutual: str, authority: Authority, tmp_path: Path) -> None:
    stranger = certificate(tmp_path, "stranger")
    trusted = [f"{mutual}={authority.certificate}"]
    pair = [f"{mutual}={stranger[0]},{stranger[1]}"]
    settings = registry_settings({}, registry_certificate=trusted, registry_client_cert=pair)
    assert isinstance(fails(mutual, settings, "TLS with .* failed|connection to"), NetworkError)


@pytest.mark.parametrize("broken", ["missing", "empty", "swapped", "foreign key", "passphrase"])
def test_files_that_cannot_be_used(
    mutual: str, authority: Authority, ours: tuple[Path, Path], tmp_path: Path, broken: str
) -> None:
    ca, cert, key = str(authority.certificate), str(ours[0]), str(ours[1])
    if broken == "missing":
        cert = str(tmp_path / "nowhere")
    elif broken == "empty":
        (tmp_path / "empty").write_text("")
        ca = str(tmp_path / "empty")
    elif broken == "swapped":
        cert, key = key, cert
    elif broken == "foreign key":
        key = str(authority.issue("somebody")[1])
    else:
        locked = tmp_path / "locked.key"
        run = ["rsa", "-aes128", "-passout", "pass:secret", "-in", key, "-out", str(locked)]
        subprocess.run(["openssl", *run], check=True, capture_output=True)
        key = str(locked)
    settings = registry_settings(
        {}, registry_certificate=[f"{mutual}={ca}"], registry_client_cert=[f"{mutual}={cert},{key}"]
    )
    assert isinstance(fails(mutual, settings, "certificate"), UsageError)


def test_skipping_verification_is_for_one_registry(private: str, mutual: str, recwarn: pytest.WarningsRecorder) -> None:
    settings = registry_settings({}, skip_tls_verify_registry=[private])
    works(private, settings)
    fails(mutual, settings, "not trusted")
    assert not list(recwarn)


def test_an_insecure_registry_speaks_tls_if_it_can(private: str, open_registry: str) -> None:
    settings = registry_settings({}, insecure_registry=["127.0.0.0/8"])
    works(private, settings)
    works(open_registry, settings)


def test_plain_http_is_never_tls(private: str, open_registry: str) -> None:
    settings = registry_settings({}, plain_http=[private, open_registry])
    works(open_registry, settings)
    fails(private, settings, "status 400")


def test_the_command_takes_certificates(
    coopery: Coopery, mutual: str, authority: Authority, ours: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"{mutual}/command/app:1"
    trusted, pair = f"{mutual}={authority.certificate}", f"{mutual}={ours[0]},{ours[1]}"
    options = ("--registry-certificate", trusted, "--registry-client-cert", pair)
    coopery("build", *options, "--push", "-t", name, tmp_path)
    variables = {"COOPERY_REGISTRY_CERTIFICATE": trusted, "COOPERY_REGISTRY_CLIENT_CERT": pair}
    assert coopery("inspect", "--digest", name, env=variables).stdout.startswith("sha256:")
    refused = coopery("inspect", "--digest", name, check=False)
    assert refused.returncode == NetworkError.exit_code
    assert "--registry-certificate" in refused.stderr


def test_the_systems_authorities_are_found_by_a_python_from_elsewhere(
    private: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was built for another distribution looks for them in places that aren't here."""
    nowhere = ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", "/nowhere", "SSL_CERT_DIR", "/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr("coopery.registry.tls._SYSTEM", (str(tmp_path / "nowhere"), str(authority.certificate)))
    works(private, registry_settings({}))


def test_the_systems_authorities_are_there_by_default() -> None:
    assert make_context(Trust(), {}).get_ca_certs()
    assert make_context(Trust(), {}).verify_mode == ssl.CERT_REQUIRED


def test_hosts_that_are_no_names_have_no_directory(tmp_path: Path, authority: Authority) -> None:
    """A redirect to https://../ doesn't make the directory above certs.d one of authorities."""
    (tmp_path / "docker" / "certs.d").mkdir(parents=True)
    shutil.copy(authority.certificate, tmp_path / "docker" / "stray.crt")
    settings = registry_settings({"XDG_CONFIG_HOME": str(tmp_path)})
    assert trust_in(settings, origin("https://../x")) == Trust()


# ------------------------------------------------------------------------------------------------ beyond this machine


def elsewhere(proxy: Proxy) -> dict[str, str]:
    return {"HTTPS_PROXY": proxy.host, "HTTP_PROXY": proxy.host}


def test_no_registry_is_downgraded_unasked(open_registry: str, private: str) -> None:
    """Registries on the network that speak plain HTTP only, by names that only the proxy knows."""
    proxy = Proxy({"registry.test:443": open_registry, "registry.test:80": open_registry})
    tagged = Reference.parse("registry.test/team/app:1")
    for settings in (registry_settings({}), registry_settings({}, skip_tls_verify_registry=["registry.test"])):
        with pytest.raises(NetworkError) as caught:
            client(settings=settings, environ=elsewhere(proxy)).registry.manifest(tagged)
        assert "--insecure-registry" in caught.value.hint
    assert {method for method, _, _ in proxy.asked} == {"CONNECT"}
    for settings in (
        registry_settings({}, insecure_registry=["registry.test"]),
        registry_settings({}, plain_http=["REGISTRY.test"]),
    ):
        works("registry.test", settings, elsewhere(proxy))
    proxy.close()


def test_a_token_server_under_the_same_authority(
    authority: Authority, server: tuple[Path, Path], ours: tuple[Path, Path]
) -> None:
    """The registry's authority vouches for its token server and its storage too; skipping verification doesn't."""
    tokens = ScriptedServer(lambda request: Reply(body=json.dumps({"token": "T"}).encode()), tls=server)
    storage = ScriptedServer(lambda request: Reply(body=DATA), tls=server)

    def answer(request: Request) -> Reply:
        if request.authorization != "Bearer T":
            return Reply(401, {"WWW-Authenticate": f'Bearer realm="{tokens.url}/token",service="x"'})
        return Reply(307, {"Location": f"{storage.url}/blob"})

    registry = ScriptedServer(answer, tls=server)
    place = Reference.parse(f"{registry.host}/team/app:1")
    trusting = registry_settings({}, registry_certificate=[f"{registry.host}={authority.certificate}"])
    pull = client(login(), settings=trusting).registry.blob(place, blob_of(DATA))
    assert b"".join(pull) == DATA
    assert tokens.requests[0].authorization
    assert not storage.requests[0].authorization
    careless = registry_settings({}, skip_tls_verify_registry=[registry.host])
    with pytest.raises(NetworkError, match="not trusted"):
        list(client(login(), settings=careless).registry.blob(place, blob_of(DATA)))
    assert len(tokens.requests) == 1
    for one in (tokens, storage, registry):
        one.close()


def test_a_token_server_without_tls_gets_no_credential_from_a_secure_registry(
    authority: Authority, server: tuple[Path, Path]
) -> None:
    tokens = ScriptedServer(lambda request: Reply(body=b'{"token": "T"}'))
    challenge = {"WWW-Authenticate": f'Bearer realm="http://127.0.0.1:{tokens.host[10:]}/token"'}
    registry = ScriptedServer(lambda request: Reply(401, challenge), tls=server)
    settings = registry_settings(
        {}, insecure_registry=[tokens.host], registry_certificate=[f"{registry.host}={authority.certificate}"]
    )
    with pytest.raises(CooperyError, match="plain HTTP"):
        client(login(), settings=settings).registry.manifest(Reference.parse(f"{registry.host}/team/app:1"))
    assert not tokens.requests
    tokens.close()
    registry.close()
