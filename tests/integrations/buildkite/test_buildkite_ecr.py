"""A push to ECR with nothing but the job's OIDC token. moto plays AWS, and a proxy leads ECR's host to a registry."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import buildkite_jobs as jobs
import pytest
from buildkite_agent_api import AgentApi
from buildkite_jobs import Machine

from support.registries import find_registry, running_registry

_ACCOUNT = "123456789012"
_HOST = f"{_ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com"
# bcrypt of what moto gives for that account, 123456789012-auth-token, at cost 5.
_HTPASSWD = "AWS:$2y$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n"


@contextmanager
def _moto() -> Iterator[str]:
    pytest.importorskip("botocore", reason="needs botocore")
    moto = pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def _proxy(target: str) -> Iterator[tuple[str, list[str]]]:
    """The URL of an HTTP proxy that asks `target` whatever host is wanted, and the hosts that were."""
    hosts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            hosts.append(url.netloc)
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("transfer-encoding", "content-length", "proxy-connection", "connection")
            }
            asked = http.client.HTTPConnection(target)
            asked.request(self.command, urllib.parse.urlunsplit(("", "", *url[2:])), body or None, headers)
            answer = asked.getresponse()
            data = answer.read()
            self.send_response(answer.status)
            length = answer.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(data)

        def _chunk(self) -> bytes:
            data = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return data

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", hosts
    finally:
        server.shutdown()
        server.server_close()


def _token(audience: str) -> str:
    claims = {"iss": "https://agent.buildkite.com", "sub": "organization:acme:pipeline:shop:ref:refs/heads/main"}
    parts = ({"alg": "RS256", "typ": "JWT"}, claims | {"aud": audience, "exp": 4_070_908_800})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, "c2lnbmF0dXJl"))


def test_a_push_to_ecr_by_a_role(machine: Machine, agent_api: AgentApi, tmp_path: Path) -> None:
    if find_registry() is None:
        pytest.skip("needs docker-registry")
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    jobs.commit(shop)
    agent_api.mint = _token
    (tmp_path / "htpasswd").write_text(_HTPASSWD)
    wanted = f'auth: {{htpasswd: {{realm: ecr, path: "{tmp_path}/htpasswd"}}}}\n'
    with (
        running_registry(tmp_path / "data", wanted) as registry,
        _moto() as aws,
        _proxy(registry.host) as (proxy, hosts),
    ):
        machine.environ |= {"AWS_ENDPOINT_URL": aws, "HTTP_PROXY": proxy, "http_proxy": proxy, "NO_PROXY": "127.0.0.1"}
        role = f"arn:aws:iam::{_ACCOUNT}:role/images"
        entry = {"role": role, "region": "eu-central-1", "plain-http": True}
        ended = machine.run(shop, {"image": f"{_HOST}/shop", "cache": "none", "registries": {_HOST: entry}})
    assert ended.status == 0, ended.log
    assert [audience for audience, _ in agent_api.audiences] == ["sts.amazonaws.com"]
    assert set(hosts) == {_HOST}
    assert agent_api.meta_data["coopery:names"] == f"{_HOST}/shop:main"
    assert (tmp_path / "data/storage/docker/registry/v2/repositories/shop/_manifests/tags/main").is_dir()
    told = ended.log + json.dumps([agent_api.annotations, agent_api.meta_data, str(agent_api.artifacts)])
    assert _token("sts.amazonaws.com") not in told and "auth-token" not in told
