"""Stand-ins for the clouds whose registries we log in to: moto for AWS, small servers for the others."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from registry_support import Reply, Request, ScriptedServer

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]


def forget_identities(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An environment without any identity, and without the machine's metadata server."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "IDENTITY_", "MSI_")):
            monkeypatch.delenv(name)
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def set_all(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def running_moto() -> Iterator[str]:
    """The URL of a server that plays AWS."""
    pytest.importorskip("botocore", reason="needs botocore")
    server = pytest.importorskip("moto.server", reason="needs moto, flask and flask-cors").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def recorder(serve: Serve, moto: str) -> ScriptedServer:
    """A server in front of moto that notes what it is asked."""
    import urllib3

    pool = urllib3.PoolManager()

    def hand_on(request: Request) -> Reply:
        kept = {name: value for name, value in request.headers.items() if name not in ("content-length", "connection")}
        answer = pool.request(request.method, moto + request.path, headers=kept, body=request.body)
        return Reply(answer.status, {"Content-Type": answer.headers.get("content-type", "")}, answer.data)

    return serve(hand_on)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


REFRESH = f"{segment({'alg': 'none'})}.{segment({'exp': 4070908800})}.sig"


class Exchange:
    """What a registry of Azure's answers to the exchange of an Entra token."""

    def __init__(self, status: int = 200, body: bytes = json.dumps({"refresh_token": REFRESH}).encode()) -> None:
        self.answer = status, body
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, url: str, form: Any) -> tuple[int, bytes]:
        self.asked.append((url, dict(form)))
        return self.answer


def play_entra(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, refusal: Reply | None = None
) -> list[dict[str, list[str]]]:
    """Microsoft Entra, as far as a service principal needs it; the forms that were sent to it."""
    pytest.importorskip("azure.identity", reason="needs azure-identity")
    from azure.core.pipeline.transport import RequestsTransport

    forms: list[dict[str, list[str]]] = []

    def answer(request: Request) -> Reply:
        headers = {"Content-Type": "application/json"}
        base = "https://login.microsoftonline.com/tenant-id"
        if "openid-configuration" in request.path:
            found = {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
            }
            return Reply(headers=headers, body=json.dumps(found).encode())
        if "instance" in request.path:
            aliases = [
                {
                    "preferred_network": "login.microsoftonline.com",
                    "preferred_cache": "login.windows.net",
                    "aliases": ["login.microsoftonline.com"],
                }
            ]
            found = {"tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration", "metadata": aliases}
            return Reply(headers=headers, body=json.dumps(found).encode())
        forms.append(parse_qs(request.body.decode()))
        if refusal:
            return refusal
        return Reply(
            headers=headers, body=b'{"access_token": "entra-token", "expires_in": 3600, "token_type": "Bearer"}'
        )

    server = serve(answer)
    send = RequestsTransport.send

    def redirected(self: Any, request: Any, **options: Any) -> Any:
        request.url = request.url.replace("https://login.microsoftonline.com", server.url)
        return send(self, request, **options)

    monkeypatch.setattr(RequestsTransport, "send", redirected)
    return forms
