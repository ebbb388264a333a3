"""Logins by the vendors' own libraries: AWS against moto, Google and Azure against small servers of ours."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cloud_support import REFRESH, Exchange, Serve, forget_identities, play_entra, recorder, running_moto, set_all
from registry_support import Reply, Request, ScriptedServer

from coopery.credentials.aws import Aws
from coopery.credentials.azure import Azure
from coopery.credentials.cloud import CloudProvider, LoginFailed
from coopery.credentials.google import Google
from coopery.credentials.web import post_form
from coopery.ports import Credential

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/builder"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "aws-s3cret-key"}


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without any identity, and without the machine's metadata server."""
    forget_identities(monkeypatch, tmp_path / "home")


def failure(mint: Callable[[str], object], host: str) -> LoginFailed:
    with pytest.raises(LoginFailed) as caught:
        mint(host)
    return caught.value


# ------------------------------------------------------------------------------------------------ AWS


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """The URL of a server that plays AWS."""
    with running_moto() as url:
        yield url


def test_keys_give_a_password_for_the_account_and_region(
    moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = recorder(serve, moto)
    set_all(monkeypatch, KEYS | {"AWS_ENDPOINT_URL": front.url})
    login = Aws().mint(ECR)
    assert login.credential.username == "AWS"
    assert login.credential.password == f"{ACCOUNT}-auth-token"
    assert login.ends == 1420070400, "what moto says"
    (request,) = front.requests
    assert request.headers["x-amz-target"].endswith("GetAuthorizationToken")
    assert json.loads(request.body) == {"registryIds": [ACCOUNT]}
    assert "/eu-central-1/ecr/aws4_request" in request.authorization


def test_profile_gives_a_password(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "credentials"
    config.write_text("[builder]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\n")
    set_all(
        monkeypatch,
        {"AWS_SHARED_CREDENTIALS_FILE": str(config), "AWS_PROFILE": "builder", "AWS_ENDPOINT_URL": moto},
    )
    assert Aws().mint(ECR).credential.username == "AWS"


def test_web_identity_is_exchanged_for_a_role(
    moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    front = recorder(serve, moto)
    token = tmp_path / "token"
    token.write_text("eyJ.web-identity.token")
    set_all(
        monkeypatch,
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ROLE_ARN": ROLE,
            "AWS_ENDPOINT_URL_STS": front.url,
            "AWS_ENDPOINT_URL_ECR": front.url,
        },
    )
    assert Aws().mint(ECR).credential.username == "AWS"
    exchange, login = front.requests
    form = parse_qs(exchange.body.decode())
    assert form["Action"] == ["AssumeRoleWithWebIdentity"]
    assert (form["RoleArn"], form["WebIdentityToken"]) == ([ROLE], ["eyJ.web-identity.token"])
    assert login.headers["x-amz-target"].endswith("GetAuthorizationToken")
    assert b"web-identity" not in login.body


def test_role_of_a_pod_gives_a_password(
    moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"AccessKeyId": "ASIA", "SecretAccessKey": "x", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    agent = serve(lambda request: Reply(body=json.dumps(given).encode()))
    token = tmp_path / "token"
    token.write_text("pod-token")
    set_all(
        monkeypatch,
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{agent.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
            "AWS_ENDPOINT_URL": moto,
        },
    )
    assert Aws().mint(ECR).credential.username == "AWS"
    assert [request.authorization for request in agent.requests] == ["pod-token"]


def test_role_of_an_instance_gives_a_password(moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "Code": "Success",
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "x",
        "Token": "t",
        "Expiration": "2099-01-01T00:00:00Z",
    }

    def metadata(request: Request) -> Reply:
        if request.method == "PUT":
            return Reply(body=b"metadata-token")
        return Reply(body=b"builder" if request.path.endswith("/") else json.dumps(given).encode())

    service = serve(metadata)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    set_all(monkeypatch, {"AWS_EC2_METADATA_SERVICE_ENDPOINT": service.url, "AWS_ENDPOINT_URL": moto})
    assert Aws().mint(ECR).credential.username == "AWS"


def test_public_registry_is_asked_in_its_one_region(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    token = base64.b64encode(b"AWS:public-password").decode()
    answer = {"authorizationData": {"authorizationToken": token, "expiresAt": 4070908800}}
    api = serve(
        lambda request: Reply(headers={"Content-Type": "application/x-amz-json-1.1"}, body=json.dumps(answer).encode())
    )
    set_all(monkeypatch, KEYS | {"AWS_ENDPOINT_URL_ECR_PUBLIC": api.url, "AWS_REGION": "eu-central-1"})
    login = Aws().mint("public.ecr.aws")
    assert (login.credential, login.ends) == (Credential("AWS", "public-password"), 4070908800)
    assert "/us-east-1/ecr-public/aws4_request" in api.requests[0].authorization


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        (f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com", "https://api.ecr-fips.us-east-1.amazonaws.com"),
        (f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws", "https://ecr.us-east-1.api.aws"),
        (ECR, "https://api.ecr.eu-central-1.amazonaws.com"),
    ],
)
def test_api_of_the_host_is_asked(host: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    awsrequest = pytest.importorskip("botocore.httpsession", reason="needs botocore")
    seen: list[str] = []

    def send(_session: object, request: Any) -> None:
        seen.append(request.url.rstrip("/"))
        raise pytest.importorskip("botocore.exceptions").ProxyConnectionError(proxy_url="none")

    monkeypatch.setattr(awsrequest.URLLib3Session, "send", send)
    set_all(monkeypatch, KEYS | {"AWS_MAX_ATTEMPTS": "1"})
    assert failure(Aws().mint, host).hop == "token"
    assert set(seen) == {endpoint}


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("", "https://sts.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "https://sts.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_role_is_assumed_in_the_registrys_partition(
    region: str, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session = pytest.importorskip("botocore.httpsession", reason="needs botocore").URLLib3Session
    seen: list[str] = []

    def send(_session: object, request: Any) -> None:
        seen.append(request.url.rstrip("/"))
        raise pytest.importorskip("botocore.exceptions").ProxyConnectionError(proxy_url="none")

    monkeypatch.setattr(session, "send", send)
    (tmp_path / "token").write_text("token")
    role = ROLE.replace("aws", "aws-cn")
    set_all(monkeypatch, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"), "AWS_ROLE_ARN": role})
    set_all(monkeypatch, {"AWS_MAX_ATTEMPTS": "1"} | ({"AWS_REGION": region} if region else {}))
    assert failure(Aws().mint, f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn").hop == "identity"
    assert set(seen) == {endpoint}


def refusing(code: str, *, xml: bool = False) -> Callable[[Request], Reply]:
    if xml:
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>not you</Message></Error></ErrorResponse>"
        return lambda request: Reply(403, {"Content-Type": "text/xml"}, body.encode())
    body = json.dumps({"__type": code, "message": "not you"})
    return lambda request: Reply(400, {"Content-Type": "application/x-amz-json-1.1"}, body.encode())


def test_aws_failures_name_their_hop(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("botocore", reason="needs botocore")
    nobody = failure(Aws().mint, ECR)
    assert nobody.hop == "identity"
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in nobody.hint
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    assert failure(Aws().mint, ECR).hop == "identity"
    monkeypatch.delenv("AWS_PROFILE")
    set_all(monkeypatch, {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "none"), "AWS_ROLE_ARN": ROLE})
    assert failure(Aws().mint, ECR).hop == "identity"

    (tmp_path / "none").write_text("web-identity-token")
    sts = serve(refusing("AccessDenied", xml=True))
    set_all(monkeypatch, {"AWS_ENDPOINT_URL_STS": sts.url})
    exchange = failure(Aws().mint, ECR)
    assert (exchange.hop, exchange.said) == ("exchange", "AssumeRoleWithWebIdentity: AccessDenied: not you")
    assert "trust policy" in exchange.hint

    ecr = serve(refusing("AccessDeniedException"))
    set_all(monkeypatch, KEYS | {"AWS_ENDPOINT_URL_ECR": ecr.url})
    token = failure(Aws().mint, ECR)
    assert (token.hop, token.said) == ("token", "GetAuthorizationToken: AccessDeniedException: not you")
    assert "ecr:GetAuthorizationToken" in token.hint
    for error in (nobody, exchange, token):
        assert "s3cret" not in error.said + error.hint


# ------------------------------------------------------------------------------------------------ Google


@pytest.fixture
def no_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("google.auth", reason="needs google-auth")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))


def test_metadata_server_gives_a_token(no_google: None, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def metadata(request: Request) -> Reply:
        headers = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}
        if request.path.endswith("/token"):
            return Reply(
                headers=headers, body=b'{"access_token": "ya29.metadata", "expires_in": 3599, "token_type": "Bearer"}'
            )
        if request.path.endswith("/project-id"):
            return Reply(headers=headers | {"Content-Type": "text/plain"}, body=b"project")
        if "recursive" in request.query:
            body = {
                "email": "builder@project",
                "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
                "aliases": [],
            }
            return Reply(headers=headers, body=json.dumps(body).encode())
        return Reply(headers=headers)

    server = serve(metadata)
    monkeypatch.delenv("NO_GCE_CHECK")
    from google.auth.compute_engine import _metadata

    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.host, raising=False)
    monkeypatch.setattr(_metadata, "_METADATA_ROOT", f"{server.url}/computeMetadata/v1/", raising=False)
    monkeypatch.setattr(_metadata, "_METADATA_IP_ROOT", server.url, raising=False)
    set_all(monkeypatch, {"GCE_METADATA_HOST": server.host, "GCE_METADATA_IP": server.host})
    login = Google().mint("europe-west1-docker.pkg.dev")
    assert login.credential == Credential("oauth2accesstoken", "ya29.metadata")
    assert time.time() + 3000 < login.ends < time.time() + 3700


def service_account(folder: Path, token_uri: str) -> Path:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    key = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], check=True, capture_output=True
    ).stdout.decode()
    path = folder / "key.json"
    value = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "1",
        "private_key": key,
        "client_email": "builder@project.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
    }
    path.write_text(json.dumps(value))
    return path


def test_key_of_a_service_account_gives_a_token(
    no_google: None, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tokens = serve(lambda request: Reply(body=b'{"access_token": "ya29.key", "expires_in": 3600}'))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, f"{tokens.url}/token")))
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password elses-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert Google().mint("gcr.io").credential == Credential("oauth2accesstoken", "ya29.key")
    (request,) = tokens.requests
    assert request.authorization == ""
    claims = parse_qs(request.body.decode())["assertion"][0].split(".")[1]
    value = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert value["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_workload_identity_is_exchanged(
    no_google: None, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sts = serve(lambda r: Reply(body=b'{"access_token": "ya29.federated", "expires_in": 3600, "token_type": "Bearer"}'))
    (tmp_path / "oidc").write_text("ci-oidc-token")
    config = tmp_path / "workload.json"
    value = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{sts.url}/v1/token",
        "credential_source": {"file": str(tmp_path / "oidc")},
    }
    config.write_text(json.dumps(value))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(config))
    assert Google().mint("us-docker.pkg.dev").credential == Credential("oauth2accesstoken", "ya29.federated")
    form = parse_qs(sts.requests[0].body.decode())
    assert form["subject_token"] == ["ci-oidc-token"]
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]


