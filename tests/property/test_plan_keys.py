"""Cache keys: they change if and only if something changes that the step can see (BuildKit, ops/exec.go, CacheMap)."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery.cache.store import Store
from coopery.engines.contexts import Contexts
from coopery.engines.remote_files import RemoteFiles
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, Surroundings
from coopery.progress import make_progress
from coopery.request import BuildRequest
from coopery.solver.secrets import Secrets
from support.plans import World, base, last_key, plan_of

START = "FROM base\nARG P\nARG A=1\nENV E=2\nUSER u\nWORKDIR /w\n"
RUN = START + "RUN --mount=type=cache,target=/c --network=none make $A\n"


def run_key(text: str = RUN, **options: object) -> Digest:
    return last_key(text, **options)


# ------------------------------------------------------------------------------------------------------- RUN


@pytest.mark.parametrize(
    "other",
    [
        RUN.replace("make", "made"),
        RUN.replace("make $A", "make  $A"),
        RUN.replace("RUN --mount=type=cache,target=/c --network=none make $A", 'RUN ["/bin/sh", "-c", "make $A", ""]'),
        RUN.replace("A=1", "A=2"),
        RUN.replace("A=1", "A"),
        RUN.replace("E=2", "E=3"),
        RUN.replace("E=2", "F=2"),
        RUN.replace("USER u", "USER u:g"),
        RUN.replace("WORKDIR /w", "WORKDIR /x"),
        RUN.replace("none", "host"),
        RUN.replace("target=/c", "target=/d"),
        RUN.replace("target=/c", "target=/c,ro"),
        RUN.replace("type=cache", "type=tmpfs"),
        RUN.replace("--mount=type=cache,target=/c", ""),
        RUN.replace("--mount=type=cache,target=/c", "--mount=type=secret,id=s"),
        RUN.replace("RUN", 'SHELL ["/bin/bash", "-c"]\nRUN'),
        RUN.replace("RUN", "RUN before\nRUN"),
        RUN.replace("WORKDIR /w", "WORKDIR /w\nCOPY f /f"),
        RUN.replace("make $A", "<<EOF\n#!/bin/sh\nmake $A\nEOF"),
    ],
)
def test_what_a_run_can_see_is_in_its_key(other):
    assert other != RUN
    assert run_key(other) != run_key()


@pytest.mark.parametrize(
    "other",
    [
        "# a comment\n\n\n" + RUN.replace("ARG A", "# one more\nARG A"),
        RUN.replace("FROM base", "FROM base AS name"),
        "FROM base AS other\nRUN x\n" + RUN,
        RUN.replace("RUN", "run").replace("make", "\\\n  # why\nmake"),
        RUN.replace("target=/c", "dst=/c,id=name,sharing=locked,mode=0700"),
        RUN.replace("RUN", "LABEL a=b\nCMD x\nENTRYPOINT y\nEXPOSE 80\nVOLUME /v\nSTOPSIGNAL 9\nRUN"),
        RUN.replace("RUN", "MAINTAINER me\nHEALTHCHECK NONE\nONBUILD RUN x\nARG UNSET\nRUN"),
        RUN.replace("ENV E=2", "ENV E=1\nENV E=2"),
        RUN.replace("WORKDIR /w", "WORKDIR ./w/../w/"),
        RUN.replace("A=1", "X=1").replace("ARG X=1", "ARG A=1"),
    ],
)
def test_what_a_run_cannot_see_is_not(other):
    assert other != RUN or "A=1" in other
    assert run_key(other) == run_key()


def test_build_arguments_count_where_they_are_declared_and_proxies_do_not():
    assert run_key(args={"P": "1"}) != run_key()
    assert run_key(args={"A": "1"}) == run_key()
    assert run_key(args={"A": "2"}) != run_key()
    assert run_key(args={"OTHER": "1", "HTTP_PROXY": "http://p", "no_proxy": "x"}) == run_key()
    assert run_key(network="host") == run_key()
    for around in (Surroundings(hosts=("db",)), Surroundings(ulimits=("nofile=1:2",)), Surroundings(shm_size=1)):
        assert run_key(around=around) != run_key()
    assert run_key("FROM base\nRUN x\n", network="host") != run_key("FROM base\nRUN x\n")


def test_the_time_of_made_directories_counts_where_some_may_be_made():
    at = Surroundings(epoch="5")
    for line in ("COPY a /d", "WORKDIR /d"):
        assert last_key(f"FROM base\n{line}\n", around=at) != last_key(f"FROM base\n{line}\n")


def test_the_bases_content_counts_and_what_it_is_called_does_not():
    def key(text: str, **images: object) -> Digest:
        return last_key(text, World(images))  # type: ignore[arg-type]

    text = "FROM base\nRUN x\n"
    assert key(text, base=base("1")) == key("FROM other\nRUN x\n", other=base("1"))
    assert key(text, base=base("1")) != key(text, base=base("2"))
    assert key(text, base=base("1")) != last_key("FROM scratch\nRUN x\n")
    assert key(text, base=base("1")) == key(text, base=base("1", labels={"a": "b"}, cmd=("c",), created="2020"))
    for change in ({"env": ("A=1",)}, {"user": "u"}, {"working_dir": "/w"}, {"shell": ("s",)}):
        assert key(text, base=base("1")) != key(text, base=base("1", **change)), change


def test_secrets_count_by_all_but_their_value():
    line = "FROM base\nRUN --mount=type=secret,id=s{} x\n"
    keys = [last_key(line.format(more)) for more in ("", ",target=/t", ",mode=0444", ",uid=5", ",env=S", "2")]
    assert len(set(keys)) == len(keys)


# -------------------------------------------------------------------------------------------- COPY and WORKDIR


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("COPY a /d", "COPY a d", True),
        ("COPY a /d", "COPY a /d/", False),
        ("COPY a /d", "COPY a /e", False),
        ("COPY a /d", "COPY b /d", False),
        ("COPY a /d", "COPY --chown=1 a /d", False),
        ("COPY --chown=1 a /d", "COPY --chown=1:1 a /d", False),
        ("COPY a /d", "COPY --chmod=644 a /d", False),
        ("COPY --chmod=0644 a /d", "COPY --chmod=644 a /d", True),
        ("COPY a /d", "ADD a /d", False),
        ("COPY a /d", "ENV X=1\nUSER y\nCOPY a /d", True),
        ("COPY --from=s a /d", "COPY --from=0 a /d", True),
        ("COPY --from=s a /d", "COPY a /d", False),
        ("COPY --from=s a /d", "COPY --from=s a b /d", False),
        ("COPY <<a /d\nx\na", "COPY <<a /d\ny\na", False),
        ("COPY <<a /d\nx\na", "COPY <<b /d\nx\nb", False),
        ("COPY <<a /d\nx\na", "COPY <<'a' /d\nx\na", True),
        ("WORKDIR /a", "WORKDIR /a/b", False),
        ("WORKDIR /a", "USER u\nWORKDIR /a", False),
        ("WORKDIR /a", "ENV x=y\nWORKDIR /a/", True),
    ],
)
def test_keys_of_copies_and_directories(one, two, same):
    text = "FROM base AS s\nRUN make\nFROM base\n{}\n"
    assert (last_key(text.format(one)) == last_key(text.format(two))) is same


def test_a_copy_from_a_stage_changes_with_the_stage():
    text = "FROM base AS s\nRUN {}\nFROM base\nCOPY --from=s /a /b\n"
    assert last_key(text.format("x")) != last_key(text.format("y"))


values = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\\"'$`#"), min_size=1, max_size=6
)
pairs = st.tuples(values, values, values, values)


@given(pairs, pairs)
def test_no_two_operations_look_alike(one, two):
    """Wherever the borders between command, variable, user and directory lie."""

    def key(parts: tuple[str, ...]) -> Digest:
        command, value, user, directory = parts
        lines = f'FROM base\nENV V="{value}"\nUSER "{user}"\nWORKDIR "/{directory}"\nRUN ["{command}"]\n'
        return last_key(lines)

    def seen(parts: tuple[str, ...]) -> tuple[str, ...]:
        plan = plan_of(f'FROM base\nWORKDIR "/{parts[3]}"\n')
        return (*parts[:3], plan.stages[0].config.working_dir)

    assert (key(one) == key(two)) is (seen(one) == seen(two))


# --------------------------------------------------------------------------------------------------- contexts


class Files:
    """A directory, and the key of one COPY out of it as a build of its own would find it."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "context"
        self.store = tmp_path / "store"
        self.root.mkdir()

    def key(self, line: str = "COPY . /d") -> Digest:
        with Store(str(self.store)) as store:
            progress = make_progress("quiet", io.StringIO(), environ={})
            remote = RemoteFiles(store, Secrets((), {}, lambda value: None), (), progress)
            contexts = Contexts(BuildRequest(context=str(self.root)), store, remote)

            def files(op: CopyOp) -> Digest:
                return contexts.key(op)

            try:
                return last_key(f"FROM base\n{line}\n", World(files=files))
            finally:
                contexts.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path)
    (made.root / "sub").mkdir()
    (made.root / "a").write_text("a")
    (made.root / "sub/b").write_text("b")
    (made.root / "link").symlink_to("a")
    os.link(made.root / "a", made.root / "same")
    return made


