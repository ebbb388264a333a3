"""Whether the commands of a build can be run here, told before the first of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from coopery.errors import EnvironmentUnsuitable
from coopery.oci.platform import Platform, host
from coopery.plan.ops import RunOp
from coopery.plan.plan import Plan
from coopery.solver.hits import StageWork


def check_runnable(
    plan: Plan,
    work: Mapping[int, StageWork],
    obstacles: Callable[[Sequence[Platform]], Mapping[Platform, str]],
    source: Sequence[str],
) -> None:
    """EnvironmentUnsuitable, at its line, for a command that is left to run and can't be. `obstacles` tells why those
    for a platform can't, empty if they can; it is asked only about others than this machine's."""
    foreign = []
    for item in work.values():
        stage = plan.stages[item.index]
        # An image may serve for another platform than it says; what is asked for decides as well.
        platforms = (stage.platform, stage.config.platform)
        vertex = next((vertex for vertex in item.vertices if isinstance(vertex.op, RunOp)), None)
        if vertex and not any(platform.satisfies(host()) for platform in platforms):
            foreign.append((vertex, platforms))
    if not foreign:
        return
    reasons = obstacles(list(dict.fromkeys(platform for _, platforms in foreign for platform in platforms)))
    for vertex, platforms in foreign:
        if all(reasons[platform] for platform in platforms):
            wanted = platforms[0]
            error = EnvironmentUnsuitable(
                f"this command is for {wanted}: {reasons[wanted]}",
                hint=f"build for {wanted} on a machine that runs it, and join the images with `coopery index create` "
                "or, in CI jobs, `coopery ci merge`; or register an emulator with the kernel, as Debian's package "
                "qemu-user-static does; or let the stage run natively: FROM --platform=$BUILDPLATFORM",
            )
            error.at(vertex.location, source)
            raise error
