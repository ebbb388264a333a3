"""`coopery ci` with caches in an object store: named by the settings, reached by what the job's environment has."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.ci_jobs import Jobs
from support.command import Coopery
from support.object_stores import ObjectStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


def test_the_next_agent_finds_the_steps(
    object_store: Callable[[str], ObjectStore], base_image: str, tmp_path: Path
) -> None:
    store = object_store("s3")
    cache = f"{store.spec},prefix={os.urandom(4).hex()},mode=max"
    settings = (
        f"build-contexts: {{base: 'docker-image://{base_image}'}}\ncache-from: ['{cache.replace(',mode=max', '')}']\n"
    )
    project = tmp_path / "project"
    project.mkdir()
    found = []
    for agent in ("one", "two"):
        jobs = Jobs(Coopery(tmp_path / agent / "home"), project)
        jobs.write(Dockerfile="FROM base\nRUN date +%N > /made\n", coopery_yaml=f"{settings}cache-to: ['{cache}']\n")
        done = jobs("build", env=dict(store.env))
        assert store.env["AWS_SECRET_ACCESS_KEY"] not in done.output + json.dumps(done.all("report"))
        assert store.env["AWS_SECRET_ACCESS_KEY"] in done.all("mask")
        found.append([step["outcome"] for step in done.report["images"][0]["steps"] if "RUN" in step["name"]])
    assert found == [["done"], ["cached"]]


def test_secrets_in_the_settings_are_not_shown(tmp_path: Path, coopery: Coopery) -> None:
    project = tmp_path / "project"
    project.mkdir()
    jobs = Jobs(coopery, project)
    cache = "type=s3,bucket=b,region=r,access_key_id=i,secret_access_key=hush-hush"
    jobs.write(Dockerfile="FROM scratch\nCOPY . /\n", coopery_yaml=f"cache-from: ['{cache}']\n")
    for form in ([], ["--format", "json"]):
        shown = jobs("build", "--dry-run", *form).output
        assert "bucket=b" in shown
        assert "hush" not in shown
