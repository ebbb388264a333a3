"""Several destinations at once: where one fails the others get their image, and the report says which."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from registry_support import Credentials, FakeBlobs, Reply, Request, ScriptedServer

from coopery.errors import AuthError, CooperyError, NetworkError, RegistryError
from coopery.export.contents import image_contents
from coopery.export.immutable import tag_is_immutable
from coopery.export.registry import Pushed, push
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference
from coopery.ports import StepProgress
from coopery.progress import make_progress
from coopery.registry import RegistryClient
from coopery.registry.transport import Transport
from plainregistry import Registry
from support.command import Coopery
from support.registries import running_registry
from support.samples import Sample, small

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    client = RegistryClient(Credentials(), transport=Transport(sleep=lambda _: None))
    yield client
    client.close()


@pytest.fixture
def step() -> StepProgress:
    return make_progress("plain", io.StringIO(), environ={}, ticking=False).step("pushing")


@pytest.fixture
def down(tmp_path: Path) -> str:
    """`host:port` where nobody listens any more."""
    with running_registry(tmp_path / "down") as gone:
        return gone.host


def names(*texts: str) -> list[Reference]:
    return [Reference.parse(text) for text in texts]


def digest_at(registry: Registry, repository: str, tag: str) -> str:
    return str(Digest.of(registry.manifest(repository, tag)[0]))


def test_the_others_finish(
    registry: Registry, token_registry: str, down: str, client: RegistryClient, step: StepProgress
) -> None:
    made = small()
    wanted = names(
        f"{token_registry}/private/app:1",
        f"{registry.host}/several/a:1",
        f"{down}/app:1",
        f"{registry.host}/several/b:1",
    )
    with pytest.raises(AuthError) as caught:
        push(client, made.contents, wanted, step=step)
    lines = caught.value.message.splitlines()
    assert lines[0] == "2 of 4 destinations failed:"
    assert lines[1].startswith(f"  {token_registry}/private/app:1: ")
    assert lines[2].startswith(f"  {down}/app:1: {down} refused the connection")
    expected = str(Digest.of(made.image.manifest()[0].serialize()))
    assert digest_at(registry, "several/a", "1") == digest_at(registry, "several/b", "1") == expected


def test_a_lone_destination_fails_in_its_own_words(down: str, client: RegistryClient, step: StepProgress) -> None:
    made = small()
    with pytest.raises(NetworkError) as caught:
        push(client, made.contents, names(f"{down}/app:1"), step=step)
    assert caught.value.message == f"{down} refused the connection"


def test_a_blob_is_opened_once_for_each_registry(
    registry: Registry, client: RegistryClient, step: StepProgress, tmp_path: Path
) -> None:
    made, opened = small(), Counter[Digest]()

    def blob(digest: Digest) -> BinaryIO:
        opened[digest] += 1
        return made.blob(digest)

    with running_registry(tmp_path / "second") as second:
        wanted = [f"{host}/{name}:1" for host in (registry.host, second.host) for name in ("once/a", "once/b")]
        push(client, image_contents(made.image, blob), names(*wanted), step=step)
        assert set(opened.values()) == {2}
        assert second.tags("once/b") == ["1"]


def test_a_registry_that_lost_a_blob_gets_it_again(serve: Serve, client: RegistryClient, step: StepProgress) -> None:
    made, api = small(), FakeApi()
    api.forget = 1
    server = serve(api)
    (pushed,) = push(client, made.contents, names(f"{server.host}/app:1"), step=step)
    assert pushed.outcome == "pushed"
    assert len(server.sent("PUT", "/manifests/")) == 2


# ------------------------------------------------------------------------------------------------ immutable tags


class FakeApi:
    """A registry whose tag `1` may be forbidden to move; it loses all blobs `forget` times before it looks for them."""

    def __init__(self, status: int = 0, body: bytes = b"") -> None:
        self.blobs = FakeBlobs()
        self.refusal = Reply(status, body=body) if status else None
        self.manifest = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
        self.forget = 0

    def __call__(self, request: Request) -> Reply:
        if "/manifests/" not in request.path:
            return self.blobs(request)
        if request.method == "PUT" and self.forget:
            self.forget -= 1
            self.blobs.blobs.clear()
            return Reply(400, body=b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}')
        if request.method == "PUT":
            return self.refusal or Reply(201)
        headers = {
            "Content-Type": json.loads(self.manifest)["mediaType"],
            "Docker-Content-Digest": str(Digest.of(self.manifest)),
        }
        return Reply(headers=headers, body=self.manifest)


def errors(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


REFUSALS = [
    (400, errors("TAG_INVALID", "The image tag '1' already exists in the 'app' repository and cannot be overwritten.")),
    (400, errors("ImageTagAlreadyExistsException", "")),
    (412, errors("PRECONDITION", "Failed to process request due to 'app:1' configured as immutable.")),
    (403, errors("DENIED", "This tag is immutable")),
    (400, errors("MANIFEST_INVALID", "cannot update tag 1. The repository has enabled tag immutability")),
]


def attempt(
    server: ScriptedServer, made: Sample, client: RegistryClient, step: StepProgress, *, ignore: bool
) -> tuple[list[Pushed], list[str]]:
    warnings: list[str] = []
    pushed = push(
        client,
        made.contents,
        names(f"{server.host}/app:1"),
        step=step,
        ignore_immutable=warnings.append if ignore else None,
    )
    return pushed, warnings


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_tag_that_may_not_move(
    serve: Serve, client: RegistryClient, step: StepProgress, status: int, body: bytes
) -> None:
    made, server = small(), serve(FakeApi(status, body))
    with pytest.raises(RegistryError) as caught:
        attempt(server, made, client, step, ignore=False)
    assert "--push-ignore-immutable-tag-errors" in caught.value.hint
    (pushed,), (warning,) = attempt(server, made, client, step, ignore=True)
    assert pushed.outcome == "kept"
    assert str(pushed.reference) in warning


def test_a_tag_that_has_the_image_already_needs_no_leave(
    serve: Serve, client: RegistryClient, step: StepProgress
) -> None:
    made, api = small(), FakeApi(*REFUSALS[0])
    api.manifest = made.image.manifest()[0].serialize()
    server = serve(api)
    (pushed,), _ = attempt(server, made, client, step, ignore=False)
    assert pushed.outcome == "up to date"
    assert not server.sent("PUT")


def test_another_refusal_is_never_ignored(serve: Serve, client: RegistryClient, step: StepProgress) -> None:
    made, server = small(), serve(FakeApi(400, errors("MANIFEST_INVALID", "no such thing")))
    with pytest.raises(RegistryError):
        attempt(server, made, client, step, ignore=True)
    named = RegistryError("push of registry.example/immutable-things/app:1: status 400", detail="MANIFEST_INVALID: no")
    assert not tag_is_immutable(named)


# ------------------------------------------------------------------------------------------------ whole builds


def test_a_build_serves_all_outputs_it_can(coopery: Coopery, registry: Registry, down: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    done = coopery(
        "build",
        "--progress=plain",
        "--push",
        f"-t{down}/app:1",
        f"-t{registry.host}/outputs/app:1",
        f"--output=type=oci,dest={tmp_path}/image.tar",
        tmp_path,
        check=False,
    )
    assert done.returncode == NetworkError.exit_code, done.stderr
    assert "1 of 2 destinations failed" in done.stderr
    assert f"pushing to {down}/app will probably fail" in done.stderr
    assert registry.tags("outputs/app") == ["1"]
    assert (tmp_path / "image.tar").stat().st_size


def test_every_failure_is_named_once() -> None:
    from coopery.errors import several

    first, second = AuthError("no", hint="log in", detail="said so"), NetworkError("down", hint="log in")
    error: CooperyError = several([("a", first), ("b", second)], 3, "destinations")
    assert error is first
    assert (error.message, error.hint, error.detail) == (
        "2 of 3 destinations failed:\n  a: no\n  b: down",
        "log in",
        "said so",
    )
    alone = several([("a", second)], 1, "destinations")
    assert alone is second
    assert alone.message == "down"
