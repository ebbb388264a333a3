"""Plans for several platforms: what they have in common is there once, and nothing else."""

from __future__ import annotations

import pytest

from coopery.cache.records import Outcome
from coopery.errors import DockerfileError
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.oci.platform import Platform, host
from coopery.plan.joining import join
from coopery.plan.ops import CopyOp
from coopery.plan.plan import Plan
from coopery.solver.assemble import assemble
from coopery.solver.hits import find_work
from support.plans import World, base, env_of, plan_of

OTHERS = tuple(Platform.parse(text) for text in ("linux/s390x", "linux/arm/v7"))
PLATFORMS = (host(), *OTHERS)
CROSS = """\
FROM --platform=$BUILDPLATFORM base AS build
RUN fetch
WORKDIR /src
ARG TARGETARCH
RUN compile $TARGETARCH
FROM base
COPY --from=build /out /
"""


def plans_of(text: str, world: World | None = None, **options: object) -> tuple[Plan, ...]:
    return tuple(plan_of(text, world, platform=platform, titled=True, **options) for platform in PLATFORMS)


def titles(plan: Plan) -> list[str]:
    return [vertex.title for stage in plan.stages.values() for vertex in stage.vertices]


def chain(plan: Plan) -> list[str]:
    """What makes the plan's image, as its history has it."""
    return [step.created_by for stage in plan.lineage for step in stage.steps]


def test_one_plan_stays_as_it_is():
    plan = plan_of(CROSS)
    assert join([plan]) == (plan,)


def test_what_knows_nothing_of_the_target_is_done_once():
    apart = plans_of(CROSS)
    joined = join(apart)
    assert len({id(plan.stages) for plan in joined}) == 1
    one, two, three = PLATFORMS
    found = titles(joined[0])
    assert [title for title in found if "fetch" in title] == [f"[{one} build 2/4] RUN fetch"]
    assert [title for title in found if "WORKDIR" in title] == [f"[{one} build 3/4] WORKDIR /src"]
    assert [title for title in found if "compile" in title] == [
        f"[{one} build 4/4] RUN compile {one.architecture}",
        f"[{one}->{two.architecture} build 4/4] RUN compile {two.architecture}",
        f"[{one}->arm/v7 build 4/4] RUN compile arm",
    ]
    assert [title for title in found if "COPY" in title] == [
        f"[{platform} stage-1 2/2] COPY --from=build /out /" for platform in PLATFORMS
    ]
    assert [plan.platform for plan in joined] == [one, two, three]


def test_keys_and_histories_stay_as_they_are():
    apart = plans_of(CROSS)
    for alone, plan in zip(apart, join(apart), strict=True):
        assert chain(plan) == chain(alone)
        assert plan.stages[plan.target].key == alone.stages[alone.target].key
        assert plan.stages[plan.target].config == alone.stages[alone.target].config
        keys = {vertex.key for stage in alone.stages.values() for vertex in stage.vertices}
        assert keys <= {vertex.key for stage in plan.stages.values() for vertex in stage.vertices}


def test_files_come_from_the_stage_of_the_same_target():
    joined = join(plans_of(CROSS))
    for plan in joined:
        (vertex,) = plan.stages[plan.target].vertices
        assert isinstance(vertex.op, CopyOp)
        source = plan.stages[vertex.op.source.stage]
        assert source.vertices[-1].title.endswith(f"compile {plan.platform.architecture}")
        assert source.base == "stage" and plan.stages[source.base_stage].base_image


def test_a_stage_that_is_alike_for_all_is_one_stage():
    text = "FROM --platform=$BUILDPLATFORM base AS x\nRUN x\nFROM x AS y\nRUN y\nFROM base\nCOPY --from=y / /\n"
    joined = join(plans_of(text))
    assert len(joined[0].stages) == 2 + len(PLATFORMS)
    assert list(joined[0].stages) == [stage.index for stage in joined[0].stages.values()]


def test_a_target_that_is_alike_for_all():
    joined = join(plans_of("FROM --platform=$BUILDPLATFORM base\nRUN x\n"))
    assert [plan.target for plan in joined] == [0, 0, 0] and len(joined[0].stages) == 1