def test_google_failures_name_their_hop(
    no_google: None, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = failure(Google().mint, "gcr.io")
    assert nobody.hop == "identity"
    assert "GOOGLE_APPLICATION_CREDENTIALS" in nobody.hint
    broken = tmp_path / "broken.json"
    broken.write_text('{"type": "service_account", "private_key": "s3cret-key"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(broken))
    malformed = failure(Google().mint, "gcr.io")
    assert malformed.hop == "identity"
    refusal = b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
    tokens = serve(lambda request: Reply(400, body=refusal))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, f"{tokens.url}/token")))
    exchange = failure(Google().mint, "gcr.io")
    assert exchange.hop == "exchange"
    assert "invalid_grant" in exchange.said
    for error in (nobody, malformed, exchange):
        assert "s3cret" not in error.said + error.hint
        assert "PRIVATE KEY" not in error.said + error.hint
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------------ Azure


@pytest.fixture
def managed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    """The endpoint of a managed identity."""
    pytest.importorskip("azure.identity", reason="needs azure-identity")
    token = {"access_token": "entra-token", "expires_on": "4070908800", "resource": "x", "token_type": "Bearer"}
    server = serve(lambda r: Reply(headers={"Content-Type": "application/json"}, body=json.dumps(token).encode()))
    set_all(monkeypatch, {"IDENTITY_ENDPOINT": f"{server.url}/token", "IDENTITY_HEADER": "header-s3cret"})
    return server


