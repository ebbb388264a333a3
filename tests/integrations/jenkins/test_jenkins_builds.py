"""Pipelines that really build and push: the step, `coopery ci build`, a registry with passwords, moto as AWS."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

import pytest
from jenkins_builders import PASSWORD, USER, pushed, scripted, told
from jenkins_pipelines import Agent

from plainregistry import Registry
from registry.network_support import Proxy

ACCOUNT = "123456789012"
ECR = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
#: What a step of the build finds below /run/secrets, by id.
EXPECTED = {
    "token": "npm_$HOME`id`'\"x",
    "netrc": "machine acme login ada\n",
    "nexus-username": "deploy er",
    "nexus-password": "nexus$pass",
    "colon": "col:on:colon",
    "deploy": "-----KEY-----\n",
    "deploy-username": "git",
    "deploy-passphrase": "open sesame",
    "keystore": "JKS",
    "keystore-alias": "shop",
    "keystore-password": "jks-5ecret",
    "bundle/ca.pem": "CA",
    "bundle/client/key.pem": "CLIENT KEY",
}
ALL_SECRETS = """[
    token: 'token',
    netrc: [type: 'file', credentialsId: 'netrc'],
    nexus: [type: 'usernamePassword', credentialsId: 'nexus'],
    colon: [type: 'usernameColonPassword', credentialsId: 'colon'],
    deploy: [type: 'sshUserPrivateKey', credentialsId: 'deploy'],
    keystore: [type: 'certificate', credentialsId: 'keystore'],
    bundle: [type: 'zip', credentialsId: 'bundle'],
]"""


@pytest.fixture
def moto() -> Iterator[str]:
    """The URL of a server that plays AWS."""
    pytest.importorskip("botocore", reason="needs botocore")
    server = pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_scripted_pipeline_builds_pushes_and_gets_a_map(builder: Agent, guarded: Registry) -> None:
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/acme/shop', tags: ['type=ref,event=branch', 'type=sha', 'type=raw,value=latest'],"
            f"registries: [[host: '{guarded.host}', credentialsId: 'login']], buildArgs: [SOME_arg: 'x']"
        )
    )
    given = done.returned
    revision = builder.environ["GIT_COMMIT"]
    names = [f"{guarded.host}/acme/shop:{tag}" for tag in ("main", f"sha-{revision[:7]}", "latest")]
    assert sorted(given["tags"]) == sorted(names)
    assert given["digest"] == pushed(guarded.host, "acme/shop:main") == pushed(guarded.host, "acme/shop:latest")
    assert given["imageId"].startswith("sha256:")
    assert given["version"] == "main"
    assert given["pushed"] is True
    assert given["commit"] == given["labels"]["org.opencontainers.image.revision"] == revision
    assert given["metadata"]["containerimage.digest"] == given["digest"]
    assert given["error"] is None
    told(done, [PASSWORD])


def test_a_declarative_pipeline_with_every_kind_of_credential(
    builder: Agent, guarded: Registry, base_image: str
) -> None:
    checks = " \\\n  && ".join(
        f"[ \"$(sha256sum < '/s/{name}')\" = '{hashlib.sha256(text.encode()).hexdigest()}  -' ]"
        for name, text in EXPECTED.items()
    )
    mounts = " ".join(f"--mount=type=secret,id={name},target=/s/{name},required=true" for name in EXPECTED)
    (builder.workspace / "Dockerfile").write_text(
        f"FROM {base_image}\nRUN {mounts} \\\n  {checks}\nRUN ! ls /s/token\n"
    )
    done = builder.run(f"""\
@Library('coopery') _
pipeline {{
    agent any
    stages {{
        stage('Image') {{
            steps {{
                script {{
                    give cooperyBuild(
                        image: '{guarded.host}/acme/shop',
                        tags: ['one'],
                        registries: ['{guarded.host}/acme': [type: 'usernameColonPassword', credentialsId: 'login']],
                        secrets: {ALL_SECRETS},
                    )
                }}
            }}
        }}
    }}
}}
""")
    assert done.returned["digest"] == pushed(guarded.host, "acme/shop:one")
    masked = [name for name in EXPECTED if not name.endswith(("-username", "-alias")) and len(EXPECTED[name]) > 3]
    told(done, [PASSWORD, *(EXPECTED[name].strip() for name in masked)])


def test_the_users_own_credentials_serve_the_names_in_coopery_yaml(
    builder: Agent, guarded: Registry, base_image: str
) -> None:
    (builder.workspace / "coopery.yaml").write_text(f"""\
image: {guarded.host}/acme/shop
tags: [own]
registries:
  {guarded.host}: {{username: REGISTRY_USR, password: REGISTRY_PSW}}
