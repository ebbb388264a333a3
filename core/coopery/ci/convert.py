"""From what is written to typed values: one function for each kind of key, for YAML, objects and text alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from coopery.ci.keys import LOGINS, REGISTRY_KEYS, Key
from coopery.ci.settings import RegistryEntry, SecretName
from coopery.ci.written import Faults, Items, Pairs, Spot, Text, Written, did_you_mean
from coopery.errors import CooperyError, UsageError

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_LONGEST_NAME = 256
#: An entry that is a tag or a name, not a rule of several fields: those may be listed on one line.
_FIELDS = re.compile(r"(?:^|,)\s*[a-z-]+=")
_BUILDX_SECRET = re.compile(r"(?:type|id)=")


def convert(key: Key, written: Written, faults: Faults) -> Any:
    """The value of `key`: text, int, bool, a tuple or a read-only mapping. None if it isn't given: empty text, list or
    mapping. What is wrong goes to `faults`.
    """
    if isinstance(written, Text) and not written.value.strip():
        return None
    try:
        value = _READERS[key.kind](key, written, faults)
    except CooperyError as error:
        written.spot.blame(error)
        faults.add(error)
        return None
    return None if value in ("", (), {}) else value


# ------------------------------------------------------------------------------------------------ plain values


def _text(key: Key, written: Written, _: Faults) -> str:
    value = _plain(key.name, written).strip()
    if key.choices:
        value = value.lower()
        if value not in key.choices:
            raise UsageError(f"{key.name}: there is no {value!r}", hint=_choice_hint(value, key.choices))
    if "\0" in value or ("\n" in value):
        raise UsageError(f"{key.name} must be one line")
    if key.check and value:
        key.check(value)
    return value


def _number(key: Key, written: Written, _: Faults) -> int:
    text = _plain(key.name, written).strip()
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{key.name}: {text!r} is not a number", hint="such as 6") from None


def _flag(key: Key, written: Written, _: Faults) -> bool:
    return _truth(key.name, written)


def _truth(name: str, written: Written) -> bool:
    text = _plain(name, written).strip().lower()
    if text not in _TRUE | _FALSE:
        raise UsageError(f"{name}: {text!r} is neither true nor false", hint="write true or false")
    return text in _TRUE


def _plain(name: str, written: Written) -> str:
    if isinstance(written, Text):
        return written.value
    what = "a list" if isinstance(written, Items) else "a mapping"
    raise written.spot.error(f"{name} takes one value, not {what}")


# ------------------------------------------------------------------------------------------------ lists


def _list(key: Key, written: Written, faults: Faults) -> tuple[str, ...]:
    found = []
    for entry in _entries(key, written):
        if key.check:
            try:
                key.check(entry.value)
            except CooperyError as error:
                entry.spot.blame(error)
                faults.add(error)
        found.append(entry.value)
    return tuple(found)


def _entries(key: Key, written: Written) -> Iterator[Text]:
    if isinstance(written, Text):
        for line in lines_of(written):
            single = key.commas and not _FIELDS.search(line.value)
            for part in line.value.split(",") if single else [line.value]:
                if part.strip():
                    yield Text(part.strip(), line.spot)
    elif isinstance(written, Items):
        for each in written.items:
            text = _plain(f"an entry of {key.name}", each).strip()
            if text:
                yield Text(text, each.spot)
    elif key.name == "flavor":  # latest=auto is as well said as a mapping
        for name, each in written.pairs:
            yield Text(f"{name.value}={_plain(f'flavor: {name.value}', each)}", name.spot)
    else:
        raise written.spot.error(f"{key.name} takes a list, not a mapping", hint=f"write {key.name}: [ONE, OTHER]")


def lines_of(text: Text) -> Iterator[Text]:
    """The entries of a text that has one on each line. Empty lines and those that begin with `#` say nothing; an entry
    in quotes may have several lines, its own quotes doubled, as in build-push-action's inputs.
    """
    rest = text.value.replace("\r\n", "\n")
    while rest:
        rest = rest.lstrip()
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"]|"")*)"[ \t]*(?:\n|$)', rest)
            if not match:
                hint = "close the quotes at the end of the entry, and double those inside"
                raise text.spot.error("an entry that begins with a quote doesn't end with one", hint=hint)
            yield Text(match[1].replace('""', '"'), text.spot)
            rest = rest[match.end() :]
            continue
        line, _, rest = rest.partition("\n")
        line = line.strip()
        if line and not line.startswith("#"):
            yield Text(line, text.spot)


# ------------------------------------------------------------------------------------------------ mappings


def _mapping(key: Key, written: Written, faults: Faults) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, value in _pairs(key.name, written):
        if not isinstance(value, Text):
            faults.add(value.spot.error(f"{key.name}: {name.value} takes one value"))
        elif not name.value or any(character in name.value for character in "\0\n="):
            faults.add(name.spot.error(f"{key.name}: {name.value!r} can't be a key"))
        elif "\0" in value.value:
            faults.add(value.spot.error(f"{key.name}: the value of {name.value} holds a NUL"))
        else:
            found[name.value] = value.value
    return MappingProxyType(found)


def _pairs(name: str, written: Written) -> Iterator[tuple[Text, Written]]:
    """Keys and values: of a mapping, or of KEY=VALUE lines or entries."""
    if isinstance(written, Pairs):
        yield from written.pairs
        return
    entries: Iterator[Written] = lines_of(written) if isinstance(written, Text) else iter(written.items)
    for entry in entries:
        text = _plain(f"an entry of {name}", entry)
        key, equals, value = text.partition("=")
        if not equals:
            raise entry.spot.error(f"{name}: {key!r} is not KEY=VALUE", hint="write KEY=VALUE, each on its line")
        yield Text(key.strip(), entry.spot), Text(value, entry.spot)


def _secrets(key: Key, written: Written, faults: Faults) -> Mapping[str, SecretName]:
    found: dict[str, SecretName] = {}
    if isinstance(written, Pairs):
        pairs = list(written.pairs)
    else:
        entries = list(lines_of(written)) if isinstance(written, Text) else list(written.items)
        pairs = [_secret_pair(_plain("an entry of secrets", entry), entry.spot) for entry in entries]
    for name, value in pairs:
        try:
            found[_name(name.value, "a secret's id")] = _secret(name, value)
        except CooperyError as error:
            name.spot.blame(error)
            faults.add(error)
    return MappingProxyType(found)


def _secret_pair(text: str, spot: Spot) -> tuple[Text, Written]:
    """`ID`, `ID=NAME`, or buildx's `id=ID,src=FILE` and `id=ID,env=NAME`."""
    if _BUILDX_SECRET.match(text) and "," in text:
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        fields.pop("type", None)
        name = fields.pop("id", "")
        places = {"file" if field in ("src", "source") else field: value for field, value in fields.items()}
        return Text(name, spot), Pairs(tuple((Text(k, spot), Text(v, spot)) for k, v in places.items()), spot)
    name, _, value = text.partition("=")
    return Text(name.strip(), spot), Text(value.strip(), spot)


