"""Whole jobs: the real agent clones the plugin, builds with it and pushes to a registry that wants a password."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import buildkite_jobs as jobs
import pytest
from buildkite_agent_api import AgentApi
from buildkite_jobs import Machine

import plainoci
from support.command import Coopery


def _inspect(coopery: Coopery, reference: str, *arguments: str) -> str:
    host = reference.partition("/")[0]
    login = ("login", host, "-u", jobs.USER, "--password-stdin")
    coopery(*login, stdin=jobs.PASSWORD.encode())
    return coopery("inspect", reference, *arguments).stdout


def test_a_push_is_built_pushed_and_told(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi, coopery: Coopery
) -> None:
    ended = machine.run(shop, jobs.configuration(guarded_registry))
    assert ended.status == 0, ended.log
    digest = _inspect(coopery, f"{guarded_registry}/acme/shop:main", "--digest").strip()
    config = json.loads(_inspect(coopery, f"{guarded_registry}/acme/shop:main", "--config"))
    assert config["config"]["Labels"]["org.opencontainers.image.revision"] == jobs.git(shop, "rev-parse", "HEAD")

    (annotation,) = secrets.annotations.values()
    assert annotation["style"] == "success"
    assert digest in annotation["body"] and 'href="artifact://coopery-report.json"' in annotation["body"]
    assert secrets.meta_data["coopery:digest"] == digest
    assert secrets.meta_data["coopery:names"] == f"{guarded_registry}/acme/shop:main"
    assert secrets.meta_data["coopery:pushed"] == "true"
    report = json.loads(secrets.artifacts["coopery-report.json"])
    assert report["images"][0]["digest"] == digest

    told = ended.log + json.dumps([secrets.annotations, secrets.meta_data, report])
    assert "tree-of-apples-42" not in told and jobs.PASSWORD not in told
    assert machine.left_behind() == []


def test_a_cancelled_job_leaves_nothing_behind(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi, base_image: str
) -> None:
    (shop / "Dockerfile").write_text(f"FROM {base_image}\nRUN echo begun; sleep 600\n")
    jobs.commit(shop, "Take a nap")
    job = machine.start(shop, jobs.configuration(guarded_registry, secrets={}))
    assert job.stdout is not None
    seen = b""
    for line in job.stdout:
        seen += line
        if re.search(rb"#\d+ \S+ begun", line):
            break
    ended = jobs.stop(job)
    assert ended.status != 0
    assert "interrupted" in ended.log, seen.decode() + ended.log
    assert "pre-exit" in ended.log
    assert machine.left_behind() == []
    assert not [path for path in (machine.home / "store").rglob("tmp/*") if path.is_dir()]
    (annotation,) = secrets.annotations.values()
    assert annotation["style"] == "error"


def test_a_forks_change_is_built_and_not_pushed(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi
) -> None:
    ended = machine.run(shop, jobs.configuration(guarded_registry, push=True), scenario="fork")
    assert ended.status == 0, ended.log
    assert "NOTICE: the image is built and not pushed: a fork's pull request" in ended.log
    assert secrets.meta_data["coopery:pushed"] == "false"


def test_what_somebody_pushed_cant_give_orders(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi, base_image: str
) -> None:
    name = "apples $(touch pwned) `touch pwned`; touch pwned # <b> [x](javascript:1)"
    (shop / name).write_text("1")
    (shop / "Dockerfile").write_text(
        f"FROM {base_image}\nCOPY apples* /a/\n"
        "RUN printf '\\n--- forged\\n+++ forged\\n\\033[2K\\033[1G~~~ forged\\n'; echo '^^^ +++'; exit 3\n"
    )
    jobs.commit(shop, "$(touch pwned)\n--- forged")
    hostile = "x$(touch${IFS}pwned)`id`\n+++ forged"
    variables = {
        "BUILDKITE_MESSAGE": f"{hostile}\n</details><script>alert(1)</script>",
        "BUILDKITE_LABEL": hostile,
        "BUILDKITE_BUILD_CREATOR": hostile,
        "BUILDKITE_PULL_REQUEST_BASE_BRANCH": hostile,
        "BUILDKITE_BRANCH": "feat/$(touch${IFS}pwned)`id`|<b>[x](https://evil.example)",
    }
    ended = machine.run(shop, jobs.configuration(guarded_registry, secrets={}), scenario="change", **variables)
    assert ended.status == 5, ended.log
    groups = re.findall(r"^(?:\x1b\[[\d;]*m)*(?:---|\+\+\+|~~~) .*", ended.log, re.M)
    assert not [group for group in groups if "forged" in group], groups
    assert not list(machine.home.rglob("pwned"))
    (annotation,) = secrets.annotations.values()
    outside = re.sub(r"(?s)(`+).*?\1", "", annotation["body"])
    assert "<script" not in outside and "evil.example" not in outside and "<b>" not in outside


def test_a_tag_gives_versions(machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi) -> None:
    rules = ["type=semver,pattern={{version}}", "type=semver,pattern={{major}}.{{minor}}", "type=sha"]
    ended = machine.run(shop, jobs.configuration(guarded_registry, tags=rules), scenario="tag")
    assert ended.status == 0, ended.log
    names = secrets.meta_data["coopery:names"].split()
    short = jobs.git(shop, "rev-parse", "--short=7", "HEAD")
    assert {name.rpartition(":")[2] for name in names} == {"1.2.3", "1.2", "latest", f"sha-{short}"}


def test_a_tag_with_orders_in_it_is_a_name(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi
) -> None:
    tag = "v1.2.3$(touch${IFS}pwned)`id`;--- \n+++ forged"
    ended = machine.run(shop, jobs.configuration(guarded_registry), scenario="tag", BUILDKITE_TAG=tag)
    assert ended.status == 0, ended.log
    for name in secrets.meta_data["coopery:names"].splitlines():
        assert re.fullmatch(r"[0-9.:]+/acme/shop:[A-Za-z0-9_][A-Za-z0-9_.-]*", name)
    assert not re.search(r"^\+\+\+ forged", ended.log, re.M)
    assert not list(machine.home.rglob("pwned"))


def test_the_settings_file_is_read_and_the_plugin_wins_over_it(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi
) -> None:
    (shop / "coopery.yaml").write_text(
        textwrap.dedent(f"""\
            image: {guarded_registry}/acme/other
            tags: [from-the-file]
            secrets: {{token: SHOP_TOKEN}}
            registries:
              {guarded_registry}: {{username: {jobs.USER}, password: REGISTRY_PASSWORD}}
            """)
    )
    jobs.commit(shop, "Describe the image")
    ended = machine.run(shop, {"tags": "from-the-plugin"})
    assert ended.status == 0, ended.log
    assert secrets.meta_data["coopery:names"] == f"{guarded_registry}/acme/other:from-the-plugin"


def test_a_cache_volume_serves_a_fresh_machine(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    machine.environ["COOPERY_CACHE_VOLUME"] = str(volume)
    first = machine.run(shop, jobs.configuration(guarded_registry, cache="platform"))
    assert first.status == 0, first.log
    machine.environ["COOPERY_CACHE"] = str(tmp_path / "empty")
    second = machine.run(shop, jobs.configuration(guarded_registry, cache="platform"))
    assert second.status == 0, second.log
    assert re.search(r"RUN .*\n#\d+ CACHED", second.log), second.log


def test_parts_are_merged(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi, coopery: Coopery, tmp_path: Path
) -> None:
    here, elsewhere = f"linux/{plainoci.architecture()}", "linux/riscv64"
    configuration = jobs.configuration(guarded_registry, platforms=[here, elsewhere])
    built = machine.run(shop, configuration | {"only-platform": here})
    assert built.status == 0, built.log
    part = secrets.meta_data["coopery:names"]
    assert secrets.meta_data[f"coopery:{here}:digest"] == secrets.meta_data["coopery:digest"]

    # What the job on the other machine would have pushed.
    plainoci.write_layout(
        plainoci.image([plainoci.layer({"apples": plainoci.file("12")})], arch="riscv64"), tmp_path / "oci"
    )
    coopery("login", guarded_registry, "-u", jobs.USER, "--password-stdin", stdin=jobs.PASSWORD.encode())
    coopery("copy", f"oci:{tmp_path}/oci", part.replace(here.replace("/", "-"), "linux-riscv64"), "--all")

    merged = machine.run(shop, configuration | {"mode": "merge"})
    assert merged.status == 0, merged.log
    assert secrets.meta_data["coopery:names"] == f"{guarded_registry}/acme/shop:main"
    index = json.loads(_inspect(coopery, f"{guarded_registry}/acme/shop:main", "--raw"))
    assert [entry["platform"]["architecture"] for entry in index["manifests"]] == [plainoci.architecture(), "riscv64"]
    assert index["manifests"][0]["digest"] == secrets.meta_data[f"coopery:{here}:digest"]
    assert len(secrets.annotations) == 2


def test_the_plugin_may_lie_in_the_repository_itself(
    machine: Machine, plugin_clone: Path, secrets: AgentApi, guarded_registry: str, tmp_path: Path
) -> None:
    vendoring = tmp_path / "vendoring"
    jobs.git(tmp_path, "clone", "--quiet", str(plugin_clone), str(vendoring))
    (vendoring / "Dockerfile").write_text("FROM scratch\nCOPY LICENSE /\n")
    jobs.commit(vendoring, "Build")
    configuration = jobs.configuration(guarded_registry, secrets={})
    ended = machine.run(vendoring, plugins=[{"./integrations/buildkite": configuration}])
    assert ended.status == 0, ended.log
    assert secrets.meta_data["coopery:names"] == f"{guarded_registry}/acme/shop:main"
    assert machine.left_behind() == []


def test_a_step_with_a_command_is_told(machine: Machine, shop: Path) -> None:
    ended = machine.run(shop, {"image": "registry.example/acme/shop"}, command="make deploy")
    assert ended.status == 10
    assert "This step has a command" in ended.log
    assert machine.left_behind() == []


@pytest.mark.parametrize(
    ("configuration", "said"),
    [({"imagee": "x/y"}, "imagee"), ({"mode": "deploy"}, "mode"), ({"push": "perhaps"}, "push")],
)
def test_the_agent_refuses_a_configuration_that_is_wrong(
    configuration: dict[str, object], said: str, machine: Machine, shop: Path
) -> None:
    ended = machine.run(shop, configuration)
    assert ended.status != 0
    assert "Plugin validation failed" in ended.log and said in ended.log


def test_without_validation_coopery_says_it(machine: Machine, shop: Path, secrets: AgentApi) -> None:
    machine.environ["BUILDKITE_PLUGIN_VALIDATION"] = "false"
    ended = machine.run(shop, {"imagee": "x/y"})
    assert ended.status == 2, ended.log
    assert "did you mean image" in ended.log


_ASK = """
import os
from coopery_buildkite import Buildkite
job = Buildkite(dict(os.environ))
token = job.identity_token("sts.amazonaws.com")
print("token", token, token[::-1])
secret = job.secret("SHOP_TOKEN")
print("secret", secret.value, secret.value[::-1])
job.mask("first line of it\\nx\\nsecond line of it")
print("lines", "first line of it", "second line of it")
print("nothing", job.secret("NO_SUCH"), job.secret("--help"), job.secret("registry.example"))
"""


def test_the_agent_masks_tokens_and_secrets_before_they_are_used(
    machine: Machine, shop: Path, secrets: AgentApi
) -> None:
    (shop / "ask.py").write_text(_ASK)
    jobs.commit(shop, "Ask")
    ended = machine.run(shop, plugins=[], command="python ask.py")
    assert ended.status == 0, ended.log
    assert "token [REDACTED] moc.swanozama.sts rof nekot" in ended.log
    assert "secret [REDACTED] 24-selppa-fo-eert" in ended.log
    assert "lines [REDACTED] [REDACTED]" in ended.log
    assert "nothing None None None" in ended.log
    assert secrets.audiences == [("sts.amazonaws.com", 300)]


def test_a_token_that_buildkite_refuses(machine: Machine, shop: Path, secrets: AgentApi) -> None:
    (shop / "ask.py").write_text(_ASK)
    jobs.commit(shop, "Ask")
    secrets.refusals["/oidc/tokens"] = (403, "not for this pipeline")
    ended = machine.run(shop, plugins=[], command="python ask.py")
    assert ended.status != 0
    assert "Buildkite gives no OIDC token for sts.amazonaws.com: 403 Forbidden: not for this pipeline" in ended.log


def test_reports_that_buildkite_refuses_fail_no_build(
    machine: Machine, shop: Path, guarded_registry: str, secrets: AgentApi
) -> None:
    for end in ("/annotations", "/data/set", "/artifacts"):
        secrets.refusals[end] = (403, "your plan has none of these")
    ended = machine.run(shop, jobs.configuration(guarded_registry))
    assert ended.status == 0, ended.log
    assert len(re.findall(r"^NOTICE: .*your plan has none of these", ended.log, re.M)) == 3
    assert not secrets.annotations and not secrets.meta_data
