"""Addresses of git repositories: what counts as one, what is asked of it, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery.dockerfile.git_url import GitUrl, looks_like_git, parse_git_url, with_checksum, without_credentials
from coopery.errors import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = COMMIT + "f" * 24


def parse(text: str) -> GitUrl:
    found = parse_git_url(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "remote", "host"),
    [
        ("https://example.com/a/b.git", "https://example.com/a/b.git", "example.com"),
        ("HTTPS://Example.com/a.git", "https://example.com/a.git", "example.com"),
        ("http://example.com:8080/a.git#x:y", "http://example.com:8080/a.git", "example.com:8080"),
        ("https://user:secret@example.com/a.git", "https://example.com/a.git", "example.com"),
        ("https://[::1]:81/a.git", "https://[::1]:81/a.git", "[::1]:81"),
        ("git://example.com/a", "git://example.com/a", "example.com"),
        ("ssh://git@example.com:22/a.git", "ssh://git@example.com:22/a.git", "example.com:22"),
        ("ssh://git:secret@example.com/a.git", "ssh://git@example.com/a.git", "example.com"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git", "example.com"),
        ("other-user_1@example.com:/srv/a.git?ref=x#", "other-user_1@example.com:/srv/a.git", "example.com"),
    ],
)
def test_repositories(text: str, remote: str, host: str) -> None:
    found = parse(text)
    assert (found.remote, found.host) == (remote, host)
    assert "secret" not in str(found)
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        ".",
        "./a.git",
        "/srv/a.git",
        "a.git",
        "https://example.com/a",
        "https://example.com/a.tar.gz",
        "https://example.com/a.git/info",
        "https://example.com/?path=a.git",
        "example.com:a.git",
        "file:///srv/a.git",
        "github.com/owner/name",
        "",
    ],
)
def test_what_is_no_repository(text: str) -> None:
    assert not looks_like_git(text)
    assert parse_git_url(text) is None


def test_the_short_form_for_github_is_for_contexts() -> None:
    found = parse_git_url("github.com/owner/name#v1:sub", bare=True)
    assert found is not None
    assert (found.remote, found.ref, found.subdir) == ("https://github.com/owner/name", "v1", "sub")


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("", {}),
        ("#main", {"ref": "main"}),
        ("#main:", {"ref": "main"}),
        ("#:sub/dir", {"subdir": "sub/dir"}),
        ("#release/1.0:sub", {"ref": "release/1.0", "subdir": "sub"}),
        ("#v1:/sub/./dir/", {"ref": "v1", "subdir": "sub/dir"}),
        ("#v1:a/../../../b", {"ref": "v1", "subdir": "b"}),
        (f"#{COMMIT}", {"ref": COMMIT, "commit": COMMIT}),
        (f"#{COMMIT.upper()}", {"ref": COMMIT, "commit": COMMIT}),
        (f"#{SHA256}", {"ref": SHA256, "commit": SHA256}),
        ("#0123456", {"ref": "0123456", "commit": ""}),
        ("#refs/pull/7/head", {"ref": "refs/pull/7/head"}),
        ("?ref=main&subdir=x", {"ref": "main", "subdir": "x"}),
        ("?tag=v1", {"ref": "refs/tags/v1"}),
        ("?tag=refs/tags/v1", {"ref": "refs/tags/v1"}),
        ("?branch=main#refs/heads/main:x", {"ref": "refs/heads/main", "subdir": "x"}),
        ("?checksum=0123AB", {"checksum": "0123ab"}),
        ("?commit=0123ab", {"checksum": "0123ab"}),
        ("?keep-git-dir", {"keep_git_dir": True}),
        ("?keep-git-dir=0", {"keep_git_dir": False}),
        ("?submodules=false", {"submodules": False}),
        ("?submodules=true", {"submodules": True}),
        (f"?fetch-by-commit&checksum={COMMIT}#main", {"ref": "main", "commit": COMMIT}),
        ("?mtime=checkout", {"mtime": "checkout"}),
        ("#a%2Fb", {"ref": "a/b"}),
    ],
)
def test_what_of_it(what: str, expected: dict[str, Any]) -> None:
    found = parse("https://example.com/a.git" + what)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.remote == "https://example.com/a.git"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a.git#-x",
        "https://example.com/a.git#--upload-pack=touch",
        "https://example.com/a.git?ref=--upload-pack=touch",
        "https://example.com/a.git#a..b",
        "https://example.com/a.git#a%0ab",
        "https://example.com/a.git#a b",
        "https://example.com/a.git#x\n",
        "https://example.com/a.git#:a%00b",
        "https://example.com/a.git#*",
        "https://example.com/a.git#x.lock",
        "https://example.com/a.git?ref=",
        "https://example.com/a.git?ref=a&ref=b",
        "https://example.com/a.git?ref=a#b",
        "https://example.com/a.git?tag=a&branch=a",
        "https://example.com/a.git?subdir=a#:b",
        "https://example.com/a.git?checksum=xyz",
        "https://example.com/a.git?checksum=aa&commit=bb",
        "https://example.com/a.git?submodules=maybe",
        "https://example.com/a.git?mtime=now",
        "https://example.com/a.git?fetch-by-commit",
        "https://example.com/a.git?fetch-by-commit&checksum=0123ab",
        "https://example.com/a.git?depth=1",
        "https:///a.git",
        "https://example.com:port/a.git",
        "ssh://-oProxyCommand=touch/a.git",
        "ssh://-oProxyCommand=touch@example.com/a.git",
        "-oProxyCommand@example.com:a.git",
        "git@-oProxyCommand=x:a.git".replace("=", "-"),
        "git@example.com:-a.git",
        "git@example.com:",
        "git://-x/a",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_git_url(text)
    assert caught.value.hint


def test_a_misspelt_question_has_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse_git_url("https://example.com/a.git?submodule=1")
    assert caught.value.hint == "did you mean submodules?"


def test_a_refused_address_shows_no_password() -> None:
    with pytest.raises(UsageError) as caught:
        parse_git_url("https://user:secret@example.com/a.git#-x")
    assert "secret" not in caught.value.message


def test_checksums_must_agree() -> None:
    url = parse("https://example.com/a.git?checksum=aa")
    assert with_checksum(url, "AA").checksum == "aa"
    with pytest.raises(UsageError):
        with_checksum(url, "bb")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@h/x", "https://h/x"),
        ("ADD https://u:p@h/x http://token@h/y /z", "ADD https://h/x http://h/y /z"),
        ("https://h/a@b", "https://h/a@b"),
        ("https://h/?q=a@b", "https://h/?q=a@b"),
        ("git@h:x.git", "git@h:x.git"),
        ("ssh://git@h/x.git", "ssh://git@h/x.git"),
    ],
)
def test_without_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@given(
    st.one_of(
        st.text(),
        st.builds(
            lambda start, rest: start + rest,
            st.sampled_from(
                ["https://", "ssh://", "git://h/", "git@h:", "https://h/x.git#", "https://h/x.git?", "http://u:p@"]
            ),
            st.text(),
        ),
    )
)
def test_any_text_is_a_repository_or_not_or_refused(text: str) -> None:
    try:
        found = parse_git_url(text, bare=True)
    except UsageError:
        return
    if found is None:
        return
    for part in (found.remote, found.ref, found.host, found.username, found.checksum):
        assert not part.startswith("-")
        assert part.isprintable()
        assert not any(character.isspace() for character in found.remote)
    assert ".." not in found.subdir.split("/")
    assert parse_git_url(found.remote, bare=True) is not None
