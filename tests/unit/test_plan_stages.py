"""Stages, targets, contexts and ONBUILD: which image or stage a name means."""

from __future__ import annotations

import pytest

from coopery.errors import DockerfileError, UsageError
from coopery.plan.ops import CopyOp, SourceRef
from support.plans import World, base, config_of, copies_of, env_of, history_of, plan_of, runs_of

IMAGE = "docker-image://"


def sources(text: str, world: World | None = None, **options: object) -> list[SourceRef]:
    return [op.source for op in copies_of(text, world, **options)]


def test_only_what_the_target_needs_is_planned_and_looked_up():
    world = World({name: base(name) for name in ("one", "two", "three")})
    text = (
        "FROM one AS a\nFROM two AS b\nFROM missing AS unused\nRUN x\nFROM a AS c\nCOPY --from=b /x /\n"
        "COPY --from=three /x /\nFROM c\n"
    )
    plan = plan_of(text, world)
    assert list(plan.stages) == [0, 1, 3, 4]
    assert sorted(world.asked) == ["one", "three", "two"]
    assert set(plan.images) == {"three"}
    assert [stage.index for stage in plan.lineage] == [0, 3, 4]


@pytest.mark.parametrize(("target", "index"), [("", 2), ("a", 0), ("A", 0), ("1", 1), ("b", 2)])
def test_targets(target, index):
    assert plan_of("FROM base AS a\nFROM base\nFROM base AS b\n", target=target).target == index


@pytest.mark.parametrize(("target", "hint"), [("biuld", "did you mean build?"), ("9", "build, other"), ("-1", "build")])
def test_unknown_targets(target, hint):
    with pytest.raises(UsageError, match="has no stage") as caught:
        plan_of("FROM base AS build\nFROM base AS other\n", target=target)
    assert hint in caught.value.hint


def test_names_beat_numbers_and_images_and_the_last_of_a_name_counts():
    text = (
        "FROM base AS base\nENV A=1\nFROM base AS x\nENV A=2\nFROM base AS x\nENV A=3\n"
        "FROM X\nCOPY --from=1 /f /\nCOPY --from=X /f /\nCOPY --from=alpine:3 /f /\n"
    )
    world = World({"base": base(), "alpine:3": base("alpine")})
    assert sources(text, world) == [
        SourceRef("stage", stage=1),
        SourceRef("stage", stage=2),
        SourceRef("image", "alpine:3"),
    ]
    assert "A=3" in config_of(text, world).env
    assert world.asked.count("base") <= 2  # FROM base AS base is the image, FROM base below it the stage


def test_a_number_is_a_stage_in_copy_only():
    with pytest.raises(Exception, match="no image 0"):
        plan_of("FROM base\nFROM 0\n")


def test_from_is_expanded_by_global_arguments_alone():
    world = World({"base": base(), "image:2-x": base("x")})
    assert plan_of("ARG T=1 V=${T}-x\nFROM image:${V}\n", world, args={"T": "2"}).target == 0
    with pytest.raises(DockerfileError, match=r"^Dockerfile:3: the base image of FROM \$B is empty") as caught:
        plan_of("FROM base\nARG B=base\nFROM $B\n")
    assert caught.value.hint


@pytest.mark.parametrize("platform", ["windows/amd64", "a/b/c/d", "$UNSET"])
def test_what_is_no_platform_to_build_for_is_refused(platform):
    with pytest.raises(DockerfileError, match=r"^Dockerfile:1: "):
        plan_of(f"FROM --platform={platform} base\n")


def test_our_own_platform_is_fine():
    assert plan_of("FROM --platform=$BUILDPLATFORM base\n").target == 0


@pytest.mark.parametrize("name", ["alpine", "alpine:latest", "docker.io/library/alpine", "docker.io/alpine:latest"])
def test_a_context_hides_the_image_under_each_of_its_names(name):
    world = World({"mine/alpine:1": base("mine")})
    text = f"FROM {name}\nCOPY --from={name} /f /\n"
    for key in ("alpine", "alpine:latest", "docker.io/library/alpine"):
        plan = plan_of(text, world, contexts={key: IMAGE + "mine/alpine:1"})
        assert plan.stages[0].base_image is not None
        assert plan.stages[0].base_image.name == "mine/alpine:1"
        assert set(plan.images) == {"mine/alpine:1"}
    # Another tag is another image.
    with pytest.raises(Exception, match="no image"):
        plan_of("FROM alpine:3\n", world, contexts={"alpine": IMAGE + "mine/alpine:1"})


