"""Platforms: how they are spelt, and which serves which."""

from __future__ import annotations

import pytest

from coopery.errors import UsageError
from coopery.oci.descriptor import OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.manifest import Index
from coopery.oci.platform import Platform, host


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("LINUX/AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64/8", "linux/arm64"),
        ("armhf", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
        (" linux/s390x ", "linux/s390x"),
    ],
)
def test_platform_is_normalised(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal
    assert Platform.parse(normal) == Platform.parse(text)


@pytest.mark.parametrize(
    "text", ["", "/", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "linux/ａmd64", "linux/-x", "a\nb"]
)
def test_what_is_no_platform_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Platform.parse(text)


def test_a_lone_system_means_this_machine() -> None:
    assert Platform.parse("linux") == Platform("linux", host().architecture)


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], "linux/amd64"),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/arm", ["linux/arm/v5", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], "linux/amd64/v2"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
        ("linux/amd64/v2", ["linux/amd64/v3"], None),
        ("linux/amd64", ["windows/amd64", "linux/386"], None),
        ("linux/amd64", [], None),
    ],
)
def test_index_gives_the_best_platform(wanted: str, offered: list[str], chosen: str | None) -> None:
    entries = []
    for number, text in enumerate(offered):
        platform = Platform(*text.split("/"))
        entries.append(Descriptor(OCI_MANIFEST, Digest.of(bytes([number])), 1, platform))
    found = Index((Descriptor(OCI_MANIFEST, Digest.of(b"none"), 1), *entries)).select(Platform.parse(wanted))
    assert (str(found.platform) if found else None) == chosen


def test_first_of_equals_is_chosen() -> None:
    platform = Platform("linux", "amd64")
    entries = tuple(Descriptor(OCI_MANIFEST, Digest.of(name), 1, platform) for name in (b"first", b"second"))
    assert Index(entries).select(platform) is entries[0]
