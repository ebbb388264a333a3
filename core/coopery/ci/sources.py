"""Where settings come from: the file, the environment, the job's definition, the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coopery.ci.convert import convert
from coopery.ci.keys import ALIASES, FILE_KEYS, KEYS, TARGET_KEYS, VARIABLES, Key
from coopery.ci.leaks import secret_in, without_secrets
from coopery.ci.settings import Given, Layer, Settings, combine
from coopery.ci.written import Faults, Items, Pairs, Spot, Text, Written, did_you_mean, from_object
from coopery.ci.yaml_text import LARGEST, read_yaml
from coopery.errors import CooperyError, UsageError

#: The settings file, where none is named.
DEFAULT_FILE = "coopery.yaml"
_OTHER_FILE = "coopery.yml"
_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def read_settings(
    *,
    environ: Mapping[str, str],
    inputs: Mapping[str, object],
    inputs_from: str,
    flags: Mapping[str, tuple[str, object]],
    folder: str = ".",
) -> Settings:
    """The settings: file < `COOPERY_CI_…` of `environ` < `inputs` < `flags`.

    `inputs_from` is the title of the platform whose inputs they are; `flags` holds by key the option and its value;
    the file is looked for in `folder`. UsageError, or SettingsError for several, with the place of each fault.
    """
    faults = Faults()
    overrides = (
        environment_layer(environ, faults),
        inputs_layer(inputs, inputs_from, faults),
        _layer({key: from_object(value, Spot(option)) for key, (option, value) in flags.items()}, faults),
    )
    path = ""
    try:
        path = _file_name(overrides, folder)
        file = file_layer(path, faults) if path else Layer()
    except CooperyError as error:
        faults.add(error)
        file = Layer()
    faults.check()
    return combine((file, *overrides), path)


def environment_layer(environ: Mapping[str, str], faults: Faults) -> Layer:
    """What the variables COOPERY_CI_… say; one that belongs to no key is a fault."""
    names = {key.variable: name for name, key in KEYS.items()}
    names |= {VARIABLES + alias.upper(): alias for alias in ALIASES}
    found: dict[str, Written] = {}
    for variable in sorted(environ):
        if not variable.startswith(VARIABLES):
            continue
        key = names.get(variable)
        if key is None:
            hint = did_you_mean(variable, names)
            faults.add(UsageError(f"the environment has {variable}, which is no setting", hint=hint))
        else:
            found[key] = Text(environ[variable], Spot(variable))
    return _layer(found, faults)


def inputs_layer(inputs: Mapping[str, object], title: str, faults: Faults) -> Layer:
    """What the job's own definition says, as `Platform.inputs` gives it."""
    found: dict[str, Written] = {}
    for name, value in inputs.items():
        spot = Spot(f"the input {name!r} of {title}")
        if name not in KEYS and name not in ALIASES:
            hint = did_you_mean(name, [*KEYS, *ALIASES])
            faults.add(UsageError(f"{title} has the input {name!r}, which is no setting", hint=hint))
            continue
        try:
            found[name] = from_object(value, spot)
        except CooperyError as error:
            faults.add(error)
    return _layer(found, faults)