@pytest.mark.parametrize(
    ("host", "audience"),
    [
        ("team.azurecr.io", "https://containerregistry.azure.net"),
        ("team.azurecr.cn", "https://management.chinacloudapi.cn"),
        ("team.azurecr.us", "https://management.usgovcloudapi.net"),
    ],
)
def test_managed_identity_is_exchanged_for_the_registrys_token(
    managed: ScriptedServer, host: str, audience: str
) -> None:
    exchange = Exchange()
    login = Azure(post=exchange).mint(host)
    assert login.credential == Credential(identity_token=REFRESH)
    assert login.ends == 4070908800
    form = {"grant_type": "access_token", "service": host, "access_token": "entra-token"}
    assert exchange.asked == [(f"https://{host}/oauth2/exchange", form)]
    assert managed.requests[-1].query["resource"] == [audience]


@pytest.fixture
def entra(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> list[dict[str, list[str]]]:
    """Microsoft Entra, as far as a service principal needs it; the forms that were sent to it."""
    return play_entra(monkeypatch, serve)


def test_service_principal_and_federated_token(
    entra: list[dict[str, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    principal = {"AZURE_TENANT_ID": "tenant-id", "AZURE_CLIENT_ID": "client-id"}
    set_all(monkeypatch, principal | {"AZURE_CLIENT_SECRET": "principal-s3cret"})
    assert Azure(post=Exchange()).mint("team.azurecr.io").credential.identity_token == REFRESH
    assert entra[-1]["client_secret"] == ["principal-s3cret"]
    assert "https://containerregistry.azure.net/.default" in entra[-1]["scope"][0]

    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    (tmp_path / "token").write_text("federated-token")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    assert Azure(post=Exchange()).mint("team.azurecr.io").credential.identity_token == REFRESH
    assert entra[-1]["client_assertion"] == ["federated-token"]


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange(401),
        Exchange(302),
        Exchange(body=b"<html>"),
        Exchange(body=b"[]"),
        Exchange(body=b'{"refresh_token": 7}'),
    ],
)
def test_failed_exchange_is_named(managed: ScriptedServer, exchange: Exchange) -> None:
    error = failure(Azure(post=exchange).mint, "team.azurecr.io")
    assert error.hop == "exchange"
    assert "entra-token" not in error.said + error.hint


def test_no_identity_at_azure_is_named(managed: ScriptedServer, capfd: pytest.CaptureFixture[str]) -> None:
    managed.answer = lambda request: Reply(400, {"Content-Type": "application/json"}, b'{"error": "invalid_request"}')
    error = failure(Azure(post=Exchange()).mint, "team.azurecr.io")
    assert error.hop == "identity"
    assert "AZURE_FEDERATED_TOKEN_FILE" in error.hint
    assert "header-s3cret" not in error.said + error.hint
    assert capfd.readouterr().err == ""


def test_end_of_a_token_that_cannot_be_read(managed: ScriptedServer) -> None:
    login = Azure(post=Exchange(body=b'{"refresh_token": "opaque"}')).mint("team.azurecr.io")
    assert time.time() < login.ends < time.time() + 4000


def test_provider_keeps_the_registrys_token(managed: ScriptedServer) -> None:
    exchange = Exchange()
    provider = CloudProvider(Azure(post=exchange))
    for repository in ("a", "b"):
        assert provider.get("team.azurecr.io", repository) == Credential(identity_token=REFRESH)
    assert len(exchange.asked) == 1
    assert "AcrPush" in provider.advice("team.azurecr.io", "a", "push")


# ------------------------------------------------------------------------------------------------ our own HTTP


def test_form_goes_to_its_url_only(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    thief = serve(lambda request: Reply())
    server = serve(lambda request: Reply(307, {"Location": thief.url}, b"elsewhere"))
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password elses-secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert post_form(f"{server.url}/oauth2/exchange", {"access_token": "a b"}) == (307, b"elsewhere")
    assert parse_qs(server.requests[0].body.decode()) == {"access_token": ["a b"]}
    assert server.requests[0].authorization == ""
    assert thief.requests == []


def test_large_answer_is_no_token(serve: Serve) -> None:
    server = serve(lambda request: Reply(body=b"x" * (2 << 20)))
    assert post_form(server.url, {}) == (200, b"")


def test_nobody_there_is_an_os_error(serve: Serve) -> None:
    server = serve(lambda request: Reply())
    server.close()
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        post_form(server.url, {})
