"""Logins that clouds mint: whom they are for, how long they are kept, and what is said when there is none."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from coopery.credentials.aws import Aws
from coopery.credentials.azure import Azure
from coopery.credentials.cloud import Cloud, CloudProvider, Login, LoginFailed
from coopery.credentials.google import Google
from coopery.credentials.providers import Chain, default_provider
from coopery.ports import Credential

ACCOUNT = "123456789012"


@dataclass
class Fake:
    """A cloud of r.example whose logins end after `life` seconds."""

    name: str = "Fake"
    extra: str = "fake"
    life: float = 1000.0
    now: float = 0.0
    minted: int = 0
    trouble: Exception | None = None
    said: list[str] = field(default_factory=list)

    def serves(self, host: str) -> bool:
        return host == "r.example"

    def mint(self, host: str) -> Login:
        self.minted += 1
        if self.trouble:
            raise self.trouble
        return Login(Credential("user", f"password {self.minted}"), self.now + self.life)

    def rights(self, action: str) -> str:
        return f"to {action}, it needs a role"


def provider(cloud: Fake) -> CloudProvider:
    return CloudProvider(cloud, clock=lambda: cloud.now)


# ------------------------------------------------------------------------------------------------ hosts


@pytest.mark.parametrize(
    ("cloud", "host"),
    [
        (Aws(), f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"),
        (Aws(), f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        (Aws(), f"{ACCOUNT}.dkr.ecr-fips.us-gov-west-1.amazonaws.com"),
        (Aws(), f"{ACCOUNT}.dkr.ecr.eusc-de-east-1.amazonaws.eu"),
        (Aws(), f"{ACCOUNT}.dkr-ecr.us-east-1.on.aws"),
        (Aws(), f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws"),
        (Aws(), f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn"),
        (Aws(), "public.ecr.aws"),
        (Google(), "europe-west1-docker.pkg.dev"),
        (Google(), "us-docker.pkg.dev"),
        (Google(), "gcr.io"),
        (Google(), "eu.gcr.io"),
        (Azure(), "myteam.azurecr.io"),
        (Azure(), "myteam-abc123.azurecr.io"),
        (Azure(), "myteam.azurecr.cn"),
        (Azure(), "myteam.azurecr.us"),
    ],
)
def test_own_hosts_and_no_look_alikes(cloud: Cloud, host: str) -> None:
    assert cloud.serves(host)
    for other in (
        f"{host}.evil.com",
        f"evil-{host}.com",
        f"{host}:5000",
        f"evil.com/{host}",
        f"x@{host}",
        f"{host}\n",
        f".{host}",
    ):
        assert not any(one.serves(other) for one in (Aws(), Google(), Azure())), other


@pytest.mark.parametrize(
    "host",
    [
        "12345.dkr.ecr.eu-west-1.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.evil.amazonaws.com",
        f"{ACCOUNT}.dkr.ecr..amazonaws.com",
        f"{ACCOUNT}.dkr.ecr.x.on.aws.evil.com",
        f"{ACCOUNT}adkr.ecr.eu-west-1.amazonaws.com",
        "evil.public.ecr.aws",
        "evilgcr.io",
        "docker.pkg.dev.evil.com",
        "us-docker-pkg.dev",
        "azurecr.io",
        "a.b.azurecr.io",
        "myteam.azurecr.com",
        "docker.io",
        "localhost:5000",
    ],
)
def test_hosts_of_others(host: str) -> None:
    assert not any(one.serves(host) for one in (Aws(), Google(), Azure()))


def test_other_hosts_mint_nothing() -> None:
    fake = Fake()
    one = provider(fake)
    assert one.get("other.example", "a") is None
    assert one.advice("other.example", "a", "pull") == ""
    assert fake.minted == 0


# ------------------------------------------------------------------------------------------------ keeping


def test_login_serves_all_repositories_until_it_nears_its_end() -> None:
    fake = Fake(life=1000)
    one = provider(fake)
    for repository in ("a", "b", "c"):
        assert one.get("R.example", repository) == Credential("user", "password 1")
    fake.now = 879
    assert one.get("r.example", "d") == Credential("user", "password 1")
    fake.now = 880
    assert one.get("r.example", "e") == Credential("user", "password 2")


def test_login_that_a_registry_takes_no_more_is_minted_again() -> None:
    fake = Fake()
    one = provider(fake)
    one.get("r.example", "a")
    assert one.get("r.example", "a") == Credential("user", "password 1"), "it is brand-new: another would be no better"
    fake.now = 60
    assert one.get("r.example", "b") == Credential("user", "password 1")
    assert one.get("r.example", "a") == Credential("user", "password 2")


def test_failure_stands_for_a_moment_only() -> None:
    fake = Fake(trouble=LoginFailed("exchange", "throttled", "wait"))
    one = provider(fake)
    assert one.get("r.example", "a") is None
    assert one.get("r.example", "b") is None
    assert fake.minted == 1
    assert one.advice("r.example", "a", "push") == "the login by Fake failed at its exchange: throttled; wait"
    fake.trouble, fake.now = None, 10
    assert one.get("r.example", "a") == Credential("user", "password 2")
    assert one.advice("r.example", "a", "push") == "the login by Fake itself worked; to push, it needs a role"


def test_missing_library_is_named_and_not_looked_for_again() -> None:
    fake = Fake(trouble=ImportError("no module"))
    one = provider(fake)
    assert one.get("r.example", "a") is None
    fake.now = 1e6
    assert one.get("r.example", "b") is None
    assert fake.minted == 1
    assert "pip install 'coopery[fake]'" in one.advice("r.example", "a", "pull")


def test_a_library_that_breaks_stops_nothing_and_shows_nothing() -> None:
    fake = Fake(trouble=RuntimeError("s3cret-value"))
    one = provider(fake)
    assert one.get("r.example", "a") is None
    advice = one.advice("r.example", "a", "pull")
    assert "RuntimeError" in advice
    assert "s3cret-value" not in advice


def test_configured_credential_comes_first() -> None:
    fake = Fake()

    class Configured:
        def get(self, registry: str, repository: str) -> Credential | None:
            return Credential("configured", "x") if repository == "a" else None

        def advice(self, registry: str, repository: str, action: str) -> str:
            return ""

    told: list[bytes] = []
    chain = Chain([Configured(), provider(fake)], told.append)
    assert chain.get("r.example", "a") == Credential("configured", "x")
    assert (fake.minted, told, chain.advice("r.example", "a", "pull")) == (0, [b"x"], "")
    assert chain.get("r.example", "b") == Credential("user", "password 1")
    assert told == [b"x", b"password 1"]


@pytest.mark.parametrize("host", [f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com", "gcr.io", "myteam.azurecr.io"])
def test_extra_that_is_missing_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("botocore.session", "google.auth", "google.auth.exceptions", "azure.identity"):
        monkeypatch.setitem(sys.modules, module, None)
    one = default_provider({})
    assert one.get(host, "a") is None
    extra = {"com": "aws", "io": "google" if host == "gcr.io" else "azure"}[host.rpartition(".")[2]]
    assert f"pip install 'coopery[{extra}]'" in one.advice(host, "a", "push")


def test_no_library_is_loaded_before_a_cloud_is_asked() -> None:
    script = (
        "import sys, coopery, coopery.build, coopery.cli.login, coopery.credentials, coopery.registry\n"
        "import coopery.credentials.aws, coopery.credentials.google, coopery.credentials.azure\n"
        "from coopery.credentials import default_provider\n"
        "default_provider({}).get('r.example', 'a')\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'botocore', 'google', 'azure', 'msal', 'requests'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
