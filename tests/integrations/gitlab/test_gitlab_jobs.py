"""The template's jobs, run by gitlab-ci-local as its users run them, against a registry that wants a password."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitlab_support import TEMPLATE, Project, Ran, captured, missing

import plainoci
import plainregistry
from plainregistry import Registry
from support import bases, registries

USER, PASSWORD = "gitlab-ci-token", "s3cret"
# bcrypt of PASSWORD at cost 5; the registry takes no other kind.
_HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"


@dataclass(frozen=True)
class Locked:
    """A registry with a password, and a window into what it holds."""

    host: str
    inside: Registry

    def seen(self, repository: str, tag: str) -> str:
        """What the image is called by who looks in through the window."""
        return f"{self.inside.host}/{repository}:{tag}"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    if lacking := missing():
        pytest.skip(lacking)
    folder = tmp_path_factory.mktemp("locked")
    (folder / "htpasswd").write_text(_HTPASSWD)
    auth = f'auth: {{htpasswd: {{realm: tests, path: "{folder}/htpasswd"}}}}\n'
    with registries.running_registry(folder) as inside, registries.running_registry(folder, auth) as outside:
        yield Locked(outside.host, inside)


@pytest.fixture
def project(locked: Locked, tmp_path: Path) -> Project:
    """A project as GitLab shows it to its jobs, with the template in it."""
    made = Project(
        tmp_path / "shop",
        {
            "CI_REGISTRY": locked.host,
            "CI_REGISTRY_IMAGE": f"{locked.host}/acme/shop",
            "CI_REGISTRY_USER": USER,
            "CI_REGISTRY_PASSWORD": PASSWORD,
            "CI_COMMIT_REF_PROTECTED": "true",
        },
    )
    made.write({"coopery/template.yml": TEMPLATE.read_text()})
    return made


def pipeline(inputs: Mapping[str, object], **jobs: object) -> str:
    include = [{"local": "coopery/template.yml", "inputs": dict(inputs)}]
    return yaml.safe_dump({"stages": ["build", "deploy"], "include": include, **jobs})


def passed(ran: Ran) -> Ran:
    assert ran.status == 0, ran.log
    return ran


def report(ran: Ran, job: str = "coopery-build") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ran.artifact(job, "coopery-report/report.json").read_text())
    return found


def built(ran: Ran) -> dict[str, Any]:
    """What the report says of the only image."""
    (image,) = report(ran)["images"]
    return image


def variables(ran: Ran, job: str = "coopery-build") -> dict[str, str]:
    text = ran.artifact(job, "coopery-report/build.env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines())


# ------------------------------------------------------------------------------------------------ a whole pipeline


def test_image_is_built_pushed_and_handed_on(project: Project, locked: Locked, base_image: str) -> None:
    """Tags, labels, arguments, secrets of both kinds, the login, the report, and what a later job is told."""
    project.write(
        {
            "app/Dockerfile": f"FROM {base_image}\nARG FLAVOUR\nCOPY hello /hello\n"
            "RUN --mount=type=secret,id=token --mount=type=secret,id=npmrc "
            "echo $FLAVOUR $(wc -c < /run/secrets/token) $(wc -c < /run/secrets/npmrc) > /made\n",
            "app/hello": "hello\n",
            ".gitlab-ci-local-variables.yml": "NPMRC: {type: file, values: {'*': \"in a file\\n\"}}\n",
            ".gitignore": ".gitlab-ci-local-variables.yml\n",
            ".gitlab-ci.yml": pipeline(
                {
                    "context": "app",
                    "tags": "type=ref,event=branch\ntype=sha,format=long\n",
                    "labels": "title=$CI_COMMIT_TITLE\n",
                    "build-args": "FLAVOUR=mint\n",
                    "secrets": "token=API_TOKEN\nnpmrc=NPMRC\n",
                },
                deploy={"stage": "deploy", "script": ['echo "deploying $COOPERY_IMAGE_REF of $COOPERY_VERSION"']},
            ),
        }
    )
    title = 'Say "hello" to $(touch pwned) `id` \' ; rm -rf /'
    commit = project.write({}, title)
    ran = passed(project.run(variables={"API_TOKEN": "hush hush", "CI_COMMIT_TITLE": title}))
    image = locked.seen("acme/shop", "main")
    assert plainregistry.tree(image)["made"].data == b"mint 9 10\n"
    labels = plainregistry.pull(image).config["config"]["Labels"]
    assert labels["title"] == title
    assert labels["org.opencontainers.image.revision"] == commit
    assert labels["org.opencontainers.image.source"] == "https://gitlab.example.com/acme/shop"
    assert sorted(locked.inside.tags("acme/shop")) == ["main", f"sha-{commit}"]
    found = variables(ran)
    assert found["COOPERY_IMAGE"] == f"{locked.host}/acme/shop:main"
    assert f"deploying {locked.host}/acme/shop@{found['COOPERY_DIGEST']} of main" in ran.log
    assert built(ran)["digest"] == found["COOPERY_DIGEST"]
    assert (report(ran)["revision"]["branch"], report(ran)["exit_code"]) == ("main", 0)
    assert "Image pushed" in ran.artifact("coopery-build", "coopery-report/report.md").read_text()
    links = json.loads(ran.artifact("coopery-build", "coopery-report/annotations.json").read_text())
    assert links["Container images"][0]["external_link"]["label"] == found["COOPERY_IMAGE"]
    assert "hush hush" not in ran.log
    assert PASSWORD not in ran.log
    assert "section_start:" in ran.log
    assert not list(project.folder.rglob("pwned"))


def test_steps_are_found_by_the_next_pipeline(project: Project, base_image: str, tmp_path: Path) -> None:
    """In the registry, by a job on another machine; then nothing of the image moves."""
    dockerfile = f"FROM {base_image}\nRUN echo expensive > /made\n"
    project.write({"Dockerfile": dockerfile, ".gitlab-ci.yml": pipeline({"images": "$CI_REGISTRY_IMAGE/found"})})
    first = built(passed(project.run("coopery-build")))
    (tmp_path / "shop-home").rename(tmp_path / "another-machine")
    second = built(passed(project.run("coopery-build")))
    assert (first["cache"]["misses"], second["cache"]["misses"]) == (1, 0)
    assert second["layers"] == first["layers"]


def test_steps_are_kept_in_gitlabs_own_cache(project: Project, base_image: str, tmp_path: Path) -> None:
    """The kept directory lies in the project, and is no part of what COPY takes."""
    dockerfile = f"FROM {base_image}\nCOPY . /src\nRUN ls -A /src > /made\n"
    project.write({"Dockerfile": dockerfile, ".gitlab-ci.yml": pipeline({"cache": "platform", "push": "false"})})
    ran = passed(project.run("coopery-build"))
    first = built(ran)
    assert (ran.state / "builds/coopery-build/.coopery-cache/oci-layout").exists()
    (tmp_path / "shop-home").rename(tmp_path / "another-machine")
    ran = passed(project.run("coopery-build"))
    second = built(ran)
    assert (first["cache"]["misses"], second["cache"]["misses"]) == (2, 0), ran.log
    assert second["layers"] == first["layers"]
    assert not second["pushed"]


# ------------------------------------------------------------------------------------------------ who may push


@pytest.mark.parametrize("push", ["", "true"])
def test_merge_request_of_a_fork_is_built_and_not_pushed(
    push: str, project: Project, locked: Locked, base_image: str, tmp_path: Path
) -> None:
    name = f"fork{push}"
    project.write(
        {
            "Dockerfile": f"FROM {base_image}\nRUN --mount=type=secret,id=token,required=false echo made > /made\n",
            ".gitlab-ci.yml": pipeline(
                {"push": push, "images": f"$CI_REGISTRY_IMAGE/{name}", "secrets": "token=NOT_FOR_FORKS\n"}
            ),
        }
    )
    environ = captured("fork", tmp_path)
    request = {key: value for key, value in environ.items() if key.startswith("CI_MERGE_REQUEST_")}
    source = {"CI_PIPELINE_SOURCE": "merge_request_event", "CI_COMMIT_BRANCH": ""}
    ran = passed(project.run("coopery-build", variables=request | source))
    assert "a fork's merge request" in ran.log
    assert variables(ran)["COOPERY_PUSHED"] == "false"
    assert f"acme/shop/{name}" not in locked.inside.repositories()
    assert f"acme/shop/{name}/cache" not in locked.inside.repositories()


def test_wrong_password_ends_the_job_before_it_builds(project: Project, base_image: str) -> None:
    project.write({"Dockerfile": f"FROM {base_image}\nRUN echo made\n", ".gitlab-ci.yml": pipeline({})})
    ran = project.run("coopery-build", variables={"CI_REGISTRY_PASSWORD": "mistyped"})
    assert ran.status != 0
    assert "CI_REGISTRY_PASSWORD" in ran.log
    assert "mistyped" not in ran.log
    assert ran.artifact("coopery-build", "coopery-report/build.env").read_text() == ""
    assert report(ran)["exit_code"] == 7


# ------------------------------------------------------------------------------------------------ attacks


def test_hostile_names_do_nothing_but_name(project: Project, locked: Locked, base_image: str) -> None:
    """Branches, tags' texts, messages, titles, files and output that would be commands, markers or variables."""
    evil = "evil\r\033[0Ksection_end:1:a\r\033[0K\033[0Ksection_start:1:forged\r\033[0K"
    project.branch("x$(touch${IFS}pwned)`id`\";'&&,type=raw")
    project.write(
        {
            "Docker $(touch pwned)file": f"FROM {base_image}\nCOPY . /src\n"
            "RUN printf 'A\\r\\033[0Ksection_start:1:forged\\r\\033[0KB\\nCOOPERY_IMAGE=forged\\n' && cat /src/odd*\n"
            f'LABEL odd="{evil}"\nRUN echo {evil!r} | cat\n',
            "odd $(touch pwned)\r\033[0Ksection_start:1:forged\r\033[0K": evil,
            ".gitlab-ci.yml": pipeline(
                {
                    "file": "Docker $(touch pwned)file",
                    "images": "$CI_REGISTRY_IMAGE/hostile",
                    "tags": "type=ref,event=branch\ntype=raw,value=on-{{branch}}\n",
                    "labels": "title=$CI_COMMIT_TITLE\nrequest=$CI_MERGE_REQUEST_TITLE\n",
                },
                deploy={"stage": "deploy", "script": ['printf "%s\\n" "deploying $COOPERY_IMAGE"']},
            ),
        },
        evil,
    )
    hostile = {
        "CI_COMMIT_TITLE": evil,
        "CI_MERGE_REQUEST_TITLE": f"{evil}::error::",
        "CI_COMMIT_DESCRIPTION": "a\nb=c\n",
    }
    ran = passed(project.run(variables=hostile))
    assert not [path for path in project.folder.parent.rglob("*pwned") if "touch" not in path.name]
    assert len(set(sections(ran.log))) == 1, sections(ran.log)
    found = variables(ran)
    assert f"deploying {found['COOPERY_IMAGE']}" in ran.log
    assert found["COOPERY_IMAGE"].startswith(f"{locked.host}/acme/shop/hostile:")
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", tag) for tag in locked.inside.tags("acme/shop/hostile"))
    assert "latest" not in locked.inside.tags("acme/shop/hostile")


