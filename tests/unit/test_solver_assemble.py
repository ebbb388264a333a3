"""What the solver does without running anything: which work is left, and which image comes of it."""

from __future__ import annotations

from coopery.cache.records import CacheRecord, Outcome
from coopery.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Layer
from coopery.plan.plan import Plan
from coopery.solver.assemble import assemble
from coopery.solver.hits import find_work
from support.plans import World, base, plan_of

NOW = "2030-01-01T00:00:00Z"
TEXT = """\
FROM base AS tools
RUN tools
FROM base AS unneeded
RUN x
FROM base AS one
RUN first
COPY --from=tools /t /t
ENV A=1
FROM one
RUN last
CMD x
"""


def layer(diff_id: Digest) -> Layer:
    return Layer(Descriptor(OCI_LAYER_GZIP, diff_id, 1), diff_id)


def cached(plan: Plan, *steps: tuple[int, int]):
    """A look-up that finds these steps: (stage, number of the step)."""
    known = {plan.stages[stage].vertices[step].key for stage, step in steps}
    return lambda key: CacheRecord(key, (Outcome(key, "2020"),)) if key in known else None


def todo(plan: Plan, *steps: tuple[int, int]) -> dict[int, tuple[int, int]]:
    """By stage: how many steps were found, and how many are to run."""
    work = find_work([plan], cached(plan, *steps))
    return {index: (len(item.cached), len(item.vertices)) for index, item in work.items()}


def test_the_deepest_hit_counts_and_what_it_makes_needless_is_left_out():
    plan = plan_of(TEXT)
    assert todo(plan) == {0: (0, 1), 2: (0, 2), 3: (0, 1)}
    assert todo(plan, (3, 0)) == {3: (1, 0)}
    assert todo(plan, (2, 1)) == {2: (2, 0), 3: (0, 1)}
    assert todo(plan, (2, 0)) == {0: (0, 1), 2: (1, 1), 3: (0, 1)}
    assert todo(plan, (0, 0), (2, 0)) == {0: (1, 0), 2: (1, 1), 3: (0, 1)}


def test_layers_history_and_times():
    plan = plan_of(TEXT, World({"base": base(created="2001", env=("B=0",))}))
    outcomes = [Outcome(Digest.of(b"%d" % number), f"20{number}0") for number in (2, 3, 4)]
    image = assemble(plan, outcomes, layer, now=NOW)
    assert [item.diff_id for item in image.layers[1:]] == [outcome.diff_id for outcome in outcomes]
    assert [(line.created_by, line.created, line.empty_layer) for line in image.config.history] == [
        ("RUN /bin/sh -c first", "2020", False),
        ("COPY /t /t", "2030", False),
        ("ENV A=1", "2030", True),
        ("RUN /bin/sh -c last", "2040", False),
        ('CMD ["/bin/sh" "-c" "x"]', "2040", True),
    ]
    assert image.config.created == "2040"
    assert image.config.env[0] == "B=0"
    assert assemble(plan, outcomes, layer, now="2099") == image


def test_an_epoch_replaces_all_times():
    plan = plan_of(TEXT)
    outcomes = [Outcome(Digest.of(b"%d" % number), "2020") for number in range(3)]
    config = assemble(plan, outcomes, layer, now=NOW, epoch="1970").config
    assert {line.created for line in config.history} == {config.created} == {"1970"}


def test_without_layers_of_its_own_an_image_has_its_bases_time():
    world = World({"base": base(created="2001")})
    assert assemble(plan_of("FROM base\n", world), (), layer, now=NOW).config.created == "2001"
    labelled = assemble(plan_of("FROM base\nLABEL a=b\n", world), (), layer, now=NOW).config
    assert (labelled.created, labelled.history[-1].created) == ("2001", "2001")
    assert assemble(plan_of("FROM scratch\nLABEL a=b\n"), (), layer, now=NOW).config.created == NOW


def test_instructions_before_the_first_layer_have_its_time():
    config = assemble(plan_of("FROM base\nENV A=1\nRUN x\n"), [Outcome(Digest.of(b"x"), "2020")], layer, now=NOW).config
    assert [line.created for line in config.history] == ["2020", "2020"]
