"""Image references, read as Docker reads them."""

from __future__ import annotations

import pytest

from coopery.errors import UsageError
from coopery.oci.digest import Digest
from coopery.oci.reference import Reference

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("debian", "docker.io/library/debian"),
        ("debian:12", "docker.io/library/debian:12"),
        ("someone/app", "docker.io/someone/app"),
        ("docker.io/debian", "docker.io/library/debian"),
        ("index.docker.io/debian", "docker.io/library/debian"),
        ("docker.io/library/debian:12", "docker.io/library/debian:12"),
        ("localhost/app", "localhost/app"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        ("ghcr.io/o/r/x__y.z-w---v:A_b.c-1", "ghcr.io/o/r/x__y.z-w---v:A_b.c-1"),
        ("Host/app", "Host/app"),
        ("a.b:80", "docker.io/library/a.b:80"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}"),
        (f"debian:12@{DIGEST}", f"docker.io/library/debian:12@{DIGEST}"),
    ],
)
def test_reference_is_normalised(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "Debian",
        "debian:",
        "debian:-x",
        "debian:" + "x" * 129,
        "a//b",
        "/a",
        "a/",
        "host.com/",
        "a b",
        "a\n",
        "debian:12\n",
        "-x",
        "--privileged",
        "a___b",
        "a..b",
        "../x",
        "ghcr.io/Upper",
        "host:port/x",
        "http://host/x",
        "[::1]",
        "debian@sha256:abc",
        f"debian@{DIGEST}@{DIGEST}",
        "debian@md5:" + "0" * 32,
        "x" * 256,
        "a" * 64,
        "é/x",
    ],
)
def test_what_is_no_reference_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_upper_case_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse("MyApp")
    assert "lower case" in caught.value.hint


def test_latest_is_only_for_want_of_anything_better() -> None:
    plain = Reference.parse("debian")
    assert plain.or_latest().tag == "latest"
    assert Reference.parse("debian:12").or_latest().tag == "12"
    assert plain.at(DIGEST).or_latest().tag == ""


def test_version_is_the_digest_before_the_tag() -> None:
    tagged = Reference.parse("debian:12")
    assert tagged.version == "12"
    assert tagged.at(DIGEST).version == str(DIGEST)
    assert Reference.parse("debian").version == "latest"
    assert tagged.name == "docker.io/library/debian"
