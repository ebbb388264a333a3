"""The same Dockerfiles built by Coopery and by other builders: what comes out is the same, or known not to be."""

from __future__ import annotations

import conformance_changes
import conformance_configuration
import conformance_contexts
import conformance_copies
import conformance_flags
import conformance_mounts
import conformance_suites
import pytest
from conformance_compare import differences, facts, unexplained
from conformance_differences import EVERYWHERE, KNOWN, REFUSED
from conformance_peers import BUILDAH, BUILDKIT

import plainregistry

PARTS = (
    conformance_configuration,
    conformance_copies,
    conformance_flags,
    conformance_contexts,
    conformance_changes,
    conformance_mounts,
    conformance_suites,
)
CASES = [case for part in PARTS for case in part.CASES]


@pytest.mark.parametrize("name", [BUILDAH, BUILDKIT])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_image_is_the_one_that_another_builder_makes(case, name, peer, ours, registry):
    builder = peer(name)
    context, mine = ours(case)
    if (name, case.name) in REFUSED:
        return
    reference = f"{registry.host}/{name}/{case.name}:1"
    builder.build(context, context / "Dockerfile", reference, case.args, case.target)
    found = differences(mine, facts(plainregistry.pull(reference)))
    faults = unexplained(found, KNOWN.get((name, case.name), ()), EVERYWHERE[name])
    assert not faults, "\n".join([f"{case.name}, ours and that of {name}:", *faults])
