"""A kaniko job of GitLab's, migrated by the command and run by gitlab-ci-local against a registry with a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gitlab_support import TEMPLATE, Project, missing

import plainregistry
from support import registries
from support.command import Coopery

USER, PASSWORD = "gitlab-ci-token", "s3cret"
# bcrypt of PASSWORD at cost 5; the registry takes no other kind.
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"

PIPELINE = r"""
stages: [image, use]

build-image:   # by kaniko
  stage: image
  image:
    name: gcr.io/kaniko-project/executor:v1.23.2-debug
    entrypoint: [""]
  before_script:
    - mkdir -p /kaniko/.docker
    - echo "{\"auths\":{\"${CI_REGISTRY}\":{\"auth\":\"$(printf "%s:%s" "${CI_REGISTRY_USER}" "${CI_REGISTRY_PASSWORD}" | base64 | tr -d '\n')\"}}}" > /kaniko/.docker/config.json
  script:
    - echo prepared > app/prepared
    - >-
      /kaniko/executor --context "${CI_PROJECT_DIR}/app" --dockerfile "${CI_PROJECT_DIR}/app/Dockerfile.prod"
      --destination "${CI_REGISTRY_IMAGE}:${CI_COMMIT_SHORT_SHA}" --destination "${CI_REGISTRY_IMAGE}:latest"
      --build-arg "WHO=$FRIEND" --label "title=for \$5" --label vendor=Acme --cache=true --snapshot-mode=redo
    - echo "after the build"
  variables:
    FRIEND: the world

use:
  stage: use
  script: [echo "it is $COOPERY_IMAGE_REF"]
"""  # noqa: E501 - as people have it


def test_a_kaniko_job_builds_and_pushes(base_image: str, coopery: Coopery, tmp_path: Path) -> None:
    if lacking := missing():
        pytest.skip(lacking)
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = f'auth: {{htpasswd: {{realm: tests, path: "{folder}/htpasswd"}}}}\n'
    (tmp_path / ".gitlab-ci.yml").write_text(PIPELINE)
    migrated = coopery("migrate", tmp_path / ".gitlab-ci.yml")
    assert "Not needed: --snapshot-mode=redo" in migrated.stderr
    # Nothing but this machine can be reached: the same template by another way, and no installation.
    text = migrated.stdout.replace(
        "remote: https://raw.githubusercontent.com/OWNER/coopery/COMMIT/integrations/gitlab/template.yml",
        "local: template.yml",
    )
    lines = [line for line in text.splitlines() if not line.strip().startswith("install:")]
    with registries.running_registry(folder) as inside, registries.running_registry(folder, auth) as outside:
        image = f"{outside.host}/acme/shop"
        project = Project(
            tmp_path / "shop",
            {
                "CI_REGISTRY": outside.host,
                "CI_REGISTRY_IMAGE": image,
                "CI_REGISTRY_USER": USER,
                "CI_REGISTRY_PASSWORD": PASSWORD,
            },
        )
        project.write(
            {
                ".gitlab-ci.yml": "\n".join(lines) + "\n",
                "template.yml": TEMPLATE.read_text(),
                "app/Dockerfile.prod": f"FROM {base_image}\nARG WHO\nCOPY prepared /\nRUN echo hello $WHO > /made\n",
            }
        )
        ran = project.run()
        assert ran.status == 0, ran.log
        assert 'Not needed: echo "after the build"' in migrated.stderr
        (report,) = json.loads(ran.artifact("build-image", "coopery-report/report.json").read_text())["images"]
        assert report["pushed"] and {name.rpartition(":")[2] for name in report["names"]} >= {"latest"}
        assert f"it is {image}@{report['digest']}" in ran.log
        seen = f"{inside.host}/acme/shop:latest"
        tree = plainregistry.tree(seen)
        assert (tree["made"].data, tree["prepared"].data) == (b"hello the world\n", b"prepared\n")
        labels = plainregistry.pull(seen).config["config"]["Labels"]
        assert (labels["title"], labels["vendor"]) == ("for $5", "Acme")
        assert inside.tags("acme/shop/cache")
        assert PASSWORD not in ran.log
