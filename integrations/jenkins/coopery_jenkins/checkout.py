"""The head of a change, where Jenkins checked out a merge of it."""

from __future__ import annotations

import os
from collections.abc import Mapping

#: Who commits the merges that branch sources make for a job (MergeWithGitSCMExtension of their plugins).
_MERGER = "nobody@nowhere"


def workspace(environ: Mapping[str, str]) -> str:
    """The directory to look in: the present one inside the workspace, or else the workspace; empty if there is none."""
    top = environ.get("WORKSPACE", "")
    if not top or not os.path.isdir(top):
        return ""
    here = os.path.realpath(os.curdir)
    return here if here.startswith(os.path.realpath(top) + os.sep) else top


def change_head(directory: str, branch: str) -> str:
    """The head of the change that is checked out in `directory`; empty if that can't be told.

    `branch` is Jenkins' name for the change (`PR-7`), which its head was fetched as. Branch sources merge the target
    into that head, so that it is the first parent of what they check out. Git is read without running it: a build
    container may lack it, or be another user than the one whom the workspace belongs to.
    """
    if not directory:
        return ""
    before = os.environ.get("GIT_PYTHON_REFRESH")
    os.environ["GIT_PYTHON_REFRESH"] = "quiet"  # else GitPython can't be imported where git is missing
    try:
        from git import Repo
        from git.db import GitDB
        from git.refs.symbolic import SymbolicReference

        with Repo(directory, odbt=GitDB, search_parent_directories=True, expand_vars=False) as repository:
            head = repository.head.commit
            try:
                fetched = str(SymbolicReference(repository, f"refs/remotes/origin/{branch}").commit.hexsha)
            except ValueError:
                fetched = ""
            parents = [parent.hexsha for parent in head.parents]
            if fetched in parents:
                return fetched
            return parents[0] if len(parents) == 2 and head.committer.email == _MERGER else str(head.hexsha)
    except Exception:  # malformed repositories make the libraries raise all kinds of errors; then it isn't known
        return ""
    finally:
        if before is None:
            del os.environ["GIT_PYTHON_REFRESH"]
        else:
            os.environ["GIT_PYTHON_REFRESH"] = before
