"""Who USER and --chown mean, by the files of the image."""

from __future__ import annotations

import pytest

from coopery.errors import DockerfileError
from coopery.solver.users import Identity, UnknownUser, file_owner, process_identity

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:The App:/home/app:/bin/sh
homeless:x:7:7:::
1234:x:55:55:a number for a name:/n:/bin/sh
"""
GROUP = """\
root:x:0:
staff:x:50:app,other
app:x:1001:
wheel:x:10:other,app
"""


def reader(passwd: str | bytes | None = PASSWD, group: str | bytes | None = GROUP):
    files = {"/etc/passwd": passwd, "/etc/group": group}

    def read(path: str) -> bytes | None:
        value = files[path]
        return value.encode() if isinstance(value, str) else value

    return read


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("", Identity(0, 0, (0,), "/root")),
        ("root", Identity(0, 0, (0,), "/root")),
        ("app", Identity(1000, 1001, (10, 50, 1001), "/home/app")),
        ("1000", Identity(1000, 1001, (10, 50, 1001), "/home/app")),
        ("app:", Identity(1000, 1001, (10, 50, 1001), "/home/app")),
        ("app:staff", Identity(1000, 50, (50,), "/home/app")),
        ("app:5", Identity(1000, 5, (5,), "/home/app")),
        ("1000:staff", Identity(1000, 50, (50,), "/home/app")),
        ("4321", Identity(4321, 0, (0,), "/")),
        ("4321:8", Identity(4321, 8, (8,), "/")),
        ("homeless", Identity(7, 7, (7,), "/")),
        ("1234", Identity(55, 55, (55,), "/n")),
    ],
)
def test_processes(user, identity):
    assert process_identity(user, reader()) == identity


@pytest.mark.parametrize(
    ("owner", "ids"),
    [
        ("app", (1000, 1001)),
        ("app:staff", (1000, 50)),
        ("app:7", (1000, 7)),
        ("7", (7, 7)),
        ("1000", (1000, 1000)),  # BuildKit doesn't look numbers up here
        ("7:app", (7, 1001)),
        ("7:8", (7, 8)),
        (":50", (0, 50)),
        (":staff", (0, 50)),
        ("app:", (1000, 0)),
        ("root", (0, 0)),
        ("root:root", (0, 0)),
        ("0:0", (0, 0)),
        ("4294967294", (4294967294, 4294967294)),
    ],
)
def test_owners_of_files(owner, ids):
    assert file_owner(owner, reader()) == ids


@pytest.mark.parametrize(
    "text", ["nobody", "app:nogroup", "-1", "-1:5", "1:-1", "4294967295", "99999999999", "x y", "１"]
)
def test_unknown_names_are_errors_of_the_dockerfile_with_a_way_out(text):
    for look_up in (process_identity, file_owner):
        with pytest.raises(UnknownUser, match=r"the image has no (user|group)") as caught:
            look_up(text, reader())
        assert isinstance(caught.value, DockerfileError)
        assert "numeric id" in caught.value.hint


@pytest.mark.parametrize(
    "read", [reader(None, None), reader("", ""), reader(b"\xff\0garbage\n::\n:\n", b"\0\n::::::\n")]
)
def test_without_files_numbers_and_root_still_work(read):
    assert process_identity("", read) == Identity(0, 0, (0,), "/")
    assert process_identity("root", read) == Identity(0, 0, (0,), "/")
    assert process_identity("0:0", read) == Identity(0, 0, (0,), "/")
    assert process_identity("12", read) == Identity(12, 0, (0,), "/")
    assert process_identity("root:root", read).gid == 0
    assert file_owner("root", read) == (0, 0)
    assert file_owner("3:4", read) == (3, 4)
    with pytest.raises(UnknownUser):
        process_identity("app", read)
    with pytest.raises(UnknownUser):
        file_owner("3:app", read)


@pytest.mark.parametrize(
    "line",
    [
        "app",
        "app:x",
        "app:x:",
        "app:x:1",
        "app:x::",
        "app:x:abc:5::/:",
        "app:x:-1:5::/:",
        "app:x:0x0:0::/:",
        "app:x:0:zero::/:",
        "app:x:99999999999:0::/:",
        "#app:x:5:5::/:",
        "APP:x:5:5::/:",
    ],
)
def test_malformed_lines_make_nobody(line):
    """In particular not root, which a careless reader takes for the number that isn't one."""
    for look_up in (process_identity, file_owner):
        with pytest.raises(UnknownUser):
            look_up("app", reader(line + "\n"))


def test_odd_but_valid_files():
    assert file_owner("app", reader("\n \n# comment\n\napp:x:5:6\n")) == (5, 6)
    assert file_owner("app", reader("  app:x:5:6:::\r\n")) == (5, 6)
    assert file_owner("app", reader("app:x:5:6:::")) == (5, 6)
    # The first line of a name counts.
    assert file_owner("app", reader("app:x:5:6:::\napp:x:0:0:::\n")) == (5, 6)
    # Only a line feed ends a line, and other encodings don't matter.
    assert file_owner("app", reader("me:x:9:9:a\u2028app:x:0:0\x0bapp:x:0:0::/:\x85app:x:0:0::\napp:x:5:6:::\n")) == (
        5,
        6,
    )
    assert file_owner("app", reader(b"j\xfcrgen:x:9:9:::\napp:x:5:6:::\n")) == (5, 6)
    assert process_identity("app", reader("app:x:5:6:::\n", "g:x:7:app\nh:x:bad:app\ni\nj:x:8\n")).groups == (6, 7)
