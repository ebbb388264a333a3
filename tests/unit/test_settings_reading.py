"""coopery.yaml: what is read from it, and where its faults are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

import coopery.ci
from coopery.ci.keys import FILE_KEYS, KEYS, REGISTRY_KEYS, TARGET_KEYS
from coopery.ci.schema import FILE, schema, schema_text
from coopery.ci.settings import RegistryEntry, SecretName, Settings, Target, combine
from coopery.ci.sources import read_settings, text_layer
from coopery.ci.written import Faults, SettingsError
from coopery.errors import CooperyError, UsageError


def read(text: str) -> Settings:
    faults = Faults()
    layer = text_layer(text, "coopery.yaml", faults)
    faults.check()
    return combine([layer])


def only(text: str) -> Target:
    (target,) = read(text).targets
    return target


def errors_of(text: str) -> list[CooperyError]:
    with pytest.raises(UsageError) as caught:
        read(text)
    error = caught.value
    return list(error.errors) if isinstance(error, SettingsError) else [error]


def settings(
    folder: Path,
    inputs: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    **flags: object,
) -> Settings:
    named = {key.replace("_", "-"): (f"--{key}", value) for key, value in flags.items()}
    return read_settings(
        environ=environ or {}, inputs=inputs or {}, inputs_from="Fake CI", flags=named, folder=str(folder)
    )


# ------------------------------------------------------------------------------------------------ values


def test_scalars_stay_as_they_were_written() -> None:
    target = only(
        "build-args: {VERSION: 1.10, ANSWER: yes, EMPTY: , BIG: 0x10, DAY: 2026-03-04, OFF: 'off'}\ntags: [1.0]\n"
    )
    expected = {"VERSION": "1.10", "ANSWER": "yes", "EMPTY": "", "BIG": "0x10", "DAY": "2026-03-04", "OFF": "off"}
    assert dict(target.build_args) == expected
    assert target.tags == ("1.0",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("images: [r.test/a, r.test/b]", ("r.test/a", "r.test/b")),
        ("image: r.test/a", ("r.test/a",)),
        ("images: r.test/a, r.test/b", ("r.test/a", "r.test/b")),
        ("images: |\n  # ours\n  r.test/a\n\n  r.test/b\n", ("r.test/a", "r.test/b")),
        ("images: ['name=r.test/a,enable=true']", ("name=r.test/a,enable=true",)),
        ("images:", ()),
    ],
)
def test_lists(text: str, expected: tuple[str, ...]) -> None:
    assert only(text).images == expected


def test_a_rule_is_not_torn_at_its_commas() -> None:
    text = "tags: |\n  type=ref,event=branch\n  latest,enable=true\n  one,two\n"
    assert only(text).tags == ("type=ref,event=branch", "latest,enable=true", "one", "two")


def test_mappings_may_be_lists_or_lines() -> None:
    for text in ("labels: {a: b=c, d: ''}", "labels: [a=b=c, d=]", "labels: |\n  a=b=c\n  d=\n"):
        assert dict(only(text).labels) == {"a": "b=c", "d": ""}
    assert only("flavor: {latest: auto, suffix: -x}").flavor == ("latest=auto", "suffix=-x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("npm: NPM_TOKEN", SecretName(name="NPM_TOKEN")),
        ("npm:", SecretName(name="npm")),
        ("npm: {env: VARIABLE}", SecretName(env="VARIABLE")),
        ("npm: {file: some/path}", SecretName(file="some/path")),
        ("- npm=NPM_TOKEN", SecretName(name="NPM_TOKEN")),
        ("- npm", SecretName(name="npm")),
        ("- id=npm,src=some/path", SecretName(file="some/path")),
        ("- type=env,id=npm,env=VARIABLE", SecretName(env="VARIABLE")),
    ],
)
def test_secrets(text: str, expected: SecretName) -> None:
    assert dict(only(f"secrets:\n  {text}\n").secrets) == {"npm": expected}


def test_registries() -> None:
    found = read("registries: {Docker.io: {mirror: m.test/hub}, r.test/team: {username: u, password: P}}").registries
    assert dict(found) == {
        "docker.io": RegistryEntry(mirror=("m.test/hub",)),
        "r.test/team": RegistryEntry(username="u", password="P"),
    }


def test_targets_add_to_what_holds_for_all() -> None:
    common = "tags: [t]\nbuild-args: {A: all, B: all}\n"
    own = "targets:\n  one: {build-args: {B: one}}\n  two: {tags: [own]}\n  three:\n"
    one, two, three = read(common + own).targets
    assert (one.tags, dict(one.build_args)) == (("t",), {"A": "all", "B": "one"})
    assert (two.tags, dict(two.build_args)) == (("own",), {"A": "all", "B": "all"})
    assert three.name == "three"


def test_anchors_and_merge_keys() -> None:
    text = "targets:\n  one: &one {target: web, context: one}\n  two: {<<: *one, context: two}\n"
    one, two = read(text).targets
    assert (one.target, one.context, two.target, two.context) == ("web", "one", "web", "two")


def test_an_empty_file_says_nothing() -> None:
    assert read("") == read("# nothing\n") == Settings(targets=(Target(),))


# ------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tags: [x]\nplatform: x\n", 2, ("unknown key 'platform'", "platforms")),
        ("targets:\n  web: {lables: {}}\n", 2, ("unknown key 'lables'", "labels")),
        ("targets:\n  web:\n    registries: {}\n", 3, ("unknown key 'registries'", "at the top")),
        ("registries:\n  r.test: {user: x}\n", 2, ("unknown key 'user'", "username")),
        ("registries:\n  r.test: {username: x}\n", 2, ("without password",)),
        ("registries:\n  r.test: {username: x, password: y, role: z}\n", 2, ("several ways",)),
        ("registries:\n  'r.test/UPPER': {}\n", 2, ("not the address",)),
        ("config: x\n", 1, ("unknown key 'config'", "by the job")),
        ("tags: [a]\ntags: [b]\n", 2, ("second time, after line 1",)),
        ("tags: {a: b}\n", 1, ("takes a list",)),
        ("tags: [[a]]\n", 1, ("takes one value",)),
        ("labels: {a: [b]}\n", 1, ("takes one value",)),
        ("labels: [x]\n", 1, ("KEY=VALUE",)),
        ("context: [x]\n", 1, ("takes one value, not a list",)),
        ("context: |\n  a\n  b\n", 1, ("one line",)),
        ("no-cache: maybe\n", 1, ("neither true nor false",)),
        ("compression-level: high\n", 1, ("not a number",)),
        ("push: always\n", 1, ("there is no 'always'", "auto")),
        ("platforms: ['linux/amd64', 'not a platform']\n", 1, ("not a platform",)),
        ("images: ['r.test/a:tag']\n", 1, ("not the name of a repository",)),
        ("shm-size: big\n", 1, ("shm-size",)),
        ("ulimit: [nofile]\n", 1, ("SOFT",)),
        ("add-hosts: [x]\n", 1, ("add-hosts",)),
        ("outputs: ['type=nothing']\n", 1, ("no output type",)),
        ("isolation: tight\n", 1, ("there is no 'tight'",)),
        ("secrets: {npm: {path: x}}\n", 1, ("can't come from 'path'",)),
        ("secrets: {npm: {env: x, file: y}}\n", 1, ("one place",)),
        ('secrets: {npm: "a\\nb"}\n', 1, ("not its value",)),
        ("targets: [a]\n", 1, ("takes a mapping",)),
        ("targets: {'a b': {}}\n", 1, ("can't be a target's name",)),
        ("- a\n", 1, ("settings are a mapping",)),
        ("tags: [a\nb: c\n", 2, ("isn't YAML",)),
        ("tags: !!python/object:os.system {}\n", 1, ("tag", "means nothing here")),
        ("tags: !own x\n", 1, ("means nothing here",)),
        ("? [a]\n: b\n", 1, ("one word",)),
        ("a: b\n---\nc: d\n", 2, ("isn't YAML",)),
        ("tags: &a [*a]\n", 1, ("contains itself",)),
    ],
)
def test_faults_name_their_place(text: str, line: int, words: tuple[str, ...]) -> None:
    (error,) = errors_of(text)
    assert error.location is not None and (error.location.file, error.location.line) == ("coopery.yaml", line)
    for word in words:
        assert word in error.message + error.hint
    assert ">>>" in error.detail and "^" in error.detail


def test_all_faults_come_at_once() -> None:
    lines = [error.location.line for error in errors_of("plaforms: x\npush: x\nload: x\n") if error.location]
    assert lines == [1, 2, 3]


def test_aliases_do_not_multiply() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (error,) = errors_of(bomb)
    assert "too many values" in error.message


def test_deep_and_large_files() -> None:
    for text in ("tags: " + "[" * 5000, "tags: [x" + "x" * (2 << 20) + "]"):
        with pytest.raises(UsageError):
            read(text)


TOKENS = [
    "ghp_" + "a1" * 18,
    "git" + "hub_pat_" + "A1" * 20,
    "glpat-" + "a1" * 10,
    "dckr_pat_" + "a1" * 13,
    "AKIA" + "Q2" * 8,
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0." + "x" * 20,
    "https://user:hunter22@r.test/x",
    "-----BEGIN RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
def test_values_that_look_secret_are_refused_and_not_shown(token: str) -> None:
    (error,) = errors_of(f"build-args:\n  TOKEN: '{token}'\n")
    assert error.location is not None and error.location.line == 2
    assert "looks like" in error.message and "name of a variable" in error.hint
    assert token not in error.message + error.hint + error.detail


def test_other_faults_beside_a_secret_do_not_show_it() -> None:
    for error in errors_of(f"x: y\nbuild-args: {{T: {TOKENS[0]}}}\n"):
        assert TOKENS[0] not in error.message + error.detail


# ------------------------------------------------------------------------------------------------ sources


def test_what_overrides_what(tmp_path: Path) -> None:
    (tmp_path / "coopery.yaml").write_text("tags: file\ncontext: file\nlabels: {a: file, b: file}\n")
    found = settings(
        tmp_path,
        inputs={"tags": "input", "labels": {"b": "input"}, "file": "", "pull": True, "compression-level": 3},
        environ={"COOPERY_CI_TAGS": "variable", "COOPERY_CI_CONTEXT": "variable", "COOPERY_CI_LABELS": "c=variable"},
        tags=[],
    )
    (target,) = found.targets
    assert (target.tags, target.context, target.file, target.pull) == (("input",), "variable", "", True)
    assert dict(target.labels) == {"a": "file", "b": "input", "c": "variable"}
    assert target.compression_level == 3
    assert settings(tmp_path, inputs={"tags": "input"}, tags=["flag"]).targets[0].tags == ("flag",)


def test_a_link_to_elsewhere_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("the secret: [")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    for name, flags in (("coopery.yaml", {}), ("ci.yaml", {"config": ("--config", "ci.yaml")})):
        (checkout / name).symlink_to("../secret")
        with pytest.raises(UsageError, match="leads out of this directory") as caught:
            read_settings(environ={}, inputs={}, inputs_from="a job", flags=flags)
        assert "the secret" not in caught.value.detail
        (checkout / name).unlink()
    (checkout / "real.yaml").write_text("images: [r.test/a]\n")
    (checkout / "coopery.yaml").symlink_to("real.yaml")
    assert read_settings(environ={}, inputs={}, inputs_from="a job", flags={}).targets[0].images == ("r.test/a",)


def test_standard_output_is_no_place_for_an_image() -> None:
    with pytest.raises(UsageError, match="the job's log"):
        read("outputs: [type=tar]")


def test_a_job_overrides_targets_too(tmp_path: Path) -> None:
    (tmp_path / "coopery.yaml").write_text("targets: {a: {push: false}, b: {push: auto}}\n")
    found = settings(tmp_path, environ={"COOPERY_CI_PUSH": "true"})
    assert [target.push for target in found.targets] == ["true", "true"]
    chosen = settings(tmp_path, inputs={"targets": "b"})
    assert [target.name for target in chosen.targets] == ["b"]
    with pytest.raises(UsageError, match="no target 'c'"):
        settings(tmp_path, environ={"COOPERY_CI_TARGETS": "a,c"})


def test_registries_as_text(tmp_path: Path) -> None:
    found = settings(tmp_path, inputs={"registries": "r.test:\n  username: u\n  password: P\n"})
    assert found.registries["r.test"].password == "P"
    with pytest.raises(UsageError, match=r"COOPERY_CI_REGISTRIES:2: unknown key 'pasword'"):
        settings(tmp_path, environ={"COOPERY_CI_REGISTRIES": "r.test:\n  pasword: x\n"})


@pytest.mark.parametrize(
    ("inputs", "environ", "words"),
    [
        ({"tagz": "x"}, {}, ("tagz", "did you mean tags", "Fake CI")),
        ({}, {"COOPERY_CI_TAGZ": "x"}, ("COOPERY_CI_TAGZ", "COOPERY_CI_TAGS")),
        ({"push": "perhaps"}, {}, ("the input 'push' of Fake CI", "perhaps")),
        ({}, {"COOPERY_CI_PUSH": "perhaps"}, ("COOPERY_CI_PUSH", "perhaps")),
        ({"labels": object()}, {}, ("the input 'labels'", "type object")),
        ({"image": "a/b", "images": "c/d"}, {}, ("the same",)),
        ({"targets": {"a": {}}}, {}, ("settings file",)),
        ({"build-args": 'A=1\n"B=2'}, {}, ("begins with a quote",)),
        ({"config": "nowhere.yaml"}, {}, ("nowhere.yaml", "--config")),
    ],
)
def test_faults_of_jobs(
    tmp_path: Path, inputs: Mapping[str, object], environ: Mapping[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError) as caught:
        settings(tmp_path, inputs=inputs, environ=environ)
    for word in words:
        assert word in caught.value.message + caught.value.hint


def test_the_file_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "coopery.yml").write_text("tags: x\n")
    with pytest.raises(UsageError, match="not read"):
        settings(tmp_path)
    assert settings(tmp_path, config="coopery.yml").targets[0].tags == ("x",)
    (tmp_path / "coopery.yml").write_bytes(b"tags: \xff\n")
    with pytest.raises(UsageError, match="UTF-8"):
        settings(tmp_path, config="coopery.yml")


# ------------------------------------------------------------------------------------------------ the table


def test_every_key_has_its_attribute() -> None:
    fields = {field.name for field in dataclasses.fields(Target)} - {"name", "spots"}
    assert fields == {key.field for key in TARGET_KEYS.values()}
    entry = {field.name for field in dataclasses.fields(RegistryEntry)} - {"spot"}
    assert entry == {key.field for key in REGISTRY_KEYS.values()}
    assert all(key.description.endswith(".") for key in (*KEYS.values(), *REGISTRY_KEYS.values()))


def test_the_shipped_schema_is_the_table() -> None:
    shipped = Path(coopery.ci.__file__).parent / FILE
    assert shipped.read_text() == schema_text(), "write it anew: coopery ci schema > core/coopery/ci/" + FILE
    assert set(schema()["properties"]) == {*FILE_KEYS, "image"}


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        ({"image": "r.test/a", "tags": ["type=sha"], "push": True, "build-args": {"A": 1.5, "B": None}}, True),
        ({"targets": {"web": {"target": "web", "no-cache": True}, "api": None}, "flavor": {"latest": "auto"}}, True),
        ({"registries": {"r.test": {"username": "u", "password": "P", "mirror": ["m.test"]}}}, True),
        ({"secrets": {"a": "B", "c": {"file": "d"}, "e": None}}, True),
        (None, True),
        ({"tagz": []}, False),
        ({"push": "always"}, False),
        ({"targets": {"a b": {}}}, False),
        ({"targets": {"web": {"registries": {}}}}, False),
        ({"registries": {"r.test": {"username": "u"}}}, False),
        ({"secrets": {"c": {"file": "d", "env": "e"}}}, False),
    ],
)
def test_the_schema_knows_what_we_read(document: object, valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    assert jsonschema.Draft7Validator(schema()).is_valid(document) is valid
    try:
        read(json.dumps(document) if document is not None else "")
        assert valid
    except UsageError:
        assert not valid
