"""Logins by the job's own OIDC token: AWS against moto, the others against small servers of ours."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cloud_support import (
    REFRESH,
    Exchange,
    Serve,
    forget_identities,
    play_entra,
    recorder,
    running_moto,
    segment,
    set_all,
)
from registry_support import Reply, Request

from coopery.credentials import azure, dockerhub, google
from coopery.credentials.aws import Aws
from coopery.credentials.azure import Azure
from coopery.credentials.cloud import CloudProvider
from coopery.credentials.dockerhub import DockerHub
from coopery.credentials.google import Google
from coopery.credentials.identity import (
    AwsRole,
    AzureApplication,
    GoogleWorkload,
    HubConnection,
    Identities,
    Identity,
    JobTokens,
)
from coopery.credentials.providers import Chain, default_provider
from coopery.errors import AuthError, UsageError
from coopery.ports import Credential

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
ROLE = AwsRole(arn=f"arn:aws:iam::{ACCOUNT}:role/ci/builder", session="shop-42", seconds=900)
PROVIDER = "projects/1234/locations/global/workloadIdentityPools/ci/providers/ci"
WORKLOAD = GoogleWorkload(provider=PROVIDER, service_account="ci@acme.iam.gserviceaccount.com")
APPLICATION = AzureApplication(client_id="client-id", tenant_id="tenant-id")
HUB = HubConnection(connection="123e4567", organization="acme", seconds=900)
CLAIMS = {"iss": "https://ci.example", "sub": "acme/shop:main\n::x::", "aud": "a"}


class Job:
    """A CI job: mints a new token each time it is asked."""

    def __init__(self, error: str = "", *, none: bool = False) -> None:
        self.audiences: list[str] = []
        self.tokens = JobTokens(self._mint, lambda audience: f"ask for an id token for {audience}")
        self._error = error
        self._none = none

    def _mint(self, audience: str) -> str | None:
        self.audiences.append(audience)
        if self._error:
            raise AuthError(self._error, hint="allow it")
        number = len(self.audiences)
        return None if self._none else f"{segment({'alg': 'none'})}.{segment(CLAIMS)}.s3cret-{number}"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    forget_identities(monkeypatch, tmp_path / "home")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with running_moto() as url:
        yield url


def refusal(place: str, who: AwsRole | HubConnection | GoogleWorkload | AzureApplication, job: Job) -> AuthError:
    with pytest.raises(AuthError) as caught:
        Identities([Identity(place=place, who=who, tokens=job.tokens)]).get(place, "shop")
    assert "s3cret" not in caught.value.message + caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value


# ------------------------------------------------------------------------------------------------ AWS


def test_role_by_the_jobs_token(moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    front = recorder(serve, moto)
    monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
    # Somebody else's keys, which the machine has, are no stand-in.
    set_all(monkeypatch, {"AWS_ACCESS_KEY_ID": "AKIAMACHINE", "AWS_SECRET_ACCESS_KEY": "machine"})
    before, job = dict(os.environ), Job()
    one = Identities([Identity(place=ECR, who=ROLE, tokens=job.tokens)])
    assert one.get(ECR, "shop") == Credential("AWS", f"{ACCOUNT}-auth-token")
    assert one.get("other.example", "shop") is None
    assert dict(os.environ) == before
    exchange, login = front.requests
    form = {key: value[0] for key, value in parse_qs(exchange.body.decode()).items()}
    assert form["Action"] == "AssumeRoleWithWebIdentity"
    assert (form["RoleArn"], form["RoleSessionName"], form["DurationSeconds"]) == (ROLE.arn, "shop-42", "900")
    assert form["WebIdentityToken"].endswith("s3cret-1")
    assert exchange.authorization == "", "it needs no other credential"
    assert login.headers["x-amz-target"].endswith("GetAuthorizationToken")
    assert "AKIAMACHINE" not in login.authorization
    assert login.headers["x-amz-security-token"]
    assert job.audiences == ["sts.amazonaws.com"]


def test_each_login_has_a_fresh_token(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    job, now = Job(), [1420070400.0 - 43200]  # moto's tokens end in 2015
    provider = CloudProvider(Aws(ROLE, job.tokens), clock=lambda: now[0])
    for repository in ("a", "b"):
        assert provider.get(ECR, repository)
    assert len(job.audiences) == 1
    now[0] = 1420070400.0 - 60
    assert provider.get(ECR, "c")
    assert len(job.audiences) == 2


def test_public_registry_by_a_role(moto: str, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    token = base64.b64encode(b"AWS:public-password").decode()
    answer = {"authorizationData": {"authorizationToken": token, "expiresAt": 4070908800}}
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    api = serve(lambda request: Reply(headers=headers, body=json.dumps(answer).encode()))
    set_all(monkeypatch, {"AWS_ENDPOINT_URL_STS": moto, "AWS_ENDPOINT_URL_ECR_PUBLIC": api.url})
    one = Identities([Identity(place="public.ecr.aws/acme", who=ROLE, tokens=Job().tokens)])
    assert one.get("public.ecr.aws", "acme/shop") == Credential("AWS", "public-password")
    assert one.get("public.ecr.aws", "docker/library/python") is None
    assert "/us-east-1/ecr-public/aws4_request" in api.requests[0].authorization


@pytest.mark.parametrize(
    ("role", "host", "endpoint", "audience"),
    [
        (ROLE, ECR, "https://sts.eu-central-1.amazonaws.com", "sts.amazonaws.com"),
        (AwsRole(arn=ROLE.arn, region="us-east-2"), ECR, "https://sts.us-east-2.amazonaws.com", "sts.amazonaws.com"),
        (
            AwsRole(arn=ROLE.arn.replace("aws", "aws-cn", 1)),
            f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "https://sts.cn-north-1.amazonaws.com.cn",
            "sts.amazonaws.com.cn",
        ),
    ],
)
def test_role_is_assumed_in_its_region(
    role: AwsRole, host: str, endpoint: str, audience: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pytest.importorskip("botocore.httpsession", reason="needs botocore").URLLib3Session
    seen: list[str] = []

    def send(_session: object, request: Request) -> None:
        seen.append(request.url.rstrip("/"))  # type: ignore[attr-defined]
        raise pytest.importorskip("botocore.exceptions").ProxyConnectionError(proxy_url="none")

    monkeypatch.setattr(session, "send", send)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    job = Job()
    assert "failed at its exchange" in refusal(host, role, job).message
    assert set(seen) == {endpoint}
    assert job.audiences == [audience]


def test_trust_that_does_not_fit_is_explained(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="needs botocore")
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>"
    sts = serve(lambda request: Reply(403, {"Content-Type": "text/xml"}, body))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    error = refusal(ECR, ROLE, Job())
    expected = "the login by AWS failed at its exchange: AssumeRoleWithWebIdentity: AccessDenied: Not authorized"
    assert error.message == expected
    assert f"trust policy of {ROLE.arn}" in error.hint
    assert r"iss='https://ci.example', sub='acme/shop:main\n::x::', aud='a'" in error.hint


# ------------------------------------------------------------------------------------------------ the job


def test_job_without_a_token_goes_on_without_a_login() -> None:
    job = Job(none=True)
    one = Identities([Identity(place="public.ecr.aws", who=ROLE, tokens=job.tokens)])
    assert one.get("public.ecr.aws", "docker/library/python") is None
    advice = one.advice("public.ecr.aws", "shop", "push")
    assert "has no OIDC token for sts.amazonaws.com" in advice
    assert "ask for an id token for sts.amazonaws.com" in advice
    assert one.advice("other.example", "shop", "push") == ""


def test_job_whose_system_refuses() -> None:
    error = refusal(ECR, ROLE, Job("the CI system answered with status 500"))
    assert error.message == "the login by AWS failed at its identity: the CI system answered with status 500"
    assert error.hint == "allow it"


def test_identity_comes_before_other_logins_and_is_masked(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    configured = json.dumps({"auths": {ECR: {"auth": base64.b64encode(b"me:mine").decode()}}})
    masked: list[bytes] = []
    known = default_provider({"DOCKER_AUTH_CONFIG": configured})
    chain = Chain([Identities([Identity(place=ECR, who=ROLE, tokens=Job().tokens)]), known], masked.append)
    assert chain.get(ECR, "shop") == Credential("AWS", f"{ACCOUNT}-auth-token")
    assert masked == [f"{ACCOUNT}-auth-token".encode()]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Identity(place="ghcr.io", who=ROLE, tokens=Job().tokens),
        lambda: Identity(place=ECR, who=HUB, tokens=Job().tokens),
        lambda: Identity(place="docker.io.example.org", who=HUB, tokens=Job().tokens),
        lambda: Identity(place="team.azurecr.io.example.org", who=APPLICATION, tokens=Job().tokens),
        lambda: AwsRole(arn="builder"),
        lambda: AwsRole(arn=ROLE.arn + "\n"),
        lambda: AwsRole(arn=ROLE.arn, seconds=60),
        lambda: AwsRole(arn=ROLE.arn, region="evil.example/"),
        lambda: GoogleWorkload(provider="projects/x"),
        lambda: GoogleWorkload(provider=PROVIDER, service_account="a/../b@c"),
        lambda: AzureApplication(client_id="x", tenant_id="../y"),
        lambda: HubConnection(connection="", organization="acme"),
        lambda: HubConnection(connection="x", organization="acme", seconds=60),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], Identity]) -> None:
    with pytest.raises(UsageError) as caught:
        Identities([make()])
    assert caught.value.hint


# ------------------------------------------------------------------------------------------------ the others


def test_docker_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    job, exchange = Job(), Exchange(body=b'{"access_token": "hub-token"}')
    hub = CloudProvider(DockerHub({}, exchange, HUB, job.tokens))
    assert hub.get("docker.io", "acme/shop") == Credential("acme", "hub-token")
    ((url, form),) = exchange.asked
    assert url == "https://identity.docker.com/oauth/token"
    assert (form["connection_id"], form["expires_in"]) == ("123e4567", "900")
    assert form["subject_token"].endswith("s3cret-1")
    assert job.audiences == [dockerhub.AUDIENCE]
    refused = CloudProvider(DockerHub({}, Exchange(403), HUB, job.tokens), strict=True)
    with pytest.raises(AuthError, match=r"failed at its exchange: .* status 403") as caught:
        refused.get("docker.io", "acme/shop")
    assert "iss='https://ci.example'" in caught.value.hint


def test_google(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("google.auth", reason="needs google-auth")

    def answer(request: Request) -> Reply:
        if request.path == "/token":
            return Reply(body=b'{"access_token": "ya29.federated", "expires_in": 3600, "token_type": "Bearer"}')
        return Reply(body=b'{"accessToken": "ya29.account", "expireTime": "2099-01-01T00:00:00Z"}')

    server, job = serve(answer), Job()
    monkeypatch.setattr(google, "_EXCHANGE", f"{server.url}/token")
    monkeypatch.setattr(google, "_IMPERSONATION", f"{server.url}/accounts/{{}}:generateAccessToken")
    one = Identities([Identity(place="europe-docker.pkg.dev/acme", who=WORKLOAD, tokens=job.tokens)])
    assert one.get("europe-docker.pkg.dev", "acme/images/shop") == Credential("oauth2accesstoken", "ya29.account")
    exchange, impersonation = server.requests
    form = {key: value[0] for key, value in parse_qs(exchange.body.decode()).items()}
    assert form["audience"] == f"//iam.googleapis.com/{PROVIDER}"
    assert form["subject_token"].endswith("s3cret-1")
    assert impersonation.path == f"/accounts/{WORKLOAD.service_account}:generateAccessToken"
    assert impersonation.authorization == "Bearer ya29.federated"
    assert job.audiences == [f"https://iam.googleapis.com/{PROVIDER}"]

    direct = Google(GoogleWorkload(provider=PROVIDER), job.tokens).mint("gcr.io")
    assert direct.credential == Credential("oauth2accesstoken", "ya29.federated")
    server.answer = lambda request: Reply(400, body=b'{"error": "invalid_grant", "error_description": "no"}')
    error = refusal("gcr.io", WORKLOAD, job)
    assert "failed at its exchange" in error.message
    assert f"the provider {PROVIDER}" in error.hint
    assert "roles/iam.workloadIdentityUser" in error.hint


def test_azure(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("azure.identity", reason="needs azure-identity")
    forms = play_entra(monkeypatch, serve)
    job, exchange = Job(), Exchange()
    login = Azure(APPLICATION, job.tokens, exchange).mint("team.azurecr.io")
    assert login.credential == Credential(identity_token=REFRESH)
    assert forms[-1]["client_assertion"][0].endswith("s3cret-1")
    assert forms[-1]["client_id"] == ["client-id"]
    assert exchange.asked[0][1]["access_token"] == "entra-token"
    assert job.audiences == ["api://AzureADTokenExchange"]
    assert azure._CLOUDS["us"].federation == "api://AzureADTokenExchangeUSGov"


def test_azure_that_trusts_another(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("azure.identity", reason="needs azure-identity")
    said = b'{"error": "invalid_client", "error_description": "AADSTS70021: No matching federated identity record"}'
    play_entra(monkeypatch, serve, Reply(401, {"Content-Type": "application/json"}, said))
    error = refusal("team.azurecr.io", APPLICATION, Job())
    assert "failed at its exchange" in error.message
    assert "AADSTS70021" in error.message
    assert "client-id needs a federated credential" in error.hint
