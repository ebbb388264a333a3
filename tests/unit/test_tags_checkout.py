"""What checkouts say of themselves, also shallow, strange and hostile ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coopery.ci.checkout import completed, read_checkout, web_url
from coopery.ci.revision import Revision

WHEN = 1772600767  # 2026-03-04T05:06:07Z
pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()},
    }
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


IDENTITY = {"NAME": "A", "EMAIL": "a@example.org", "DATE": f"{WHEN} +0100"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "app.py").write_text("print()\n")
    (folder / "lib").mkdir()
    (folder / "lib" / "run").symlink_to("../app.py")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    git(folder, "remote", "add", "origin", "git@git.example:acme/shop.git")
    return folder


def test_branch_commit_time_and_address(repository: Path):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "update-ref", "refs/remotes/origin/main", commit)
    git(repository, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    found = read_checkout(str(repository / "lib"))
    assert found
    assert found.revision == Revision(
        event="manual",
        commit=commit,
        branch="main",
        default_branch="main",
        repository="acme/shop",
        repository_url="https://git.example/acme/shop",
        commit_time=WHEN,
    )
    assert found.dirty is False
    git(repository, "checkout", "-q", "-b", "feat/Search_Box")
    found = read_checkout(str(repository))
    assert found
    assert found.revision.branch == "feat/Search_Box"


def test_changed_files_are_seen(repository: Path):
    def dirty() -> bool | None:
        found = read_checkout(str(repository))
        return found.dirty if found else None

    (repository / "untracked").touch()
    assert dirty() is False
    os.utime(repository / "app.py", (1, 1))
    assert dirty() is False, "touched, and the same"
    (repository / "app.py").write_text("print(1)\n")
    assert dirty() is True
    git(repository, "checkout", "-q", "app.py")
    assert dirty() is False
    (repository / "app.py").chmod(0o755)
    assert dirty() is True
    (repository / "app.py").chmod(0o644)
    (repository / "lib/run").unlink()
    assert dirty() is True
    git(repository, "checkout", "-q", ".")
    git(repository, "add", "untracked")
    assert dirty() is True, "it is staged"
    (repository / ".git/index").write_bytes(b"junk")
    assert dirty() is None


def test_tag_of_a_detached_head(repository: Path):
    git(repository, "tag", "newest")
    git(repository, "tag", "v1.2.3-rc.1")
    git(repository, "tag", "-a", "-m", "x", "v1.2.3")
    git(repository, "tag", "v1.2.0")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(repository, "tag", "v9.9.9")
    git(repository, "pack-refs", "--all")
    git(repository, "gc", "-q")
    git(repository, "checkout", "-q", "v1.2.3")
    found = read_checkout(str(repository))
    assert found
    assert (found.revision.tag, found.revision.branch) == ("v1.2.3", "")
    git(repository, "checkout", "-q", "main")
    found = read_checkout(str(repository))
    assert found
    assert (found.revision.tag, found.revision.branch) == ("", "main")


def test_what_a_platform_does_not_say_is_filled_in(repository: Path):
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    change = Revision(event="change", commit=first, change="7", repository="acme/other")
    filled = completed(change, str(repository))
    assert (filled.commit, filled.commit_time) == (first, WHEN)
    assert (filled.repository, filled.repository_url) == ("acme/other", "https://git.example/acme/shop")
    assert (filled.branch, filled.event, filled.change) == ("", "change", "7")
    assert completed(Revision(event="push"), str(repository)).commit == git(repository, "rev-parse", "HEAD")
    assert completed(Revision(event="change"), str(repository)).commit == ""
    assert completed(Revision(event="push", commit=first, commit_time=5), str(repository)).commit_time == 5
    for unknown in ("1" * 40, "HEAD", "--upload-pack=x", first[:7]):
        assert completed(Revision(event="push", commit=unknown), str(repository)).commit_time is None


def test_shallow_clone_worktree_and_alternates(repository: Path, tmp_path: Path):
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(tmp_path / "shallow"))
    assert completed(Revision(event="push"), str(tmp_path / "shallow")).commit_time == WHEN
    assert completed(Revision(event="push", commit=first), str(tmp_path / "shallow")).commit_time is None
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    found = read_checkout(str(tmp_path / "tree"))
    assert found
    assert (found.revision.branch, found.dirty, found.revision.commit_time) == ("side", False, WHEN)
    git(tmp_path, "clone", "-q", "--shared", str(repository), str(tmp_path / "shared"))
    assert completed(Revision(event="push"), str(tmp_path / "shared")).commit_time == WHEN


def test_nothing_there(tmp_path: Path):
    known = Revision(event="push", commit="1" * 40)
    for folder in (tmp_path, tmp_path / "none"):
        assert read_checkout(str(folder)) is None
        assert completed(known, str(folder)) == known
    git(tmp_path, "init", "-q")
    assert read_checkout(str(tmp_path)) is None, "it has no commit"
    (tmp_path / ".git/HEAD").write_text("ref: ../../../etc/passwd\n")
    assert read_checkout(str(tmp_path)) is None


def test_configuration_runs_nothing(repository: Path):
    trap = repository.parent / "trap"
    script = repository.parent / "trap.sh"
    script.write_text(f"#!/bin/sh\necho $0 $* >>{trap}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "core.alternateRefsCommand"):
        git(repository, "config", key, str(script))
    for key in ("filter.x.clean", "filter.x.smudge", "filter.x.process", "diff.x.textconv", "gpg.program"):
        git(repository, "config", key, str(script))
    git(repository, "config", "remote.origin.url", f"ext::{script}")
    git(repository, "config", "extensions.partialClone", "origin")
    (repository / ".gitattributes").write_text("* filter=x diff=x\n")
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman"):
        (repository / ".git/hooks").mkdir(exist_ok=True)
        shutil.copy(script, repository / ".git/hooks" / hook)
    trap.unlink(missing_ok=True)
    os.utime(repository / "app.py", (1, 1))
    found = read_checkout(str(repository))
    assert found
    assert (found.revision.commit_time, found.revision.repository_url) == (WHEN, "")
    completed(Revision(event="push", commit="2" * 40), str(repository))
    assert not trap.exists()


def test_without_git_and_as_another_user(repository: Path):
    script = (
        "import sys; from coopery.ci.checkout import read_checkout; found = read_checkout(sys.argv[1])\n"
        "import os; print(found.revision.commit_time, found.dirty, 'GIT_PYTHON_REFRESH' in os.environ)"
    )
    if os.geteuid() == 0:
        os.chown(repository, 12345, 12345)
        os.chown(repository / ".git", 12345, 12345)
        refused = subprocess.run(["git", "-C", str(repository), "log"], capture_output=True, env={"HOME": "/nowhere"})
        assert b"dubious ownership" in refused.stderr
    environ = {"PATH": "/nowhere", "HOME": "/nowhere", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", script, str(repository)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{WHEN} False False\n", "")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://user:t0ken@git.example/acme/shop.git", "https://git.example/acme/shop"),
        ("https://git.example:8443/acme/shop.git/", "https://git.example:8443/acme/shop"),
        ("http://git.example/acme/shop", "http://git.example/acme/shop"),
        ("ssh://git@git.example:2222/group/sub/shop.git", "https://git.example/group/sub/shop"),
        ("git@git.example:acme/shop.git", "https://git.example/acme/shop"),
        ("git.example:acme/shop", "https://git.example/acme/shop"),
        ("git://git.example/acme/shop.git", "https://git.example/acme/shop"),
        ("https://git.example/acme/shop?token=x#y", "https://git.example/acme/shop"),
        ("/srv/git/shop.git", ""),
        ("../shop", ""),
        ("file:///srv/git/shop.git", ""),
        ("ext::sh -c x", ""),
        ("codecommit::eu-west-1://shop", ""),
        ("javascript://git.example/x", ""),
        ('https://git.example/a"><script>', ""),
        ("https://git.example/a\nb", ""),
        ("https://[::1/x", ""),
        ("https://git.example:99999/x", ""),
        ("", ""),
    ],
)
def test_addresses_for_people(address: str, expected: str):
    assert web_url(address) == expected