def sections(log: str) -> list[str]:
    """The names of the sections that GitLab sees in a log (lib/gitlab/regex.rb, build_trace_section_regex)."""
    return re.findall(r"section_(?:start|end):\d+:([a-zA-Z0-9_.-]+)(?:\[[^\]]*\])?\r\033\[0K", log)


def test_errors_make_no_sections(project: Project, base_image: str) -> None:
    """Neither the excerpt of a Dockerfile nor a step's last words nor an input's text."""
    evil = "\r\033[0Ksection_start:1:forged\r\033[0K"
    step = f"RUN printf '{evil}\\r\\033[0Ksection_end:1:forged\\r\\033[0K\\n' >&2; false # {evil}\n"
    project.write({"Dockerfile": f"FROM {base_image}\n{step}", ".gitlab-ci.yml": pipeline({"target": "$TARGET"})})
    for target in ("", f"x{evil}"):
        ran = project.run("coopery-build", variables={"TARGET": target})
        assert ran.status != 0
        assert "forged" not in sections(ran.log), ran.log
        assert report(ran)["exit_code"] > 1


def test_entries_from_outside_are_refused(project: Project, base_image: str) -> None:
    message = "Fix it\ntype=raw,value=latest"
    inputs = {"tags": "type=raw,value=$CI_COMMIT_MESSAGE\n"}
    project.write({"Dockerfile": f"FROM {base_image}\n", ".gitlab-ci.yml": pipeline(inputs)})
    ran = project.run("coopery-build", variables={"CI_COMMIT_MESSAGE": message})
    assert ran.status != 0
    assert "the input tags uses $CI_COMMIT_MESSAGE" in ran.log


