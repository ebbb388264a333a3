"""The parts of `coopery ci` that need no build: platforms, secrets, logins, names, what is pushed, previews."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from coopery.ci.intents import Intent, intents
from coopery.ci.local import Local
from coopery.ci.logins import login_origins, make_logins
from coopery.ci.parts import PREFIX, chosen_targets, part_names, part_tag
from coopery.ci.platform import CacheChoice, CacheWish, SecretSource
from coopery.ci.platforms import find_platform
from coopery.ci.preview import as_json, as_text, preview
from coopery.ci.registries import reaching
from coopery.ci.requests import make_request
from coopery.ci.revision import Revision
from coopery.ci.run import Masks
from coopery.ci.secrets import SecretStore, build_secrets
from coopery.ci.settings import RegistryEntry, SecretName, Settings, Target
from coopery.ci.written import Faults
from coopery.errors import EnvironmentUnsuitable, UsageError
from coopery.oci.platform import host
from coopery.oci.reference import Reference
from coopery.registry.settings import registry_settings
from support.ci_jobs import COMMIT, FAKE, PUSH

NOW = 1772600767
MAIN = Revision(**PUSH)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the fake platform for a job; its class is found where its entry point says."""
    monkeypatch.syspath_prepend(str(FAKE))

    def make(**job: Any) -> Any:
        path = tmp_path / "job.json"
        path.write_text(json.dumps(job))
        return find_platform({"FAKE_CI_JOB": str(path), "FAKE_CI_TOLD": str(tmp_path / "told")}, pytest.fail)

    yield make
    sys.modules.pop("fakeci", None)


def store_of(platform: Any, environ: Mapping[str, str] | None = None) -> SecretStore:
    return SecretStore(platform, environ or {}, lambda value: None)


# ------------------------------------------------------------------------------------------------ platforms


def test_the_platform_is_recognised(fake: Any) -> None:
    assert fake().name == "fakeci"
    assert isinstance(find_platform({}, pytest.fail), Local)
    assert isinstance(find_platform({"FAKE_CI_JOB": "x", "COOPERY_CI": "local"}, pytest.fail), Local)
    with pytest.raises(UsageError, match="no such CI platform") as caught:
        find_platform({"COOPERY_CI": "fake-ci"}, pytest.fail)
    assert caught.value.hint == "did you mean fakeci?"


def test_an_adapter_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[coopery.platforms]\nbroken = no_such_module_at_all:Adapter\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    said: list[str] = []
    assert isinstance(find_platform({}, said.append), Local)
    assert len(said) == 1 and "broken" in said[0]
    with pytest.raises(EnvironmentUnsuitable, match="broken"):
        find_platform({"COOPERY_CI": "broken"}, said.append)


# ------------------------------------------------------------------------------------------------ secrets and logins


