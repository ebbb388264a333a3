"""What always holds of references, manifests and configurations."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import IntegrityError, UsageError
from coopery.oci.config import ImageConfig
from coopery.oci.digest import Digest
from coopery.oci.manifest import parse_manifest
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference

parts = st.from_regex(r"[a-z0-9]{1,5}(?:[._-][a-z0-9]{1,3})?", fullmatch=True)
hosts = st.sampled_from(["docker.io", "ghcr.io", "localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "Host"])
digests = st.binary(max_size=4).map(Digest.of)
words = st.sampled_from(
    (
        *("mediaType", "schemaVersion", "config", "layers", "manifests", "digest", "size", "annotations", "platform"),
        *("os", "rootfs", "diff_ids", "history", "Env", "Cmd", "Labels", "Healthcheck", "Test", "Interval", "subject"),
    )
)
leaves = st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=4) | digests.map(str)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5), max_leaves=12
)


@given(hosts, st.lists(parts, min_size=1, max_size=3), st.just("") | parts, st.none() | digests)
def test_reference_survives_its_spelling(host: str, path: list[str], tag: str, digest: Digest | None) -> None:
    text = f"{host}/{'/'.join(path)}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert (reference.registry, reference.tag, reference.digest) == (host, tag, digest)
    assert reference.repository.endswith("/".join(path))


@given(st.text(alphabet="aA0.:/@_-[]s\n é", max_size=20) | st.text())
def test_reference_of_any_text_is_right_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        reference = Reference.parse(text)
        assert Reference.parse(str(reference)) == reference
        assert not set(str(reference)) & set(" \n\t\\?#%")


@given(st.text(max_size=20))
def test_platform_of_any_text_is_right_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        platform = Platform.parse(text)
        assert Platform.parse(str(platform)) == platform
        assert platform.satisfies(platform)


@given(documents)
def test_manifest_of_any_json_is_right_or_refused(value: object) -> None:
    with contextlib.suppress(IntegrityError):
        manifest = parse_manifest(json.dumps(value).encode())
        assert parse_manifest(manifest.serialize()).serialize() == manifest.serialize()


@given(documents)
def test_config_of_any_json_is_right_or_refused(value: object) -> None:
    with contextlib.suppress(IntegrityError):
        config = ImageConfig.parse(json.dumps(value).encode())
        assert ImageConfig.parse(config.serialize()).serialize() == config.serialize()