@pytest.fixture
def remembering(files: Files, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Files that count as old enough for their digests to be kept."""
    monkeypatch.setattr("coopery.context.local._RACY_NS", -(10**18))
    return files


def _swap(root: Path) -> None:
    (root / "sub/b").unlink()
    (root / "sub/b").mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "a").write_text("b"),
    "length": lambda root: (root / "a").write_text("aa"),
    "mode": lambda root: (root / "sub/b").chmod(0o600),
    "setuid": lambda root: (root / "sub/b").chmod(0o4644),
    "mode of a directory": lambda root: (root / "sub").chmod(0o700),
    "name": lambda root: (root / "sub/b").rename(root / "sub/c"),
    "place": lambda root: (root / "sub/b").rename(root / "b"),
    "one more": lambda root: (root / "sub/c").write_text(""),
    "one less": lambda root: (root / "sub/b").unlink(),
    "an empty directory": lambda root: (root / "sub/empty").mkdir(),
    "link target": lambda root: ((root / "link").unlink(), (root / "link").symlink_to("sub/b")),
    "link to file": lambda root: ((root / "link").unlink(), (root / "link").write_text("a")),
    "kind": _swap,
    "xattr": lambda root: os.setxattr(root / "a", "user.x", b"1"),
    "fifo": lambda root: os.mkfifo(root / "sub/pipe"),
    "hard link": lambda root: ((root / "same").unlink(), (root / "same").write_text("a")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_shows_in_a_copy_is_in_its_key(files, change):
    before = files.key()
    assert files.key() == before
    CHANGES[change](files.root)
    assert files.key() != before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: os.utime(root / "a", (1, 1)),
        lambda root: os.utime(root / "sub", (1, 1)),
        lambda root: os.chown(root / "a", 1234, 1234) if os.geteuid() == 0 else None,
        lambda root: (root / "a").rename(root / "x") and (root / "x").rename(root / "a"),
    ],
)
def test_what_does_not_show_is_not(files, change):
    before = files.key()
    change(files.root)
    assert files.key() == before


def test_only_what_is_selected_counts(files):
    before = {line: files.key(line) for line in ("COPY a /d", "COPY sub /d", "COPY link /d", "COPY s*/b /d/")}
    (files.root / "other").write_text("x")
    (files.root / "sub/b").write_text("B")
    after = {line: files.key(line) for line in before}
    assert [after[line] == before[line] for line in before] == [True, False, True, False]


def test_a_file_counts_with_its_name_and_a_directory_with_what_is_in_it(files):
    (files.root / "twin").mkdir()
    (files.root / "twin/b").write_text("b")
    (files.root / "c").write_text("b")
    assert files.key("COPY sub /d") == files.key("COPY twin/ /d")
    assert files.key("COPY sub/b /d/") == files.key("COPY twin/b /d/")
    assert files.key("COPY sub/b /d/") != files.key("COPY c /d/")


def test_a_second_source_that_matches_nothing_makes_a_directory_of_the_destination(files):
    assert files.key("COPY a /d") != files.key("COPY a missing* /d")


def test_an_edit_that_restores_size_and_time_is_seen(remembering):
    path = remembering.root / "a"
    os.utime(path, (1, 1))
    first = remembering.key("COPY a /d")
    assert len(list((remembering.store / "v1/files").iterdir())) == 1
    assert remembering.key("COPY a /d") == first
    path.write_text("A")
    os.utime(path, (1, 1))
    assert remembering.key("COPY a /d") != first


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"5", b"[" * 100_000, b'{"a": 5}', b'{"a": [1]}', b'{"a": {"x": 1}}', b"\xff\xfe"]
)
def test_a_damaged_memory_of_digests_is_as_good_as_none(remembering, damage):
    before = remembering.key("COPY a /d")
    (kept,) = (remembering.store / "v1/files").iterdir()
    kept.write_bytes(damage)
    assert remembering.key("COPY a /d") == before


def test_a_memory_with_the_right_stat_and_a_wrong_digest_is_ignored(remembering):
    before = remembering.key("COPY a /d")
    info = (remembering.root / "a").stat()
    for digest in ('"zz"', "5", "null", "[]"):
        stats = f"{info.st_size}, {info.st_mtime_ns}, {info.st_ctime_ns}, {info.st_ino}"
        for kept in (remembering.store / "v1/files").iterdir():
            kept.write_text(f'{{"a": [{stats}, {digest}]}}')
        assert remembering.key("COPY a /d") == before


def test_digests_of_files_at_rest_are_kept(remembering):
    remembering.key("COPY a /d")
    (kept,) = (remembering.store / "v1/files").iterdir()
    assert '"a":[' in kept.read_text()


def test_a_file_written_just_now_is_read_again(files, monkeypatch):
    monkeypatch.setattr("coopery.context.local._RACY_NS", 10**18)
    files.key("COPY a /d")
    assert not list((files.store / "v1/files").iterdir())