def test_secrets_come_from_the_platform_first(fake: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("from a file\n")
    platform = fake(secrets={"ONE": "platform", "FILE": {"file": str(path)}})
    masked: list[str] = []
    store = SecretStore(platform, {"ONE": "variable", "TWO": "variable", "EMPTY": ""}, masked.append)
    assert [store.text(name) for name in ("ONE", "TWO", "FILE", "EMPTY")] == ["platform", "variable", "from a file", ""]
    assert masked == ["platform", "variable", "from a file"]
    assert store.plain("nobody") == "nobody" and "nobody" not in masked


def test_a_user_that_cannot_be_a_name_is_not_asked_for(fake: Any) -> None:
    asked: list[str] = []

    class Asked:
        def secret(self, name: str) -> SecretSource | None:
            asked.append(name)
            return SecretSource(value=f"value of {name}")

    store = SecretStore(cast(Any, Asked()), {}, lambda value: None)
    literal = ("me@example.com", "robot$push", "00000000-0000-0000-0000-000000000000")
    assert [store.plain(name) for name in literal] == list(literal) and not asked
    assert store.plain("USER_NAME") == "value of USER_NAME"
    assert store.plain("user of the credential x-1") == "value of user of the credential x-1"


def test_values_reach_the_engine_under_names_nobody_else_has(fake: Any, tmp_path: Path) -> None:
    target = Target(
        secrets={"a": SecretName(name="ONE"), "b": SecretName(file=str(tmp_path)), "c": SecretName(name="X")}
    )
    store = store_of(fake(secrets={"ONE": "value"}))
    found = build_secrets(target, store, None)
    (secret,) = found.secrets
    assert (secret.id, found.variables) == ("a", {secret.env: "value"}) and " " in secret.env
    assert found.missing == ("b", "c") and "value" not in repr(found)
    faults = Faults()
    build_secrets(target, store, faults)
    assert len(faults.errors) == 2


def test_logins_in_their_order(fake: Any) -> None:
    logins = [
        {"host": "r.test", "namespace": "team", "username": "team", "password": "team-password", "origin": "TEAM"},
        {"host": "r.test", "username": "all", "password": "all-password", "origin": "ALL"},
        {"host": "p.test", "username": "pull", "password": "pull-password", "origin": "PULL", "pull_only": True},
    ]
    platform = fake(logins=logins, secrets={"PASSWORD": "mine"})
    entries = {
        "s.test": RegistryEntry(username="me", password="PASSWORD"),
        "t.test": RegistryEntry(username="me", password="MISSING"),
    }
    found = make_logins(entries, platform, store_of(platform))

    def user(providers: Any, registry: str, repository: str) -> str:
        credentials = [provider.get(registry, repository) for provider in providers]
        return next((credential.username for credential in credentials if credential), "")

    assert user(found.push, "r.test", "team/app") == "team"
    assert user(found.push, "r.test", "teams/app") == "all"
    assert user(found.push, "s.test", "x") == "me"
    assert (user(found.push, "p.test", "x"), user(found.pull, "p.test", "x")) == ("", "pull")
    assert user(found.push, "t.test", "x") == ""
    assert "MISSING, which isn't there" in "".join(each.advice("t.test", "x", "push") for each in found.push)
    origins = {origin.place: origin.origin for origin in login_origins(entries, platform, store_of(platform))}
    assert origins["r.test/team"] == "TEAM" and "isn't there" in origins["t.test"]
    assert not any("-password" in origin for origin in origins.values())


ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
IDENTITIES = {
    ECR: RegistryEntry(role="arn:aws:iam::123456789012:role/push"),
    "docker.io": RegistryEntry(connection="11-22", organization="acme"),
    "eu-docker.pkg.dev": RegistryEntry(
        workload_identity_provider="projects/1/locations/global/workloadIdentityPools/ci/providers/it"
    ),
    "acme.azurecr.io": RegistryEntry(client_id="1-2", tenant_id="3-4"),
}


@pytest.mark.parametrize("place", IDENTITIES)
def test_a_job_without_a_token_is_told_how_to_get_one(fake: Any, place: str) -> None:
    platform = fake()
    found = make_logins({place: IDENTITIES[place]}, platform, store_of(platform))
    (provider,) = found.push
    assert provider.get(place, "team/app") is None
    assert "tell the fake about" in provider.advice(place, "team/app", "push")
    assert provider.get("other.test", "team/app") is None
    (origin,) = login_origins({place: IDENTITIES[place]}, platform, store_of(platform))
    assert "OIDC" in origin.origin


def test_an_identity_of_the_wrong_cloud(fake: Any) -> None:
    platform = fake()
    with pytest.raises(UsageError, match=r"r\.test"):
        make_logins({"r.test": IDENTITIES[ECR]}, platform, store_of(platform))


def test_how_registries_are_reached() -> None:
    entries = {
        "docker.io": RegistryEntry(mirror=("m.test/hub", "n.test")),
        "r.test": RegistryEntry(plain_http=True),
        "s.test": RegistryEntry(insecure=True),
    }
    given = registry_settings({}, skip_tls_verify_registry=["s.test"])
    found = reaching(entries, given)
    assert [str(place) for place in found.places(Reference.parse("debian:12"))][:2] == [
        "m.test/hub/library/debian:12",
        "n.test/library/debian:12",
    ]
    assert found.host("r.test").plain_http
    # The command line has the last word.
    assert found.host("s.test").skip_verify and not found.host("s.test").insecure
    with pytest.raises(UsageError, match="a part of a registry"):
        reaching({"r.test/team": RegistryEntry(insecure=True)}, given)


# ------------------------------------------------------------------------------------------------ intents


def intend(platform: Any, *targets: Target, revision: Revision = MAIN, push: bool | None = None, only: str = "") -> Any:
    return intents(Settings(targets=targets, only_platform=only), revision, platform, now=NOW, push=push)


APP = Target(images=("R.test/Acme/app",))


@pytest.mark.parametrize(
    ("setting", "flag", "changes", "pushed"),
    [
        ("auto", None, {}, True),
        ("auto", None, {"event": "change", "change": "7"}, False),
        ("true", None, {"event": "change", "change": "7"}, True),
        ("false", None, {}, False),
        ("false", True, {}, True),
        ("auto", True, {"event": "change", "change": "7"}, True),
        ("true", False, {}, False),
        ("true", True, {"untrusted": "a fork"}, False),
    ],
)
def test_what_is_pushed(fake: Any, setting: str, flag: bool | None, changes: Mapping[str, Any], pushed: bool) -> None:
    revision = replace(MAIN, **changes)
    (intent,) = intend(fake(), replace(APP, push=setting), revision=revision, push=flag)
    assert intent.push is pushed


def test_a_push_without_a_name(fake: Any) -> None:
    settings = Settings(targets=(Target(push="true"),))
    with pytest.raises(UsageError, match="nothing says what it is called"):
        intents(settings, MAIN, fake(), now=NOW)


def test_whole_names_beside_rules(fake: Any) -> None:
    here = replace(MAIN, default_image="r.test/acme/shop")

    def names(revision: Revision, *tags: str) -> tuple[str, ...]:
        (intent,) = intents(Settings(targets=(Target(tags=tags),)), revision, fake(), now=NOW)
        return (*intent.names, *intent.naming.warnings)

    assert names(here, "other.test/x:1") == ("other.test/x:1",)  # as build-push-action's users write it
    assert names(here, "other.test/x:1", "type=ref,event=branch") == ("r.test/acme/shop:main", "other.test/x:1")
    _, warning = names(MAIN, "other.test/x:1", "type=ref,event=branch")
    assert "apply to no image" in warning


def test_cached_steps_lie_beside_the_image() -> None:
    wished: list[str] = []

    class Wished(Local):
        def cache(self, wish: CacheWish) -> CacheChoice:
            wished.append(wish.repository)
            return CacheChoice()

    for name in ("r.test/acme/shop", "acme/shop"):
        intents(Settings(targets=(Target(images=(name,)),)), MAIN, Wished({}), now=NOW)
    assert wished == ["r.test/acme/shop/cache", "docker.io/acme/shop-cache"]  # Docker Hub knows no deeper names
    # Also where no tag rule applies, as in the changes to a project that tags releases alone.
    target = Target(images=("r.test/acme/shop",), tags=("type=ref,event=tag",))
    intents(Settings(targets=(target,)), MAIN, Wished({}), now=NOW)
    assert wished[2:] == ["r.test/acme/shop/cache"]


def test_off_ci_only_a_flag_pushes() -> None:
    local = Local({})
    assert not intend(local, replace(APP, push="true"))[0].push
    assert intend(local, APP, push=True)[0].push
    remote = replace(APP, cache_to=("type=registry,ref=r.test/cache",))
    assert intend(local, remote)[0].cache.targets == ()
    assert intend(local, remote, push=True)[0].cache.targets == remote.cache_to


def test_two_targets_with_one_name(fake: Any) -> None:
    with pytest.raises(UsageError, match=r"a and b are both called r\.test/acme/app:main"):
        intend(fake(), replace(APP, name="a"), replace(APP, name="b"))
    intend(fake(), replace(APP, name="a"), replace(APP, name="b", flavor=("suffix=-b",)))


def test_untrusted_jobs_write_no_cache(fake: Any) -> None:
    platform = fake(cache={"sources": ["type=local,src=x"], "targets": ["type=local,dest=x"]})
    fork = replace(MAIN, untrusted="a fork")
    (intent,) = intend(platform, APP, revision=fork)
    assert intent.cache.sources and not intent.cache.targets
    (intent,) = intend(platform, replace(APP, cache_to=("type=local,dest=y",)), revision=fork)
    assert not intent.cache.targets and "no cache is written" in intent.cache.notice


def test_what_the_engine_cannot_do_is_said(fake: Any) -> None:
    for change, word in (
        ({"ssh": ("default",)}, "ssh"),
        ({"allow": ("network",)}, "allow"),
        ({"no_cache_filters": ("a",)}, "no-cache-filters"),
    ):
        (intent,) = intend(fake(), replace(APP, **change))
        with pytest.raises(UsageError, match=word):
            make_request(intent, build_secrets(intent.target, store_of(fake()), None), {})


def test_agents_and_entitlements_reach_the_engine(fake: Any, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch()
    (intent,) = intend(fake(), replace(APP, ssh=(f"git={key}",), allow=("security.insecure",)))
    request = make_request(intent, build_secrets(intent.target, store_of(fake()), None), {})
    assert (request.ssh[0].id, request.ssh[0].keys, request.allow) == ("git", (str(key),), ("security.insecure",))


def test_annotations_for_manifests_and_indexes(fake: Any) -> None:
    annotations = {"index:a": "1", "manifest:b": "2", "manifest,index:c": "3", "d": "4", "e:f": "5"}
    (intent,) = intend(fake(), replace(APP, annotations=annotations))
    request = make_request(intent, build_secrets(APP, store_of(fake()), None), {})
    own = {each.key: each.value for each in request.annotations if "opencontainers" not in each.key}
    assert own == {"b": "2", "c": "3", "d": "4", "e:f": "5"}
    annotations = {"a": "1", "manifest:b": "2", "index:c": "3", "manifest[linux/arm64]:d": "4"}
    several = replace(APP, platforms=("linux/amd64", "linux/arm64"), annotations=annotations)
    (intent,) = intend(fake(), several)
    request = make_request(intent, build_secrets(several, store_of(fake()), None), {})
    assert list(map(str, request.platforms)) == ["linux/amd64", "linux/arm64"]
    own = {(each.level, each.key): each for each in request.annotations if "opencontainers" not in each.key}
    assert set(own) == {("manifest", "a"), ("index", "a"), ("manifest", "b"), ("index", "c"), ("manifest", "d")}
    for only, keys in (("linux/amd64", {"a", "b"}), ("linux/arm64", {"a", "b", "d"})):
        (intent,) = intend(fake(), several, only=only)
        request = make_request(intent, build_secrets(several, store_of(fake()), None), {})
        assert {each.key for each in request.annotations if "opencontainers" not in each.key} == keys
        assert {each.level for each in request.annotations} == {"manifest"}
    (intent,) = intend(fake(), replace(APP, annotations={"index-descriptor:a": "1"}))
    with pytest.raises(UsageError, match="index-descriptor"):
        make_request(intent, build_secrets(APP, store_of(fake()), None), {})


# ------------------------------------------------------------------------------------------------ parts


def test_parts_are_called_by_commit_target_and_platform(fake: Any) -> None:
    names = {
        part_tag(Target(name=name), replace(MAIN, commit=commit), platform)
        for name in ("", "a", "b")
        for commit in (COMMIT, "0" * 40)
        for platform in ("linux/amd64", "linux/arm64/v8", "linux/arm/v7")
    }
    assert len(names) == 18 and all(name.startswith(PREFIX) for name in names)
    assert part_tag(Target(), MAIN, "arm64") == part_tag(Target(), MAIN, "linux/arm64/v8")
    assert part_names(["r.test/a:1", "r.test/a:2", "s.test/a:1"], "x") == ("r.test/a:x", "s.test/a:x")
    with pytest.raises(UsageError, match="commit"):
        part_tag(Target(), replace(MAIN, commit=""), "linux/amd64")


def test_which_targets_a_job_for_one_platform_builds() -> None:
    both = Target(name="both", platforms=("linux/amd64", "linux/arm64"))
    one = Target(name="one", platforms=("amd64",))
    assert chosen_targets([both, one], "linux/amd64") == (both, one)
    assert chosen_targets([both, one], "linux/arm64/v8") == (both,)
    with pytest.raises(UsageError, match="says of no platform"):
        chosen_targets([both, Target(name="none")], "linux/amd64")
    with pytest.raises(UsageError, match="doesn't list it"):
        chosen_targets([both, one], "linux/s390x")


def test_a_target_for_one_platform_needs_no_part(fake: Any) -> None:
    (intent,) = intend(fake(), replace(APP, platforms=(str(host()),)), only=str(host()))
    assert intent.names == ("r.test/acme/app:main",)


# ------------------------------------------------------------------------------------------------ previews and masks


HOSTILE = "x\n::set-output name=a::b\x1b[2J\u202e"


def test_a_preview_is_inert(fake: Any) -> None:
    revision = replace(MAIN, branch=HOSTILE, description=HOSTILE, untrusted=HOSTILE)
    target = replace(
        APP, context=HOSTILE, labels={HOSTILE.replace("{", ""): HOSTILE}, secrets={HOSTILE: SecretName(name=HOSTILE)}
    )
    platform = fake()
    plan = preview(Settings(targets=(target,)), revision, platform, store_of(platform), now=NOW, push=None)
    text = as_text(plan)
    assert not any(line.startswith("::") for line in text.splitlines())
    assert text.replace("\n", "").isprintable()
    json.dumps(as_json(plan))


def test_masks_are_told_once_and_never_short_ones(fake: Any, tmp_path: Path) -> None:
    masks = Masks(fake())
    for value in (b"secret value", b"secret value\n", b"abc", b""):
        masks.add(value)
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert told == [["mask", "secret value"]]
    assert masks.redactor.text("a secret value") == "a ***"


def test_intents_are_values(fake: Any) -> None:
    first, second = intend(fake(), APP), intend(fake(), APP)
    assert first == second and isinstance(first[0], Intent)
