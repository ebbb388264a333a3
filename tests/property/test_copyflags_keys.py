"""Keys of COPY and ADD with all their flags: they change if and only if something does that shows in the layer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopery.context.local import LocalContext
from coopery.oci.digest import Digest
from coopery.plan.ops import CopyOp, SourceRef, Surroundings, Vertex
from coopery.plan.selection import sources_in
from coopery.tree.sources import content_key
from support.plans import World, base, last_key, plan_of


def vertex(line: str, world: World | None = None, before: str = "", **options: object) -> Vertex:
    plan = plan_of(f"FROM base AS s\nRUN make\nFROM base\n{before}{line}\n", world, **options)
    return plan.stages[plan.target].vertices[-1]


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("COPY a /d", "COPY --link=false --parents=false a /d", True),
        ("COPY a /d", "COPY --link a /d", False),
        ("COPY --chmod=u=rwX a /d", "COPY --chmod=u=rwx a /d", False),
        ("COPY --chmod=644 a /d", "COPY --chmod=u=rw,go=r a /d", False),
        ("COPY --from=s a /d", "COPY --from=s --parents a /d", False),
        ("COPY --from=s a /d", "COPY --from=s --exclude=x a /d", False),
        ("COPY --from=s --exclude=x a /d", "COPY --from=s --exclude=y a /d", False),
        ("COPY --from=s --exclude=x --exclude=y a /d", "COPY --from=s --exclude=x,y a /d", False),
        ("ADD a /d", "ADD --unpack a /d", True),
        ("ADD a /d", "ADD --unpack=false a /d", False),
        ("COPY a /d", "ADD --unpack=false a /d", True),
        ("ADD http://h/f /d", "ADD --unpack=true http://h/f /d", False),
        ("ADD a http://h/f /d/", "ADD http://h/f a /d/", False),
        ("ADD a http://h/f /d/", "ADD a http://h/f /d", True),
        ("ADD a http://h/f /d/", "ADD a http://h/g /d/", False),
        ("COPY a <<b /d/\nx\nb", "COPY a <<b /d/\ny\nb", False),
        ("COPY --link a /d", "COPY --link a /e", False),
        ("COPY --link a /d", "COPY --link b /d", False),
        ("COPY --link a /d", "COPY --link --chown=1 a /d", False),
        ("COPY --link a /d", "ADD --link --unpack=false a /d", True),
    ],
)
def test_flags(one, two, same):
    first, second = vertex(one), vertex(two)
    assert (first.key == second.key) is same
    assert (first.link == second.link) is (same or not (first.link or second.link))


@pytest.mark.parametrize("line", ["COPY --link a /d", "ADD --link --chmod=700 a /d", "COPY --link --from=s /a /d"])
def test_a_linked_layers_key_does_not_know_what_is_below(line):
    first = vertex(line)
    assert first.link
    for other in (
        vertex(line, before="RUN x\n"),
        vertex(line, before="ENV A=1\nUSER u\nCOPY b /c\n"),
        vertex(line, before="WORKDIR /w\n"),
    ):
        assert other.link == first.link
    assert vertex(line, before="RUN x\n").key != first.key
    assert vertex(line, before="RUN x\n").key != vertex(line, before="RUN y\n").key
    assert vertex(line, around=Surroundings(epoch="5")).link != first.link


def test_another_base_changes_the_stage_and_not_the_layer():
    plans = [plan_of("FROM base\nCOPY --link a /d\n", World({"base": base(name)})) for name in "12"]
    first, second = (plan.stages[plan.target].vertices[-1] for plan in plans)
    assert first.link == second.link
    assert first.key != second.key


def test_what_runs_on_a_linked_layer_knows_all_of_it():
    text = "FROM base\n{}COPY --link {} /d\nRUN x\n"
    keys = {last_key(text.format(before, name)) for before in ("", "RUN y\n") for name in "ab"}
    assert len(keys) == 4


def test_a_pinned_download_is_known_by_its_checksum():
    def files(op: CopyOp) -> Digest:
        return Digest.of(op.checksum.encode())

    keys = {vertex(f"ADD --checksum=sha256:{each * 64} http://h/f /", World(files=files)).key for each in "ab"}
    assert len(keys) == 2


# ------------------------------------------------------------------------------------- by what is there


class Memory:
    def load(self) -> None:
        return None

    def save(self, value: object) -> None:
        pass


def content(root: Path, *patterns: str, **options: object) -> bytes:
    context = LocalContext(str(root), None, Memory())
    op = CopyOp(SourceRef("context"), patterns, "/x/", "", None, False, **options)
    try:
        return content_key(sources_in(op, context.tree), context.digest)
    finally:
        context.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.log", "sub/c.txt", "sub/d.log", "sub/deep/e.log"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(name)
    return tmp_path


def test_exclude_counts_by_its_effect(root: Path) -> None:
    without = content(root, ".", exclude=("**/*.log",))
    assert content(root, ".", exclude=("**/*.log", "nothing")) == without
    assert content(root, ".", exclude=("*.log", "sub/*.log", "sub/deep/*.log")) == without
    assert content(root, ".") != without
    (root / "b.log").write_text("other")
    (root / "sub/new.log").write_text("new")
    os.chmod(root / "sub/d.log", 0o600)
    assert content(root, ".", exclude=("**/*.log",)) == without
    (root / "a.txt").write_text("other")
    assert content(root, ".", exclude=("**/*.log",)) != without
    assert content(root, "a.txt", "b.log", exclude=("*.log",)) == content(root, "a.txt")


def test_parents_count_by_what_is_found(root: Path) -> None:
    found = content(root, "**/*.txt", parents=True)
    (root / "b.log").write_text("other")
    (root / "sub/deep/more").write_text("more")
    assert content(root, "**/*.txt", parents=True) == found
    assert content(root, "a.txt", "sub/*.txt", parents=True) != content(root, "a.txt", parents=True)
    os.chmod(root / "sub", 0o700)
    assert content(root, "**/*.txt", parents=True) != found, "the directory above is copied with its mode"
    assert content(root, "sub/./c.txt", parents=True) != content(root, "sub/c.txt", parents=True)
    assert content(root, "sub/./c.txt", parents=True) == content(root, "./sub/./c.txt", parents=True)


def test_directories_that_hold_nothing_sought_are_not_read(root: Path) -> None:
    (root / "closed").mkdir()
    (root / "closed/file").write_text("x")
    context = LocalContext(str(root), None, Memory())
    scanned: list[bytes] = []
    scan = context._scan
    context._scan = lambda path: scanned.append(path) or scan(path)  # type: ignore[method-assign]
    op = CopyOp(SourceRef("context"), ("sub/deep/e.log",), "/x/", "", None, False, parents=True)
    content_key(sources_in(op, context.tree), context.digest)
    context.close()
    assert set(scanned) <= {b"", b"sub", b"sub/deep"}


texts = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\\"'$`#-<[!{}/*?,. "), max_size=5
)


@given(st.lists(texts.filter(bool), max_size=3), st.lists(texts.filter(bool), max_size=3))
def test_no_two_lists_of_patterns_look_alike(one, two):
    def key(patterns: list[str]) -> Digest:
        flags = " ".join(f"--exclude={pattern}" for pattern in patterns)
        return vertex(f"COPY --from=s {flags} a /d").key

    assert (key(one) == key(two)) is (one == two)
