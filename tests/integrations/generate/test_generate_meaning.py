"""What pipelines mean: each is read as its platform and its adapter would, and has to come to what was asked for."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import github_runner
import pytest
import yaml
from generate_cases import ENDINGS, Case, pipelines
from gitlab_support import _text, captured, extended, interpolated
from test_generate_checkers import calls, merged

from coopery.ci.intents import intents
from coopery.ci.logins import login_origins, make_logins
from coopery.ci.platform import Platform
from coopery.ci.secrets import SecretStore
from coopery.ci.settings import Settings
from coopery.ci.sources import read_settings
from coopery.generate.plan import Plan, make_plan
from coopery_buildkite import Buildkite
from coopery_github import GitHub
from coopery_gitlab import GitLab
from coopery_jenkins import Jenkins

CAPTURES = Path(__file__).parents[1] / "environments"
WHEN = 1772600767
TITLES = {adapter.name: adapter.title for adapter in (Buildkite, GitHub, GitLab, Jenkins)}
#: What stored credentials are here.
STORED = {
    f"{names}_{part}": f"{names.lower()} {part.lower()}"
    for names in ("GHCR", "GITLAB_REGISTRY", "DOCKERHUB", "REGISTRY", "REGISTRY2")
    for part in ("USERNAME", "TOKEN")
}
STORED |= {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "keys"}
#: A job of a pipeline: what it does, its adapter, and the variables that it has.
Job = tuple[str, Platform, Mapping[str, str]]


def token(audience: str) -> str:
    claims = {"aud": audience, "exp": time.time() + 600, "sub": "x"}
    parts = ({"alg": "RS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJlLXRoYXQtaXMtbm9uZQ"])


# ------------------------------------------------------------------------------------------------ the platforms


def github(case: Case, folder: Path) -> Iterator[Job]:
    action = yaml.safe_load((github_runner.ACTION / "action.yml").read_text())
    for job in yaml.safe_load(case.text)["jobs"].values():
        for matrix in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
            step = job["steps"][-1]
            context = {"secrets": STORED, "vars": STORED, "github": {"repository": "Acme/Shop"}, "matrix": matrix}
            inputs = {name: entry.get("default", "") for name, entry in action["inputs"].items()} | step["with"]
            inputs = {name: evaluated(value, context) for name, value in inputs.items()}
            environ = github_runner.environment("push", folder) | {"COOPERY_INPUTS": json.dumps(inputs)}
            environ |= {"ACTIONS_RUNTIME_TOKEN": "token", "ACTIONS_RESULTS_URL": "https://results.example/"}
            environ |= {name: evaluated(value, context) for name, value in step.get("env", {}).items()}
            if "id-token" in job["permissions"]:
                environ |= {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"}
            yield inputs["mode"], GitHub(environ), environ


def evaluated(text: str, context: Mapping[str, Any]) -> str:
    """`text` with the few kinds of expressions that there are in their places."""

    def value(match: re.Match[str]) -> str:
        function, where, name = re.fullmatch(r"(toJSON\()?(\w+)\.(\w+)\)?", match[1].strip()).groups()  # type: ignore[union-attr]
        if (where, name) == ("github", "token"):
            return "ghs_token"
        return json.dumps(context[where][name]) if function else str(context[where][name])

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


def gitlab(case: Case, folder: Path) -> Iterator[Job]:
    pipeline = yaml.safe_load(case.text)
    (include,) = pipeline.pop("include")
    jobs = merged(interpolated(include["inputs"]), pipeline)
    for name in ("coopery-build", "coopery-build-merge"):
        job = extended(jobs, name)
        if job["rules"] == [{"when": "never"}]:
            continue
        assert len(job["rules"]) == 3
        for matrix in job.get("parallel", {}).get("matrix", [{}]):
            assert not matrix or job["tags"] == ["$RUNNER"]
            environ = captured("push", folder) | STORED
            environ |= {name: expanded(_text(value), environ | matrix) for name, value in job["variables"].items()}
            environ |= {name: token(entry["aud"]) for name, entry in job["id_tokens"].items()}
            yield job["script"][-1].split(" ")[-1], GitLab(environ), environ


def expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ""), text)


def buildkite(case: Case, folder: Path) -> Iterator[Job]:
    for step in yaml.safe_load(case.text)["steps"]:
        ((_, configuration),) = step["plugins"][0].items()
        for word in step.get("matrix", [""]):
            told = json.dumps(configuration).replace("{{matrix}}", word)
            environ = json.loads((CAPTURES / "buildkite/push.json").read_text())["environ"]
            environ |= {"BUILDKITE_PLUGIN_CONFIGURATION": told, "COOPERY_BUILDKITE_PLUGIN": "1", "PATH": "/nowhere"}
            environ.pop("BUILDKITE_BIN_PATH", None)
            environ |= {name: STORED[name] for name in step.get("secrets", [])}
            environ |= {name: value for name, value in STORED.items() if not name.startswith("AWS")}  # of the cluster
            if "cache" in step:
                environ["COOPERY_CACHE_VOLUME"] = str(folder)
            yield configuration.get("mode", "build"), Buildkite(environ), environ


def jenkins(case: Case, folder: Path, called: list[dict[str, Any]]) -> Iterator[Job]:
    for call in called:
        environ = json.loads((CAPTURES / "jenkins/push.json").read_text())["environ"]
        facts = {"causes": [], "default-branch": "", "commit": "", "bound": call["bound"]}
        environ |= {"COOPERY_INPUTS": json.dumps(call["settings"]), "COOPERY_JENKINS": json.dumps(facts)}
        for bound in call["bound"]:
            for part, variable in bound["variables"].items():
                names = bound["credential"].upper().replace("-", "_")
                secret = {"username": f"{names}_USERNAME", "password": f"{names}_TOKEN"}.get(part)
                environ[variable] = STORED[secret] if secret else token(bound["name"])
            if bound["kind"] == "aws":
                environ |= {name: STORED[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        yield "merge" if call["step"] == "cooperyMerge" else "build", Jenkins(environ), environ


@pytest.fixture(scope="module")
def jenkins_calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    return calls(tmp_path_factory.mktemp("jenkinsfiles"))


# ------------------------------------------------------------------------------------------------ what they mean


@pytest.mark.parametrize("platform", ENDINGS)
def test_pipelines_do_what_was_asked(platform: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    readers = {"github-action": github, "gitlab": gitlab, "buildkite": buildkite}
    called = request.getfixturevalue("jenkins_calls") if platform == "jenkins" else {}
    for case in pipelines(platform):
        plan = make_plan(case.wish, platform, TITLES[platform])
        jobs = list(jenkins(case, tmp_path, called[case.id]) if called else readers[platform](case, tmp_path))
        try:
            check(case, plan, jobs)
        except BaseException as error:
            raise AssertionError(f"{case.id}: {type(error).__name__}: {error}\n\n{case.text}") from error


def check(case: Case, plan: Plan, jobs: list[Job]) -> None:
    modes = [mode for mode, _, _ in jobs]
    several = len(case.wish.platforms) > 1
    if several and plan.platform != "jenkins":
        assert modes == ["build"] * len(case.wish.platforms) + ["merge"]
    elif not several:
        assert modes == ["build"]
    parts = []
    for mode, adapter, environ in jobs:
        settings = read_settings(environ=environ, inputs=adapter.inputs(), inputs_from=adapter.title, flags={})
        parts += [settings.only_platform] * bool(settings.only_platform)
        check_target(case, plan, settings, mode == "merge")
        check_logins(plan, settings, adapter, environ)
        (intent,) = intents(settings, adapter.revision(), adapter, now=WHEN, merging=mode == "merge")
        assert intent.push
        if mode == "build" and not several:
            homes = {place.images[0]: environ.get("CI_REGISTRY_IMAGE") for place in plan.logging_in_by("job")}
            images = [homes.get(image) or image for image in plan.images]
            assert set(intent.names) == {f"{image}:{tag}" for image in images for tag in ("main", "sha-6f1c0f4")}
        if mode == "build":
            check_cache(plan, intent.cache.sources)
    assert len(parts) == (len(case.wish.platforms) if several and plan.platform != "jenkins" else len(parts))


def check_target(case: Case, plan: Plan, settings: Settings, merging: bool) -> None:
    (target,) = settings.targets
    homes = {place.images[0] for place in plan.places if place.login == "job"}
    assert len(target.images) == (len(plan.images) if len(plan.images) > 1 or not homes else 0)
    assert set(target.images) >= {image for image in plan.images if image not in homes}
    assert target.platforms == case.wish.platforms
    assert target.cache == case.wish.cache or merging
    assert target.tags == plan.tags
    assert target.push == "auto"


def check_logins(plan: Plan, settings: Settings, adapter: Platform, environ: Mapping[str, str]) -> None:
    store = SecretStore(adapter, environ, lambda _: None)
    logins = make_logins(settings.registries, adapter, store)
    origins = {origin.place: origin for origin in login_origins(settings.registries, adapter, store)}
    for place in plan.places:
        path = place.images[0].partition("/")[2]
        credential = None if place.login in ("aws-role", "connection", "aws-keys") else logins.push[0]
        if place.login == "password":
            found = [provider.get(place.host, path) for provider in logins.push if hasattr(provider, "get")]
            assert STORED[place.token] in [each.password for each in found if each], (place.host, credential)
            assert STORED[place.username] in [each.username for each in found if each]
        elif place.login in ("aws-role", "connection"):
            assert "OIDC" in origins[place.host].origin
            audience = "sts.amazonaws.com" if place.login == "aws-role" else "https://identity.docker.com"
            if plan.platform in ("gitlab", "jenkins"):
                assert adapter.identity_token(audience)
            elif plan.platform == "github-action":
                assert "ACTIONS_ID_TOKEN_REQUEST_URL" in environ
        elif place.login == "aws-keys":
            assert environ["AWS_SECRET_ACCESS_KEY"] == "keys"
            assert place.host not in origins
        else:
            assert adapter.credentials()
    if plan.keyless:
        assert not [entry for entry in settings.registries.values() if entry.password]
        assert not [origin for origin in origins.values() if origin.group == "password"]


def check_cache(plan: Plan, sources: tuple[str, ...]) -> None:
    kind = {"auto": "", "platform": "gha" if plan.platform == "github-action" else "local", "registry": "registry"}
    if plan.cache in ("none", "local") and plan.platform != "jenkins":
        assert sources == ()
    elif plan.cache != "none":
        assert sources and all(f"type={kind.get(plan.cache, 'local')}" in source for source in sources)
    if plan.cache == "registry" and plan.places[0].login != "job":
        assert f"ref={plan.registry_cache}:" in sources[0]
    for source in sources:
        assert "docker.io/acme/shop/" not in source, "Docker Hub's names have two parts"