secrets: {{npm: NPM_TOKEN, netrc: NETRC}}
""")
    (builder.workspace / "Dockerfile").write_text(f"""\
FROM {base_image}
RUN --mount=type=secret,id=npm --mount=type=secret,id=netrc \\
  [ "$(cat /run/secrets/netrc)" = 'machine acme login ada' ] && grep -q ^npm_ /run/secrets/npm
""")
    done = builder.run("""\
@Library('coopery') _
node {
    withCredentials([
        usernamePassword(credentialsId: 'login', usernameVariable: 'REGISTRY_USR', passwordVariable: 'REGISTRY_PSW'),
        string(credentialsId: 'token', variable: 'NPM_TOKEN'),
        file(credentialsId: 'netrc', variable: 'NETRC'),
    ]) {
        give cooperyBuild()
    }
}
""")
    assert done.returned["digest"] == pushed(guarded.host, "acme/shop:own")


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        (f"type: 'string', username: '{USER}'", {"kind": "string", "value": PASSWORD}),
        ("type: 'file'", {"kind": "file", "name": "config.json", "value": ""}),
    ],
    ids=["a token", "a config.json"],
)
def test_other_kinds_of_logins(builder: Agent, guarded: Registry, entry: str, credential: dict[str, str]) -> None:
    if credential["kind"] == "file":
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        credential = {**credential, "value": json.dumps({"auths": {guarded.host: {"auth": auth}}})}
    builder.credentials["other"] = credential
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/acme/shop', tags: 'two',"
            f"registries: [[host: '{guarded.host}', credentialsId: 'other', {entry}]]"
        )
    )
    assert done.returned["digest"] == pushed(guarded.host, "acme/shop:two")
    told(done, [PASSWORD])


def test_a_wrong_password_is_told_with_the_credential_that_had_it(builder: Agent, guarded: Registry) -> None:
    builder.credentials["stale"] = {"kind": "usernamePassword", "username": USER, "password": "not-the-one"}
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/a/b', tags: 'x', registries: [[host: '{guarded.host}', credentialsId: 'stale']]"
        ),
        check=False,
    )
    assert done.aborted
    assert "the Jenkins credential stale" in done.log
    told(done, ["not-the-one"])


# ------------------------------------------------------------------------------------------------ AWS


def aws(builder: Agent, moto: str, proxy: Proxy) -> None:
    """AWS is `moto`, and the way to ECR leads through `proxy`."""
    import importlib.util

    assert importlib.util.find_spec("botocore")
    builder.environ |= {
        "AWS_ENDPOINT_URL": moto,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTP_PROXY": f"http://{proxy.host}",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def ecr(guarded: Registry) -> Iterator[Proxy]:
    """A way to a registry under ECR's name."""
    proxy = Proxy({f"{ECR}:80": guarded.host})
    yield proxy
    proxy.close()


AWS_PASSWORD = f"{ACCOUNT}-auth-token"


@pytest.mark.parametrize(
    "entry",
    [
        "credentialsId: 'ecr:eu-central-1:aws'",
        "type: 'aws', credentialsId: 'keys'",
        f"role: 'arn:aws:iam::{ACCOUNT}:role/builder', region: 'eu-central-1'",
    ],
    ids=["amazon-ecr", "keys", "oidc"],
)
def test_ecr(builder: Agent, guarded: Registry, moto: str, ecr: Proxy, entry: str) -> None:
    import botocore.session

    aws(builder, moto, ecr)
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "aws-s3cret-key"}
    client = botocore.session.Session().create_client("ecr", region_name="eu-central-1", endpoint_url=moto, **keys)
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user, _, password = base64.b64decode(token).decode().partition(":")
    assert (user, password) == ("AWS", AWS_PASSWORD)  # which the registry knows
    payload = base64.urlsafe_b64encode(json.dumps({"aud": "sts.amazonaws.com", "sub": "job"}).encode()).decode()
    identity = f"eyJhbGciOiJub25lIn0.{payload.rstrip('=')}.c2lnbmF0dXJl"
    builder.credentials |= {
        "ecr:eu-central-1:aws": {"kind": "usernamePassword", "username": user, "password": password},
        "keys": {
            "kind": "AmazonWebServicesCredentialsBinding",
            "access": keys["aws_access_key_id"],
            "secret": keys["aws_secret_access_key"],
        },
        "oidc": {"kind": "string", "value": identity},
    }
    done = builder.run(
        scripted(
            f"image: '{ECR}/shop', tags: ['v1'], registries: [[host: '{ECR}', plainHttp: true, {entry}]],"
            "identityTokens: ['sts.amazonaws.com': 'oidc']"
        )
    )
    assert done.returned["digest"] == pushed(guarded.host, "shop:v1", (user, password))
    told(done, [keys["aws_secret_access_key"], identity, AWS_PASSWORD])
