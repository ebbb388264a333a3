"""RUN with mounts and rights, planned: which stages it needs, what its key depends on, what it isn't allowed to."""

from __future__ import annotations

import pytest

from coopery.errors import DockerfileError
from coopery.mounts.bind import BindSpec
from coopery.oci.platform import Platform
from coopery.plan.joining import join
from coopery.plan.ops import SourceRef, Surroundings
from support.plans import World, base, plan_of, runs_of

STAGES = "FROM base AS made\nARG A\nRUN make $A\nFROM base AS unused\nRUN x\nFROM base\n"


def mounts_of(text: str, **options):
    return [[mount.source for mount in run.mounts] for run in runs_of(text, **options)]


def key_of(text: str, **options):
    return plan_of(text, **options).lineage[-1].key


def test_a_mount_needs_the_stage_that_it_is_from():
    for line in ("RUN --mount=from=made,target=/x y", "RUN --mount=type=cache,from=MADE,target=/x y",
                 "RUN --mount=type=$T,from=0,target=/x y"):  # fmt: skip
        plan = plan_of(STAGES + f"ARG T=bind\n{line}\n")
        assert sorted(plan.stages) == [0, 2], line
        (mount,) = plan.stages[2].vertices[-1].op.mounts
        assert mount.source == SourceRef("stage", stage=0)


def test_what_mounts_are_from():
    text = (
        "FROM base\nRUN --mount=target=/a --mount=target=/b,source=d,from=other --mount=target=/c,from=image:1"
        " --mount=target=/d,from=scratch --mount=type=tmpfs,target=/e --mount=type=cache,target=/f x\n"
    )
    world = World({"base": base(), "image:1": base("other")})
    (sources,) = mounts_of(text, world=world, contexts={"other": "/dir"})
    assert sources == [
        SourceRef("context"),
        SourceRef("context", "other"),
        SourceRef("image", "image:1"),
        SourceRef("inline"),
        None,
        None,
    ]
    assert "image:1" in world.asked


def test_an_onbuild_trigger_may_mount():
    image = base(on_build=("RUN --mount=from=made,target=/x y",))
    text = "FROM base AS made\nRUN make\nFROM triggering\n"
    plan = plan_of(text, World({"base": base(), "triggering": image}))
    (vertex,) = plan.lineage[-1].vertices
    assert vertex.op.mounts[0].source == SourceRef("stage", stage=0)


def test_the_key_depends_on_files_and_places_and_not_on_cache_names():
    line = "RUN --mount=from=made,target={target},source={source}{more} y\n"
    variants = [
        {"target": "/x", "source": "/s", "more": ""},
        {"target": "/y", "source": "/s", "more": ""},
        {"target": "/x", "source": "/t", "more": ""},
        {"target": "/x", "source": "/s", "more": ",rw"},
    ]
    keys = {key_of(STAGES + line.format(**variant), args={"A": a}) for variant in variants for a in "12"}
    assert len(keys) == 8
    cache = "FROM base\nRUN --mount=type=cache,target=/c,{} y\n"
    assert len({key_of(cache.format(more)) for more in ("id=a", "id=b", "sharing=locked", "mode=0700", "uid=1")}) == 1
    secret = "FROM base\nRUN --mount=type={} y\n"
    assert len({key_of(secret.format(more)) for more in ("ssh", "ssh,id=a", "secret,id=a", "ssh,mode=0666")}) == 4


def test_host_names_and_cache_namespaces_come_as_build_args():
    text = "FROM base\nRUN --mount=type=cache,target=/c x\n"
    plain = plan_of(text).lineage[-1].vertices[0]
    around = Surroundings(hostname="maker", cache_namespace="mine")
    named = plan_of(text, around=around).lineage[-1].vertices[0]
    assert (plain.op.hostname, named.op.hostname) == ("", "maker")
    assert named.op.mounts[0].spec.namespace == "mine"
    assert plain.key != named.key
    assert plain.key == plan_of(text, around=Surroundings(cache_namespace="mine")).lineage[-1].vertices[0].key


def test_insecure_steps_want_leave():
    text = "FROM base\nRUN --security=insecure x\nRUN --security=sandbox y\n"
    with pytest.raises(DockerfileError, match="Dockerfile:2: RUN --security=insecure is not allowed") as caught:
        plan_of(text)
    assert "--allow security.insecure" in caught.value.hint
    with pytest.raises(DockerfileError):
        plan_of(text, around=Surroundings(allowed=("network.host",)))
    first, second = runs_of(text, around=Surroundings(allowed=("security.insecure",)))
    assert (first.insecure, second.insecure) == (True, False)


def test_mounts_of_several_platforms_keep_their_sources():
    text = "FROM base AS made\nARG TARGETARCH\nRUN $TARGETARCH\n"
    text += "FROM base\nRUN --mount=from=made,target=/x --mount=target=/y z\n"
    platforms = [Platform("linux", "amd64"), Platform("linux", "arm64")]
    plans = join([plan_of(text, platform=platform) for platform in platforms])
    stages = set()
    for plan in plans:
        stage, context = plan.lineage[-1].vertices[-1].op.mounts
        assert isinstance(stage.spec, BindSpec)
        assert context.source == SourceRef("context")
        (made,) = plan.stages[stage.source.stage].vertices[-1:]
        stages.add((plan.platform.architecture, made.op.argv[-1], stage.source.stage))
    assert len({number for _, _, number in stages}) == 2
