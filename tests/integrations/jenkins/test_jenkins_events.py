"""Changes, merges, failures and hostile names, in pipelines that really build."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import pytest
from jenkins_builders import PASSWORD, SECRETS, USER, commit, pushed, scripted, told
from jenkins_pipelines import LIBRARY, Agent

from plainregistry import Registry


def test_a_forks_change_is_built_without_secrets_and_not_pushed(builder: Agent, guarded: Registry) -> None:
    builder.environ |= {
        "BRANCH_NAME": "PR-8",
        "CHANGE_ID": "8",
        "CHANGE_BRANCH": "patch-1",
        "CHANGE_FORK": "mallory",
        "CHANGE_TARGET": "main",
    }
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/acme/shop', push: true, secrets: [token: 'token'],"
            f"registries: [[host: '{guarded.host}', credentialsId: 'login']]"
        )
    )
    assert done.returned["pushed"] is False
    assert not pushed(guarded.host, "acme/shop:pr-8")
    assert "its steps get no secrets: token" in done.log
    assert "a change from the fork mallory" in done.log
    assert not [name for name in done.variables() if name.startswith("COOPERY_BOUND_1")]


def test_the_head_of_a_change_is_what_an_image_of_its_merge_is_called(builder: Agent, guarded: Registry) -> None:
    head = builder.environ["GIT_COMMIT"]
    run = ["git", "-C", str(builder.workspace), "-c", "user.name=Jenkins", "-c", "user.email=nobody@nowhere"]
    subprocess.run([*run, "checkout", "--quiet", "-b", "target", "--orphan", "target"], check=False)
    subprocess.run([*run, "checkout", "--quiet", "--orphan", "target"], check=False)
    target = commit(builder.workspace, "Two")
    subprocess.run([*run, "checkout", "--quiet", "--detach", head], check=True)
    merge = [*run, "merge", "--quiet", "--no-ff", "--allow-unrelated-histories", "-m", "Merge", target]
    subprocess.run(merge, check=True, capture_output=True)
    shown = subprocess.run([*run, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    builder.environ |= {
        "BRANCH_NAME": "PR-7",
        "CHANGE_ID": "7",
        "CHANGE_BRANCH": "feat/search",
        "CHANGE_TARGET": "main",
    }
    builder.environ["GIT_COMMIT"] = shown.stdout.strip()
    assert builder.environ["GIT_COMMIT"] not in (head, target)
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/acme/shop', push: true, tags: ['type=ref,event=pr', 'type=sha'],"
            f"registries: [[host: '{guarded.host}', credentialsId: 'login']]"
        )
    )
    assert done.returned["commit"] == head
    assert pushed(guarded.host, "acme/shop:pr-7") == pushed(guarded.host, f"acme/shop:sha-{head[:7]}") != ""


def test_a_build_that_fails_fails_the_job_and_leaves_its_report(builder: Agent) -> None:
    (builder.workspace / "Dockerfile").write_text("FROM scratch\n\nCOPY nowhere /\n")
    done = builder.run(scripted("image: 'registry.example/x', push: false"), check=False)
    assert done.aborted
    assert done.error is not None
    assert done.error.startswith("Coopery: ")
    assert "nowhere" in done.error
    assert "Build failed" in done.archived["coopery/report.md"]
    assert json.loads(done.archived["coopery/report.json"])["exit_code"] == 4
    result = json.loads(done.archived["issues"])["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "Dockerfile"
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 3
    assert done.called("publishChecks")[0][0]["conclusion"] == "FAILURE"
    assert [path for path in done.left if "coopery-" in path] == []


HOSTILE = [
    "$(touch pwned)`touch pwned`",
    "a'; touch pwned; '",
    'b"; touch pwned; "',
    "x${env.PATH}\\u0024{currentBuild}",
    "-rf",
    "::add-mask::x<script>|\n\r\x1b]0;owned\x07",
]


@pytest.mark.parametrize("branch", HOSTILE[::2])
def test_names_that_others_choose_give_no_orders(builder: Agent, guarded: Registry, branch: str) -> None:
    for text in HOSTILE:
        (builder.workspace / text.replace("/", "")).write_text("x")
    builder.environ |= {
        "BRANCH_NAME": branch,
        "CHANGE_TITLE": branch,
        "CHANGE_AUTHOR": branch,
        "GIT_COMMIT": commit(builder.workspace, branch),
        "TAG_NAME": branch,
        **{f"HOSTILE_{number}": text for number, text in enumerate(HOSTILE)},
    }
    (builder.workspace / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    numbers = range(len(HOSTILE))
    done = builder.run(
        "@Library('coopery') _\nnode {\n"
        f"    give cooperyBuild(image: '{guarded.host}/acme/shop', tags: ['ok'], file: 'Dockerfile',\n"
        f"        labels: [{', '.join(f'l{number}: env.HOSTILE_{number}' for number in numbers)}],\n"
        f"        buildArgs: [{', '.join(f'A{number}: env.HOSTILE_{number}' for number in numbers)}],\n"
        f"        registries: [[host: '{guarded.host}', credentialsId: 'login']])\n}}\n",
    )
    assert not [path for path in done.left if path.endswith("pwned")]
    scripts = {call["arguments"][0]["script"] for call in done.calls if call["step"] == "sh"}
    assert scripts == {(LIBRARY / "resources" / "coopery" / "run.sh").read_text()}
    assert [done.returned["labels"][f"l{number}"] for number in numbers] == HOSTILE
    assert "\x1b]0;" not in done.log


def retell(host: str, repository: str, tag: str, other: str, architecture: str) -> None:
    """Pushes the image `tag` once more under the name `other`, as one for another architecture."""
    import requests

    url, login = f"http://{host}/v2/{repository}", (USER, PASSWORD)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    manifest = requests.get(f"{url}/manifests/{tag}", headers=accept, auth=login, timeout=20).json()
    config = requests.get(f"{url}/blobs/{manifest['config']['digest']}", auth=login, timeout=20).json()
    blob = json.dumps({**config, "architecture": architecture}).encode()
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    place = requests.post(f"{url}/blobs/uploads/", auth=login, timeout=20).headers["Location"]
    requests.put(f"{place}&digest={digest}", data=blob, auth=login, timeout=20).raise_for_status()
    manifest["config"] |= {"digest": digest, "size": len(blob)}
    kind = {"Content-Type": accept["Accept"]}
    data = json.dumps(manifest)
    requests.put(f"{url}/manifests/{other}", headers=kind, data=data, auth=login, timeout=20).raise_for_status()


def test_parts_of_two_platforms_are_merged(builder: Agent, guarded: Registry) -> None:
    import requests

    shop = f"""[
        image: '{guarded.host}/acme/shop', tags: ['both'], platforms: ['linux/amd64', 'linux/arm64'],
        registries: [[host: '{guarded.host}', credentialsId: 'login']],
    ]"""
    here, there = ("amd64", "arm64") if os.uname().machine == "x86_64" else ("arm64", "amd64")
    part = builder.run(scripted(f"{shop} + [onlyPlatform: 'linux/{here}', name: '{here}']")).returned["tags"][0]
    tag = part.rpartition(":")[2]
    retell(guarded.host, "acme/shop", tag, tag.replace(here, there), there)  # what an agent of that kind would push
    done = builder.run(scripted(shop, "cooperyMerge"))
    assert sorted(done.returned["platforms"]) == ["linux/amd64", "linux/arm64"]
    accept = {"Accept": "application/vnd.oci.image.index.v1+json"}
    url = f"http://{guarded.host}/v2/acme/shop/manifests/both"
    index = requests.get(url, headers=accept, auth=(USER, PASSWORD), timeout=20)
    assert index.headers["Docker-Content-Digest"] == done.returned["digest"]
    assert {each["platform"]["architecture"] for each in index.json()["manifests"]} == {"amd64", "arm64"}
    told(done, [PASSWORD])


def test_a_dry_run_shows_what_would_be_done(builder: Agent, guarded: Registry) -> None:
    done = builder.run(
        scripted(
            f"image: '{guarded.host}/acme/shop', tags: ['dry'], dryRun: true, secrets: [npm: 'token'],"
            f"registries: [[host: '{guarded.host}', credentialsId: 'login']]"
        )
    )
    assert f"{guarded.host}/acme/shop:dry" in done.log
    assert not pushed(guarded.host, "acme/shop:dry")
    told(done, [PASSWORD, SECRETS["token"]["value"]])