def file_layer(path: str, faults: Faults) -> Layer:
    """What the settings file at `path` says. UsageError if it can't be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        hint = "name the settings file with --config" if isinstance(error, FileNotFoundError) else ""
        raise UsageError(f"{path} can't be read: {error.strerror}", hint=hint) from None
    except ValueError:
        raise UsageError(f"{path} isn't UTF-8 text", hint="save it as UTF-8") from None
    return text_layer(text, path, faults)


def text_layer(text: str, name: str, faults: Faults) -> Layer:
    """What the text of a settings file says; `name` is what messages call it."""
    top = read_yaml(text, name, without_secrets(text))
    if not isinstance(top, Pairs):
        raise top.spot.error("settings are a mapping", hint="write KEY: VALUE lines, such as image: REGISTRY/NAME")
    _refuse_secrets(top, faults)
    layer = _layer(_known(top, FILE_KEYS, faults), faults)
    return replace(layer, targets=_targets(top, faults))


def _known(pairs: Pairs, keys: Mapping[str, Key], faults: Faults) -> dict[str, Written]:
    """The pairs whose keys are there."""
    found: dict[str, Written] = {}
    aliases = [alias for alias, name in ALIASES.items() if name in keys]
    for key, value in pairs.pairs:
        if key.value in keys or key.value in aliases:
            if key.value != "targets":
                found[key.value] = value
            continue
        hint = did_you_mean(key.value, [*keys, *aliases])
        if key.value in KEYS:
            where = "for all targets, at the top of the file" if key.value in FILE_KEYS else "by the job, not by a file"
            hint = f"it is said {where}"
        faults.add(key.spot.error(f"unknown key {key.value!r}", hint=hint))
    return found


def _targets(top: Pairs, faults: Faults) -> dict[str, Mapping[str, Given]]:
    written = next((value for key, value in top.pairs if key.value == "targets"), None)
    if written is None or (isinstance(written, Text) and not written.value):
        return {}
    if not isinstance(written, Pairs):
        faults.add(written.spot.error("targets takes a mapping", hint="write targets: {NAME: {target: STAGE}}"))
        return {}
    found: dict[str, Mapping[str, Given]] = {}
    for name, value in written.pairs:
        if not _TARGET_NAME.fullmatch(name.value):
            hint = "letters, digits, - and _, at most 63"
            faults.add(name.spot.error(f"{name.value!r} can't be a target's name", hint=hint))
        elif isinstance(value, Text) and not value.value:
            found[name.value] = {}
        elif not isinstance(value, Pairs):
            faults.add(value.spot.error(f"the target {name.value} takes a mapping of settings"))
        else:
            found[name.value] = _layer(_known(value, TARGET_KEYS, faults), faults).values
    return found


def _layer(written: Mapping[str, Written], faults: Faults) -> Layer:
    """Typed values under the keys' own names; `targets` is a list of names here."""
    values: dict[str, Given] = {}
    wanted: Given | None = None
    for name, value in written.items():
        key = KEYS[ALIASES.get(name, name)]
        if key.name == "targets" and not isinstance(value, Pairs):
            names = convert(_WANTED, value, faults)
            wanted = Given(names, value.spot) if names else None
            continue
        found: Any = convert(key, value, faults)
        if found is None:
            continue
        if key.name in values:
            faults.add(value.spot.error(f"{name} and {key.name} are the same", hint="leave one of them out"))
        values[key.name] = Given(found, value.spot)
    return Layer(values=values, wanted=wanted)


_WANTED = Key(name="targets", kind="list", description="Names of targets.", commas=True)


def _file_name(overrides: tuple[Layer, ...], folder: str) -> str:
    """The settings file: the one that is named, else coopery.yaml if it is there, else none."""
    named = [layer.values["config"].value for layer in overrides if "config" in layer.values]
    if named:
        return _inside(os.path.join(folder, named[-1]) if folder != "." else str(named[-1]), folder)
    path, other = (name if folder == "." else os.path.join(folder, name) for name in (DEFAULT_FILE, _OTHER_FILE))
    if os.path.exists(path):
        return _inside(path, folder)
    if os.path.exists(other):
        raise UsageError(f"{other} is not read", hint=f"rename it to {DEFAULT_FILE}, or name it with --config {other}")
    return ""


def _inside(path: str, folder: str) -> str:
    """`path`. UsageError if it is called as if it lay in `folder` and a link leads elsewhere: whoever wrote the
    checkout could have errors show the lines of any file.
    """
    top = os.path.abspath(folder)
    called, found = (
        os.path.relpath(os.path.abspath(path), top),
        os.path.relpath(os.path.realpath(path), os.path.realpath(top)),
    )
    if not called.startswith(os.pardir) and found.startswith(os.pardir):
        raise UsageError(f"{path} leads out of this directory by a link", hint="name the file itself with --config")
    return path


def _refuse_secrets(written: Written, faults: Faults) -> None:
    """A fault for each value that seems to be a secret; whoever can read the repository could use it."""
    if isinstance(written, Text):
        kind = secret_in(written.value)
        if kind:
            hint = "give the name of a variable or secret that holds it; and revoke it, it has been written to a file"
            faults.add(written.spot.error(f"this looks like {kind}", hint=hint))
    elif isinstance(written, Items):
        for each in written.items:
            _refuse_secrets(each, faults)
    else:
        for key, value in written.pairs:
            _refuse_secrets(key, faults)
            _refuse_secrets(value, faults)
