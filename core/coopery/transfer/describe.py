"""What `coopery inspect` shows. Pure.

The members of the JSON are those of `skopeo inspect`, so that scripts go on working, and what an index is made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coopery.oci.config import ImageConfig
from coopery.oci.descriptor import Descriptor
from coopery.oci.manifest import Index
from coopery.progress.amounts import human_size
from coopery.transfer.content import Document


def describe(name: str, tag: str, top: Document, image: Document | None, config: ImageConfig | None) -> dict[str, Any]:
    """Facts about `top`, which is called `name`, and about the image that was chosen from it, if there is one.

    `config` is None too for what isn't an image: an artifact has layers, but nothing to run.
    """
    value: dict[str, Any] = {
        "Name": name,
        "Tag": tag,
        "Digest": str(top.descriptor.digest),
        "MediaType": top.value.media_type,
    }
    if top.value.annotations:
        value["Annotations"] = dict(top.value.annotations)
    if isinstance(top.value, Index):
        value["Manifests"] = [_entry(entry) for entry in top.value.manifests]
    if image and not isinstance(image.value, Index):
        layers = image.value.layers
        if image is not top:
            value["ImageDigest"] = str(image.descriptor.digest)
        value |= {
            "Config": str(image.value.config.digest),
            "Size": sum(layer.size for layer in layers),
            "Layers": [str(layer.digest) for layer in layers],
            "LayersData": [_layer(layer) for layer in layers],
        }
    if config:
        value |= {
            "Created": config.created,
            "Labels": dict(config.labels),
            "Architecture": config.platform.architecture,
            "Variant": config.platform.variant,
            "Os": config.platform.os,
            "Env": list(config.env),
            "Entrypoint": _listed(config.entrypoint),
            "Cmd": _listed(config.cmd),
            "User": config.user,
            "WorkingDir": config.working_dir,
        }
    return value


def as_text(value: Mapping[str, Any]) -> str:
    """The same for people, without a newline at its end."""
    lines = [_line(key, value[key]) for key in ("Name", "Tag", "Digest", "MediaType") if value[key]]
    lines += _mapping("Annotations", value.get("Annotations"))
    if "Manifests" in value:
        lines.append("Manifests:")
        lines += [f"  {_manifest_line(entry)}" for entry in value["Manifests"]]
    if "Layers" in value:
        platform = "/".join(value[key] for key in ("Os", "Architecture", "Variant") if value.get(key))
        facts = {"Platform": platform, "Image": value.get("ImageDigest")}
        facts |= {key: value.get(key) for key in ("Config", "Created", "User", "WorkingDir")}
        facts |= {key: " ".join(value.get(key) or ()) for key in ("Entrypoint", "Cmd")}
        lines += [_line(key, text) for key, text in facts.items() if text]
        if value.get("Env"):
            lines += ["Env:", *(f"  {_printable(text)}" for text in value["Env"])]
        lines += _mapping("Labels", value.get("Labels"))
        lines.append(_line("Size", f"{human_size(value['Size'])} in {len(value['Layers'])} layers"))
        for layer in value["LayersData"]:
            lines.append(f"  {layer['Digest']}  {human_size(layer['Size'])}  {layer['MIMEType']}")
    return "\n".join(lines)


def _entry(entry: Descriptor) -> dict[str, Any]:
    value: dict[str, Any] = {
        "MediaType": entry.media_type,
        "Digest": str(entry.digest),
        "Size": entry.size,
        "Platform": str(entry.platform or ""),
    }
    if entry.annotations:
        value["Annotations"] = dict(entry.annotations)
    return value


def _layer(layer: Descriptor) -> dict[str, Any]:
    annotations = dict(layer.annotations) or None
    return {"MIMEType": layer.media_type, "Digest": str(layer.digest), "Size": layer.size, "Annotations": annotations}


def _listed(words: Sequence[str] | None) -> list[str] | None:
    return None if words is None else list(words)


def _line(key: str, text: str) -> str:
    return f"{key + ':':<12}{_printable(text)}"


def _mapping(key: str, values: Mapping[str, str] | None) -> list[str]:
    if not values:
        return []
    return [f"{key}:", *(f"  {_printable(name)}={_printable(text)}" for name, text in sorted(values.items()))]


def _manifest_line(entry: Mapping[str, Any]) -> str:
    return f"{entry['Digest']}  {_printable(entry['Platform']) or '-'}"


def _printable(text: str) -> str:
    """`text` on one line: in a terminal an image's words must not act."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