# ------------------------------------------------------------------------------------------------ platforms


def test_platforms_in_jobs_of_their_own_are_joined(project: Project, locked: Locked, base_image: str) -> None:
    """This machine's part is built by the matrix; the other one's is there already, as from another runner."""
    own, other = ("amd64", "arm64") if plainoci.architecture() == "amd64" else ("arm64", "amd64")
    commit = project.write(
        {
            "Dockerfile": f"FROM {base_image}\nRUN echo made > /made\n",
            ".gitlab-ci.yml": pipeline(
                {
                    "images": "$CI_REGISTRY_IMAGE/joined",
                    "tags": "1.0\n",
                    "platforms": "linux/amd64\nlinux/arm64\n",
                    "per-platform": True,
                    "matrix": [{"PLATFORM": f"linux/{own}", "RUNNER": own}],
                }
            ),
        }
    )
    elsewhere = plainoci.image([plainoci.layer({"made": plainoci.file("made\n")})], arch=other)
    plainregistry.push(elsewhere, locked.seen("acme/shop/joined", f"coopery-part.{commit[:12]}.linux-{other}"))
    ran = passed(project.run())
    data, _ = locked.inside.manifest("acme/shop/joined", "1.0")
    assert {entry["platform"]["architecture"] for entry in json.loads(data)["manifests"]} == {"amd64", "arm64"}
    merged = variables(ran, "coopery-build-merge")
    assert merged["COOPERY_IMAGE"] == f"{locked.host}/acme/shop/joined:1.0"
    assert merged["COOPERY_DIGEST"] == plainoci.sha256(data)


# ------------------------------------------------------------------------------------------------ where it comes from


def test_command_is_installed_where_the_image_lacks_it(project: Project, tmp_path: Path) -> None:
    """`install` is what pip is given, whatever characters there are in it."""
    wheel = tmp_path / "a $(touch pwned) b/coopery-9.9-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("stand_in.py", "import sys\ndef main(): print('installed:', *sys.argv[1:])\n")
        info = "coopery-9.9.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: coopery\nVersion: 9.9\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\ncoopery = stand_in:main\n")
        archive.writestr(f"{info}/RECORD", "")
    project.write({".gitlab-ci.yml": pipeline({"install": str(wheel)})})
    ran = passed(project.run("coopery-build"))
    assert "installed: ci build" in ran.log
    assert not list(tmp_path.rglob("pwned"))


@pytest.fixture(autouse=True)
def need_busybox() -> None:
    if not bases.BUSYBOX.exists():
        pytest.skip("needs busybox-static")