def _secret(name: Text, value: Written) -> SecretName:
    if isinstance(value, Text):
        return SecretName(name=_name(value.value.strip() or name.value, "a secret's name"), spot=value.spot)
    hint = "write NAME, {env: NAME} or {file: PATH}"
    if not isinstance(value, Pairs) or len(value.pairs) != 1:
        raise value.spot.error(f"the secret {name.value!r} takes one place that it comes from", hint=hint)
    (kind, place) = value.pairs[0]
    if kind.value not in ("env", "file"):
        raise kind.spot.error(f"a secret can't come from {kind.value!r}", hint=hint)
    where = _name(_plain(kind.value, place).strip(), f"the secret's {kind.value}")
    return SecretName(**{kind.value: where}, spot=value.spot)


def _name(text: str, what: str) -> str:
    if not text or len(text) > _LONGEST_NAME or not text.isprintable():
        raise UsageError(f"{text[:40]!r} can't be {what}", hint="give the name of a variable or secret, not its value")
    return text


# ------------------------------------------------------------------------------------------------ registries


def _registries(key: Key, written: Written, faults: Faults) -> Mapping[str, RegistryEntry]:
    from coopery.credentials.keys import parse_place

    if isinstance(written, Text):
        from coopery.ci.yaml_text import read_yaml

        written = read_yaml(written.value, written.spot.source)
    if not isinstance(written, Pairs):
        raise written.spot.error(f"{key.name} takes a mapping of hosts", hint="write HOST: {username: …, password: …}")
    found: dict[str, RegistryEntry] = {}
    for host, value in written.pairs:
        try:
            place = str(parse_place(host.value))
            if place in found:
                raise UsageError(f"{host.value!r} is the same registry as one before")
            found[place] = _registry(host, value, faults)
        except CooperyError as error:
            host.spot.blame(error)
            faults.add(error)
    return MappingProxyType(found)


def _registry(host: Text, written: Written, faults: Faults) -> RegistryEntry:
    if not isinstance(written, Pairs):
        raise written.spot.error(f"{host.value} takes a mapping", hint="write HOST: {username: …, password: …}")
    values: dict[str, Any] = {}
    for name, value in written.pairs:
        entry = REGISTRY_KEYS.get(name.value)
        if entry is None:
            faults.add(name.spot.error(f"unknown key {name.value!r}", hint=did_you_mean(name.value, REGISTRY_KEYS)))
        elif isinstance(value, Text) and not value.value.strip():
            continue
        elif entry.kind == "flag":
            values[entry.field] = _truth(entry.name, value)
        elif entry.kind == "list" and isinstance(value, Items):
            values[entry.field] = tuple(_plain(f"an entry of {entry.name}", each).strip() for each in value.items)
        elif entry.kind == "list":
            values[entry.field] = (_plain(entry.name, value).strip(),)
        else:
            values[entry.field] = _name(_plain(entry.name, value).strip(), entry.name)
    _check_login(host, values)
    return RegistryEntry(**values, spot=host.spot)


def _check_login(host: Text, values: Mapping[str, Any]) -> None:
    """UsageError unless there is at most one kind of login, with all that it needs."""
    kinds = {entry.login: name for name, entry in REGISTRY_KEYS.items() if entry.login and entry.field in values}
    if len(kinds) > 1:
        raise UsageError(f"{host.value} has several ways to log in: {', '.join(kinds.values())}", hint="leave one")
    for kind in kinds:
        missing = [name for name in LOGINS[kind] if REGISTRY_KEYS[name].field not in values]
        if missing:
            raise UsageError(f"{host.value} has {kinds[kind]} without {' and '.join(missing)}", hint="add it")


def _choice_hint(value: str, choices: tuple[str, ...]) -> str:
    return did_you_mean(value, choices) or "one of " + ", ".join(choices)


def _targets(key: Key, written: Written, _: Faults) -> Any:
    raise written.spot.error(f"{key.name} can't be given here", hint="describe targets in the settings file")


_READERS = {
    "text": _text,
    "number": _number,
    "flag": _flag,
    "list": _list,
    "mapping": _mapping,
    "secrets": _secrets,
    "registries": _registries,
    "targets": _targets,
}
