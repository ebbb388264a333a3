"""Plans from Dockerfile texts, with images that exist only as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from coopery.dockerfile import parse
from coopery.errors import Location, NotFound
from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from coopery.oci.digest import Digest
from coopery.oci.image import Image, Layer
from coopery.oci.platform import Platform, host
from coopery.oci.reference import Reference
from coopery.plan.ops import CopyOp, RunOp, Surroundings
from coopery.plan.outline import outline
from coopery.plan.plan import BaseImage, Plan
from coopery.plan.planner import make_plan
from coopery.ports import Fetched


def base(content: str = "base", **config: Any) -> Image:
    """An image of one layer, told from others by `content`."""
    diff_id = Digest.of(content.encode())
    layer = Layer(Descriptor(OCI_LAYER_GZIP, diff_id, 1), diff_id)
    return Image(ImageConfig(host(), diff_ids=(diff_id,), **config), (layer,))


@dataclass
class World:
    """What a plan looks up: images by the references that were asked for, alone or with the platform (`base
    linux/386`), and the keys of context files."""

    images: Mapping[str, Image] = field(default_factory=lambda: {"base": base()})
    files: Callable[[CopyOp], Digest] | None = None
    asked: list[str] = field(default_factory=list)

    def image(self, reference: str, platform: Platform, _: Location) -> BaseImage:
        self.asked.append(reference)
        reference = next((name for name in (f"{reference} {platform}", reference) if name in self.images), reference)
        if reference not in self.images:
            raise NotFound(f"no image {reference}")
        image = self.images[reference]
        manifest, config = image.manifest()
        data = manifest.serialize()
        descriptor = Descriptor(OCI_MANIFEST, Digest.of(data), len(data))
        reference = reference.partition(" ")[0]
        return BaseImage(reference, image, Fetched(Reference.parse(reference), descriptor, descriptor, data, config))

    def context_files(self, op: CopyOp, _: Location) -> Digest:
        if self.files is None:
            return Digest.of(repr((op.source, op.patterns, op.inline)).encode())
        return self.files(op)

    def mounted_files(self, context: str, path: str, _: Location) -> Digest:
        return Digest.of(repr((context, path)).encode())


def plan_of(
    text: str,
    world: World | None = None,
    *,
    target: str = "",
    args: Mapping[str, str] | None = None,
    contexts: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    network: str = "default",
    around: Surroundings | None = None,
    platform: Platform | None = None,
    titled: bool = False,
) -> Plan:
    """The plan of a Dockerfile; a base image called `base` is there unless `world` says otherwise."""
    platform = platform or host()
    lined = outline(parse(text), target=target, platform=platform, build_args=args or {}, contexts=contexts or {})
    return make_plan(
        lined,
        world or World(),
        platform=platform,
        build_args=args or {},
        labels=labels or {},
        contexts=contexts or {},
        around=around or Surroundings(network),
        titled=titled,
    )


def config_of(text: str, world: World | None = None, **options: Any) -> ImageConfig:
    """The target's configuration."""
    plan = plan_of(text, world, **options)
    return plan.stages[plan.target].config


def history_of(text: str, world: World | None = None, **options: Any) -> list[str]:
    """The lines that the target's own instructions leave in the history."""
    plan = plan_of(text, world, **options)
    return [step.created_by for step in plan.stages[plan.target].steps]


def runs_of(text: str, world: World | None = None, **options: Any) -> list[RunOp]:
    """The target's RUN steps."""
    plan = plan_of(text, world, **options)
    return [vertex.op for vertex in plan.stages[plan.target].vertices if isinstance(vertex.op, RunOp)]


def env_of(text: str, world: World | None = None, **options: Any) -> dict[str, str]:
    """What the target's last RUN sees."""
    return dict(entry.split("=", 1) for entry in runs_of(text, world, **options)[-1].env)


def copies_of(text: str, world: World | None = None, **options: Any) -> list[CopyOp]:
    """The target's COPY and ADD steps."""
    plan = plan_of(text, world, **options)
    return [vertex.op for vertex in plan.stages[plan.target].vertices if isinstance(vertex.op, CopyOp)]


def last_key(text: str, world: World | None = None, **options: Any) -> Digest:
    """The key of the target's end."""
    plan = plan_of(text, world, **options)
    return plan.stages[plan.target].key
