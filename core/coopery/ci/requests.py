"""From a target's settings to one call of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from coopery.ci.intents import Intent
from coopery.ci.secrets import BuildSecrets
from coopery.ci.settings import Target
from coopery.ci.tags import Naming
from coopery.engines.cache_spec import Option, parse_cache
from coopery.engines.outputs import with_push
from coopery.engines.spelling import (
    parse_annotation,
    parse_entitlements,
    parse_hosts,
    parse_platforms,
    parse_size_option,
    parse_ssh,
    parse_ulimits,
)
from coopery.errors import CooperyError
from coopery.export.output_spec import parse_output
from coopery.oci.platform import Platform
from coopery.ports import NETWORKS
from coopery.request import DEFAULT_SHM_SIZE, Annotation, BuildRequest, CacheSpec, Compression, Output

T = TypeVar("T")

_EPOCH = "SOURCE_DATE_EPOCH"
_COMPRESSIONS: Mapping[str, Compression] = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "uncompressed"}


def make_request(intent: Intent, secrets: BuildSecrets, environ: Mapping[str, str]) -> BuildRequest:
    """What the engine is asked for. UsageError, with its place, for settings that the engine can't honour."""
    target, naming = intent.target, intent.naming
    _check_supported(target)
    platforms = _platforms(target, intent.platforms)
    epoch = environ.get(_EPOCH)
    arguments = {_EPOCH: epoch, **target.build_args} if epoch else dict(target.build_args)
    return BuildRequest(
        context=target.context,
        dockerfile=target.file,
        tags=intent.names,
        outputs=_outputs(target, intent.push),
        target=target.target,
        build_args=MappingProxyType(arguments),
        labels=MappingProxyType(dict(naming.labels)),
        annotations=tuple(
            each
            for each in annotations_for(target, naming, indexed=len(platforms) > 1)
            if _concerns(each, platforms, target)
        ),
        platforms=platforms,
        build_contexts=target.build_contexts,
        secrets=secrets.secrets,
        ssh=_spotted(target, "ssh", lambda: parse_ssh(target.ssh, environ, "ssh")),
        allow=_spotted(target, "allow", lambda: parse_entitlements(target.allow, "allow")),
        no_cache=target.no_cache,
        cache_from=_caches(target, "--cache-from", intent.cache.sources),
        cache_to=_caches(target, "--cache-to", intent.cache.targets),
        pull=target.pull,
        add_hosts=parse_hosts(target.add_hosts),
        network=NETWORKS[target.network],
        shm_size=parse_size_option(target.shm_size, "shm-size") if target.shm_size else DEFAULT_SHM_SIZE,
        ulimits=parse_ulimits(target.ulimit),
        isolation=target.isolation,
        scratch=target.scratch,
        compression=_COMPRESSIONS[target.compression],
        compression_level=target.compression_level,
    )


def annotations_for(target: Target, naming: Naming, *, indexed: bool) -> tuple[Annotation, ...]:
    """The annotations of what is built. A key may say what it is for: `index:KEY`, `manifest[linux/amd64]:KEY`; without
    that it is for all images and, if there is one, for the index. UsageError, with its place, for others.
    """
    found: list[Annotation] = []
    for name, value in naming.annotations.items():
        try:
            parsed = parse_annotation(name, value, f"annotations: {name}")
        except CooperyError as error:
            target.spot("annotations").blame(error)
            raise
        found += parsed
        if indexed and parsed[0].key == name:
            found.append(replace(parsed[0], level="index"))
    return tuple(found)


def _concerns(annotation: Annotation, platforms: Sequence[Platform], target: Target) -> bool:
    """Whether the annotation is for this job, and not for the one that joins images or for that of another platform."""
    if annotation.level == "index" and len(platforms) == 1:
        return False
    elsewhere = set(map(Platform.parse, target.platforms)) - set(platforms)
    return annotation.platform not in elsewhere


def _platforms(target: Target, texts: Sequence[str]) -> tuple[Platform, ...]:
    try:
        return parse_platforms(texts)
    except CooperyError as error:
        target.spot("platforms").blame(error)
        raise


def _outputs(target: Target, push: bool) -> tuple[Output, ...]:
    """The outputs that are written. Whether images are pushed is decided for all of them."""
    outputs = tuple(replace(output, push=push and output.push) for output in map(parse_output, target.outputs))
    if target.load:
        outputs += (Output(type="docker", oci_media_types=False),)
    return with_push(outputs, push)


def _spotted(target: Target, key: str, read: Callable[[], T]) -> T:
    """What `read` gives; its errors get the place of the setting `key`."""
    try:
        return read()
    except CooperyError as error:
        target.spot(key).blame(error)
        raise


def _caches(target: Target, option: Option, texts: Sequence[str]) -> tuple[CacheSpec, ...]:
    return _spotted(target, option[2:], lambda: tuple(parse_cache(text, option) for text in texts))


#: What the engine has no way to do yet, with a way out.
UNSUPPORTED = {
    "no-cache-filters": ("single stages can't be rebuilt", "rebuild all of them with no-cache: true"),
}


def _check_supported(target: Target) -> None:
    """UsageError for a setting that the engine can't honour."""
    for key, (reason, hint) in UNSUPPORTED.items():
        if getattr(target, key.replace("-", "_")):
            raise target.spot(key).error(f"{key}: {reason}", hint=hint)