def test_a_context_hides_a_stage():
    text = "FROM base AS dep\nRUN x\nFROM base AS other\nCOPY --from=dep /a /\nCOPY --from=0 /b /\n"
    assert sources(text, contexts={"dep": "./dir"}) == [SourceRef("context", "dep")] * 2
    plan = plan_of(text, World({"base": base(), "img": base("img")}), contexts={"dep": IMAGE + "img"})
    assert list(plan.stages) == [1]
    assert (
        sources(text, World({"base": base(), "img": base("i")}), contexts={"dep": IMAGE + "img"})
        == [SourceRef("image", "img")] * 2
    )
    child = "FROM base AS dep\nRUN x\nFROM dep\n"
    assert list(plan_of(child, World({"img": base("i")}), contexts={"dep": IMAGE + "img"}).stages) == [1]


def test_a_stage_from_a_context_begins_with_its_files():
    stage = plan_of("FROM dep\nCOPY a /\n", contexts={"dep": "./dir"}).stages[0]
    assert stage.base == "scratch"
    sources = [(step.op.source, step.op.patterns) for step in stage.vertices if isinstance(step.op, CopyOp)]
    assert sources == [(SourceRef("context", "dep"), ("/",)), (SourceRef("context"), ("a",))]
    assert plan_of("FROM dep\n", contexts={"dep": IMAGE + "scratch"}).stages[0].base == "scratch"


# ---------------------------------------------------------------------------------------------------- ONBUILD


def test_triggers_of_an_image_fire_first_and_are_gone():
    world = World({"base": base(on_build=("ENV A=1", "RUN one $A", "COPY . /src"))})
    text = "FROM base\nENV A=2\nRUN two\n"
    assert history_of(text, world) == [
        "ENV A=1",
        "RUN /bin/sh -c one $A",
        "COPY . /src",
        "ENV A=2",
        "RUN /bin/sh -c two",
    ]
    assert config_of(text, world).on_build == ()
    titles = [vertex.title for vertex in plan_of(text, world).stages[0].vertices]
    assert titles == ["[2/4] RUN one 1", "[3/4] COPY . /src", "[4/4] RUN two"]


def test_triggers_of_a_stage_fire_in_its_children_not_in_their_children():
    text = "FROM base AS a\nENV W=late\nONBUILD ENV F=$W\nONBUILD RUN fire\nFROM a AS b\nENV W=later\nFROM b\nRUN x\n"
    assert [run.argv[-1] for run in runs_of(text, target="a")] == []
    assert [run.argv[-1] for run in runs_of(text, target="b")] == ["fire"]
    assert [run.argv[-1] for run in runs_of(text)] == ["x"]
    # The trigger's variables are those of the stage it fires in.
    assert "F=late" in config_of(text, target="b").env
    assert config_of(text, target="a").on_build == ("ENV F=$W", "RUN fire")
    assert config_of(text).on_build == ()


@pytest.mark.parametrize("in_image", [True, False])
def test_a_trigger_may_copy_from_a_stage_that_nothing_else_names(in_image):
    trigger = "COPY --from=src /in /out"
    world = World({"base": base(on_build=(trigger,) if in_image else ()), "deep": base("deep")})
    stage = "FROM base AS parent\n" if in_image else f"FROM base AS first\nONBUILD {trigger}\nFROM first AS parent\n"
    plan = plan_of(f"FROM deep AS below\nRUN make\nFROM below AS src\n{stage}RUN x\nFROM parent\n", world)
    assert {0, 1} <= set(plan.stages)
    assert list(plan.stages) == sorted(plan.stages)
    copies = [v.op for stage in plan.stages.values() for v in stage.vertices if isinstance(v.op, CopyOp)]
    assert [op.source for op in copies] == [SourceRef("stage", stage=1)]


def test_a_bad_trigger_is_told_at_the_from_line():
    world = World({"base": base(on_build=("COPY --from=nobody:1 a",))})
    with pytest.raises(DockerfileError, match=r"^Dockerfile:2: ") as caught:
        plan_of("ARG X\nFROM base\n", world)
    assert ">>> FROM base" in caught.value.detail


def test_arguments_of_triggers_end_with_the_stage():
    world = World({"base": base(on_build=("ARG T=1",))})
    assert env_of("FROM base AS a\nFROM base\nRUN x\n", world)["T"] == "1"
    assert "T" not in env_of("FROM base AS a\nFROM other\nRUN x\n", World({"base": base(), "other": base("o")}))


def test_titles_number_the_steps_of_each_stage():
    plan = plan_of("FROM base AS one\nRUN a\nENV X=1\nFROM one\nWORKDIR /w\nCOPY $X y\nWORKDIR /\n")
    assert [vertex.title for stage in plan.stages.values() for vertex in stage.vertices] == [
        "[one 2/2] RUN a",
        "[stage-1 1/3] WORKDIR /w",
        "[stage-1 2/3] COPY 1 y",
    ]
    assert plan.stages[0].title.startswith("[one 1/2] FROM ")
    many = plan_of("FROM base\n" + "RUN a\n" * 9)
    assert [vertex.title for vertex in many.stages[0].vertices][7:] == ["[ 9/10] RUN a", "[10/10] RUN a"]