def test_equal_steps_with_another_outcome_are_one_stage_all_the_same():
    # ONBUILD leaves no line in the history, so that only the configurations differ.
    text = "FROM --platform=$BUILDPLATFORM base\nRUN x\nARG TARGETARCH\nONBUILD RUN y\n"
    joined = join(plans_of(text))
    assert len([title for title in titles(joined[0]) if "RUN x" in title]) == 1
    assert len({plan.target for plan in joined}) == 3
    for plan, alone in zip(joined, plans_of(text), strict=True):
        assert chain(plan) == chain(alone)


def test_every_image_has_its_own_layers():
    joined = join(plans_of("FROM base\nARG TARGETARCH\nLABEL a=$TARGETARCH\nRUN x\n"))
    for number, plan in enumerate(joined):
        outcome = Outcome(Digest.of(b"%d" % number), "2020")
        image = assemble(plan, [outcome], lambda diff: Layer(Descriptor(OCI_LAYER_GZIP, diff, 1), diff), now="2021")
        assert image.config.labels == {"a": plan.platform.architecture}
        assert image.layers[-1].diff_id == outcome.diff_id


def test_all_targets_are_worked_for():
    joined = join(plans_of(CROSS))
    work = find_work(joined, lambda _: None)
    assert set(work) == set(joined[0].stages)
    assert sum(len(item.vertices) for item in work.values()) == 2 + 2 * len(PLATFORMS)


def test_images_that_files_come_from():
    names = ("base", *(f"tools {platform}" for platform in OTHERS))
    world = World({name: base(name) for name in (*names, "tools", "plain")})
    joined = join(plans_of("FROM base\nCOPY --from=tools /a /\nCOPY --from=plain /b /\n", world))
    assert set(joined[0].images) == {"tools", "plain", *(f"tools for {platform}" for platform in OTHERS)}
    for plan in joined:
        tools, plain = (vertex.op for vertex in plan.stages[plan.target].vertices)
        assert isinstance(tools, CopyOp) and isinstance(plain, CopyOp)
        wanted = base("tools" if plan.platform == host() else f"tools {plan.platform}")
        assert plan.images[tools.source.name].image == wanted
        assert plain.source.name == "plain"


def test_bases_are_those_of_their_stages_platform():
    s390x = OTHERS[0]
    world = World({"base": base("ours"), "base linux/s390x": base("theirs")})
    text = "FROM base AS a\nFROM --platform=linux/s390x base AS b\nFROM b\nCOPY --from=a / /\n"
    plan = plan_of(text, world)
    assert [stage.platform for stage in plan.stages.values()] == [host(), s390x, s390x]
    (a, b, _) = plan.stages.values()
    assert a.base_image and a.base_image.image == world.images["base"]
    assert b.base_image and b.base_image.image == world.images["base linux/s390x"]
    assert a.root != b.root


def test_nothing_is_for_the_target():
    # As in BuildKit: there is nothing that could be run on the builder's platform.
    plan = plan_of("FROM --platform=$BUILDPLATFORM scratch\nCOPY x /\n", platform=OTHERS[0])
    assert plan.stages[0].config.platform == plan.stages[0].platform == OTHERS[0]


@pytest.mark.parametrize(("text", "variant"), [("linux/arm", "v7"), ("linux/arm/6", "v6"), ("linux/arm64/v8", "")])
def test_arguments_say_what_is_built(text: str, variant: str):
    platform = Platform.parse(text)
    env = env_of("FROM base\nARG TARGETPLATFORM TARGETVARIANT BUILDPLATFORM TARGETOS\nRUN x\n", platform=platform)
    assert env["TARGETPLATFORM"] == str(platform) and env["TARGETVARIANT"] == variant
    assert (env["BUILDPLATFORM"], env["TARGETOS"]) == (str(host()), "linux")


def test_windows_is_refused():
    with pytest.raises(DockerfileError, match="images for Windows"):
        plan_of("FROM --platform=windows/amd64 base\n")
