"""GitLab's registry tokens live five minutes: an upload that takes longer gets new ones on the way.

The registry is a real one, which takes the tokens of a small server, as GitLab's takes those of /jwt/auth. Time is the
client's clock, which every piece of an upload moves on, so that slow lines need no waiting for.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_REGISTRY_TESTS = str(Path(__file__).resolve().parents[2] / "registry")
if _REGISTRY_TESTS not in sys.path:
    sys.path.insert(0, _REGISTRY_TESTS)

from registry_support import (  # noqa: E402
    Client,
    Credentials,
    Reply,
    Request,
    TokenServer,
    blob_of,
    client,
    login,
    push_image,
    real_registry,
)

from coopery.oci.reference import Reference  # noqa: E402
from coopery.registry import uploading  # noqa: E402

#: Seconds that a token lives, of the client's time; GitLab's are good for 300.
LIFE = 300


class ShortLived(TokenServer):
    """Gives tokens for `LIFE` seconds, and notes how often."""

    @property
    def given(self) -> int:
        return len(self.requests)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShortLived]:
    import shutil

    if lacking := [name for name in ("docker-registry", "openssl") if not shutil.which(name)]:
        pytest.skip(f"needs {' and '.join(lacking)}")
    server = ShortLived(tmp_path_factory.mktemp("issuer"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def registry(issuer: ShortLived, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real_registry(tmp_path_factory.mktemp("registry"), issuer.config()) as host:
        yield host


class SlowFile(io.BytesIO):
    """A blob on a slow line: each read of it takes `seconds` of the client's time."""

    def __init__(self, data: bytes, client: Client, seconds: float) -> None:
        super().__init__(data)
        self._client = client
        self._seconds = seconds

    def read(self, size: int | None = -1, /) -> bytes:
        self._client.now += self._seconds
        return super().read(size)


def stored(host: str, path: str, data: bytes) -> bool:
    digest = hashlib.sha256()
    for piece in client(login()).registry.blob(Reference.parse(f"{host}/{path}"), blob_of(data)):
        digest.update(piece)
    return digest.hexdigest() == blob_of(data).digest.hex


def test_tokens_are_renewed_while_a_blob_is_uploaded(
    registry: str, issuer: ShortLived, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload's session is opened with one token, the blob streamed and ended with later ones; then the manifest
    needs another. No request comes with a token that is past its time by the client's clock.
    """
    monkeypatch.setattr(uploading, "STREAM_ABOVE", 1 << 20)
    data = bytes(range(256)) * (12 << 10)  # 3 MiB: twelve pieces
    one = client(login())
    target = Reference.parse(f"{registry}/slow/blob")
    before = issuer.given
    assert one.registry.push_blob(target, blob_of(data), lambda: SlowFile(data, one, 60.0)) == "uploaded"
    assert one.now >= 12 * 60
    during = issuer.given - before
    assert during == 2  # to open the session and stream, and to end it 12 minutes later
    one.now += LIFE
    push_image(one.registry, Reference.parse(f"{registry}/slow/blob:1"))
    assert issuer.given - before > during
    assert stored(registry, "slow/blob", data)


def test_a_token_that_the_registry_finds_too_old_is_renewed(registry: str, issuer: ShortLived) -> None:
    """By the client's clock the token is good, and by the registry's it isn't: it says so when the body is on its way,
    and the blob is sent from its beginning with a new one.
    """
    data = bytes(reversed(range(256))) * (160 << 10)  # 40 MiB: more than the line holds when it is refused
    one = client(login())
    target = Reference.parse(f"{registry}/clocks/blob")
    answer = issuer.answer

    def late(request: Request) -> Reply:
        """Of the tokens for this repository, every second one is past its time when it comes."""
        issuer.stale = int(count["tokens"] % 2 == 1)
        count["tokens"] += 1
        return answer(request)

    count = {"tokens": 0}
    issuer.answer = late
    try:
        # Every piece takes longer than a token lives, so each request asks for one, and every second is refused once.
        opened = one.registry.push_blob(target, blob_of(data), lambda: SlowFile(data, one, LIFE + 1.0))
    finally:
        issuer.answer = answer
        issuer.stale = 0
    assert opened == "uploaded"
    assert count["tokens"] >= 3
    assert stored(registry, "clocks/blob", data)


def test_the_password_is_asked_for_again_with_each_token(registry: str, issuer: ShortLived) -> None:
    """A login that is itself renewed (that of a cloud, say) is taken anew when the registry refuses a token."""
    credentials = Credentials(login())
    one = Client(credentials)
    push_image(one.registry, Reference.parse(f"{registry}/again/app:1"))
    asked = len(credentials.asked)
    issuer.stale = 1
    one.now += 2 * LIFE
    push_image(one.registry, Reference.parse(f"{registry}/again/app:2"), b"other")
    assert len(credentials.asked) > asked
