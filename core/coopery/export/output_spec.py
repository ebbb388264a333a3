"""The grammar of `--output`: buildx's (util/buildflags/export.go), read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from coopery.errors import UsageError
from coopery.oci.platform import Platform
from coopery.oci.reference import Reference
from coopery.request import Annotation, AnnotationLevel, Compression, Output, OutputType

#: `annotation-LEVEL[PLATFORM].KEY`.
_ANNOTATION = re.compile(r"annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9/_-]*)\])?\.(.*)", re.IGNORECASE | re.DOTALL)

#: Go's strconv.ParseBool.
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

_IMAGE_KEYS = ("name", "oci-mediatypes", "compression", "compression-level")
#: The keys of each type, apart from `type` and annotations.
_KEYS: dict[str, tuple[str, ...]] = {
    "image": (*_IMAGE_KEYS, "push"),
    "registry": (*_IMAGE_KEYS, "push"),
    "oci": (*_IMAGE_KEYS, "dest", "tar"),
    "docker": ("name", "oci-mediatypes", "dest", "tar"),
    "tar": ("dest", "platform-split"),
    "local": ("dest", "platform-split"),
}
#: What buildx has and this builder has not; asking for it not to happen is fine.
_SWITCHES = frozenset(
    {
        "buildinfo",
        "force-compression",
        "name-canonical",
        "prefer-nondist-layers",
        "push-by-digest",
        "registry.insecure",
        "rewrite-timestamp",
        "store",
        "unpack",
    }
)


def parse_output(text: str) -> Output:
    """The output that `text` asks for: `type=oci,dest=image.tar`, or a directory alone, or `-` for a tar.

    A field may be quoted as in CSV (RFC 4180, as Go's encoding/csv reads it). `type=registry` becomes an image that
    is pushed; tars without `dest` go to standard output, and `type=docker` without one has an empty `dest`: to be
    loaded. UsageError for anything that can't be honoured.
    """
    fields = csv_fields(text)
    known = {"type", *(key for keys in _KEYS.values() for key in keys)}
    # buildx would take `dest=x` alone for a directory of that name.
    if fields == [text] and text.partition("=")[0].strip().lower() not in known - {text}:
        if not text:
            raise UsageError("an output must not be empty", hint="write --output type=…, or a directory")
        return Output(type="tar" if text == "-" else "local", dest=text)
    values: dict[str, str] = {}
    annotations: list[Annotation] = []
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise UsageError(f"--output {text}: {field!r} is not of the form key=value", hint=_field_hint(field))
        key = key.strip()
        found = _ANNOTATION.fullmatch(key)
        if found:
            level, platform, own = found.groups()
            annotations.append(annotation(own, value, level or "", platform or "", f"--output {text}"))
        else:
            values[key.lower()] = value
    return _output(text, values, annotations)


def csv_fields(text: str) -> list[str]:
    """The fields of one line of CSV; UsageError for quotes that don't fit."""
    fields = []
    rest = text
    while True:
        if rest.startswith('"'):
            field, rest = _quoted(text, rest)
        else:
            end = rest.find(",")
            field, rest = (rest, "") if end < 0 else (rest[:end], rest[end:])
            if '"' in field:
                hint = "put quotes around the whole field, and double those inside"
                raise UsageError(f"{text}: a quote inside a field", hint=hint)
        fields.append(field)
        if not rest:
            return fields
        rest = rest[1:]


def parse_bool(text: str, what: str) -> bool:
    """The truth value that `text` spells in Go (strconv.ParseBool); UsageError naming `what` otherwise."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UsageError(f"{what}: {text!r} is neither true nor false", hint="write true or false")


def _quoted(text: str, rest: str) -> tuple[str, str]:
    field, place = "", 1
    while True:
        end = rest.find('"', place)
        if end < 0:
            raise UsageError(f"{text}: a quote is not closed")
        field += rest[place:end]
        if rest[end + 1 : end + 2] != '"':
            break
        field += '"'
        place = end + 2
    rest = rest[end + 1 :]
    if rest and rest[0] != ",":
        raise UsageError(f"{text}: text after a closing quote", hint="put quotes around the whole field")
    return field, rest


def annotation(key: str, value: str, level: str, platform: str, what: str) -> Annotation:
    """The annotation that buildx calls `LEVEL[PLATFORM]:KEY=VALUE`; level and platform may be empty. UsageError naming
    `what` for one that can't be honoured."""
    if not key:
        raise UsageError(f"{what}: an annotation without a key", hint="write KEY=VALUE")
    chosen = next((each for each in get_args(AnnotationLevel) if each == (level or "manifest")), None)
    if chosen is None:
        hint = f"annotations go to {_listed(get_args(AnnotationLevel))}"
        raise UsageError(f"{what}: there is no {level} to annotate", hint=hint)
    if platform and chosen == "index":
        raise UsageError(f"{what}: an index is for no single platform", hint="write index:KEY=VALUE")
    wanted = Platform.parse(platform) if platform else None
    return Annotation(key=key, value=value, level=chosen, platform=wanted)


def _output(text: str, values: dict[str, str], annotations: list[Annotation]) -> Output:
    name = f"--output {text}"
    type_ = values.pop("type", "")
    if not type_:
        raise UsageError(f"{name}: no type", hint=f"add type= with one of {_listed(_KEYS)}")
    if type_ not in get_args(OutputType):
        hint = _did_you_mean(type_, _KEYS) or f"types are {_listed(_KEYS)}"
        if type_ == "cacheonly":
            hint = "without any --output and --push, nothing but the cache is written"
        raise UsageError(f"{name}: there is no output type {type_!r}", hint=hint)
    _check_keys(name, type_, values, annotations)
    output = Output(
        type=_TYPES[type_],
        dest=values.get("dest", ""),
        names=tuple(part.strip() for part in values.get("name", "").split(",") if part.strip()),
        push=type_ == "registry",
        oci_media_types=type_ != "docker",
        annotations=tuple(annotations),
        compression=_compression(name, values.get("compression")),
        compression_level=_level(name, values.get("compression-level")),
    )
    for reference in output.names:
        Reference.parse(reference)
    if "push" in values:
        output = replace(output, push=parse_bool(values["push"], f"{name}: push"))
    if "platform-split" in values:
        output = replace(output, platform_split=parse_bool(values["platform-split"], f"{name}: platform-split"))
    if "tar" in values:
        output = replace(output, tar=parse_bool(values["tar"], f"{name}: tar"))
    if "oci-mediatypes" in values:
        text_value = values["oci-mediatypes"] or "true"
        output = replace(output, oci_media_types=parse_bool(text_value, f"{name}: oci-mediatypes"))
    return _with_destination(name, output)


_TYPES: dict[str, OutputType] = {
    "image": "image",
    "registry": "image",
    "oci": "oci",
    "docker": "docker",
    "tar": "tar",
    "local": "local",
}


def _check_keys(name: str, type_: str, values: dict[str, str], annotations: list[Annotation]) -> None:
    known = _KEYS[type_]
    for key in [key for key in values if key not in known]:
        if key in _SWITCHES:
            if parse_bool(values[key] or "true", f"{name}: {key}"):
                raise UsageError(f"{name}: {key} is not supported", hint="leave it out")
            del values[key]
            continue
        users = [other for other, keys in _KEYS.items() if key in keys]
        if users:
            raise UsageError(f"{name}: {key} has no meaning for type={type_}", hint=f"it is for {_listed(users)}")
        hint = _did_you_mean(key, known) or f"type={type_} knows {_listed(known)}"
        if key.startswith("annotation"):
            hint = "annotations are annotation.KEY=VALUE, annotation-index.KEY=VALUE or annotation[PLATFORM].KEY=VALUE"
        raise UsageError(f"{name}: unknown key {key!r}", hint=hint)
    if annotations and type_ in ("tar", "local"):
        raise UsageError(f"{name}: annotations have no meaning for type={type_}", hint="they are for images")


def _with_destination(name: str, output: Output) -> Output:
    if output.type == "image":
        return output
    directory = output.type == "local" or not output.tar
    if output.type == "docker" and not output.tar:
        raise UsageError(f"{name}: type=docker is always a tar", hint="type=oci,tar=false writes a directory")
    if directory and output.dest in ("", "-"):
        where = "standard output" if output.dest else "nowhere"
        raise UsageError(f"{name}: a directory can't be written to {where}", hint="name it with dest=DIRECTORY")
    if not output.dest and output.type != "docker":
        return replace(output, dest="-")
    return output


def _compression(name: str, text: str | None) -> Compression | None:
    if text is None:
        return None
    choices: tuple[Literal["gzip", "zstd", "uncompressed"], ...] = get_args(Compression)
    for choice in choices:
        if text == choice:
            return choice
    hint = _did_you_mean(text, choices) or f"compressions are {_listed(choices)}"
    raise UsageError(f"{name}: there is no compression {text!r}", hint=hint)


def _level(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{name}: compression-level={text} is not a number", hint="such as 6") from None


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.lower(), list(known), 1, 0.6)
    return f"did you mean {close[0]}?" if close else ""


def _field_hint(field: str) -> str:
    return _did_you_mean(field, [key for keys in _KEYS.values() for key in keys]) or "write key=value"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
