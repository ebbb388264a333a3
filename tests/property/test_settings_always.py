"""What holds for all settings: every spelling says the same, later sources win, and no text is a surprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from coopery.ci.keys import FILE_KEYS, TARGET_KEYS, Key
from coopery.ci.settings import Layer, Settings, combine
from coopery.ci.sources import environment_layer, inputs_layer, text_layer
from coopery.ci.written import Faults
from coopery.errors import CooperyError

# Keys whose values may be any text: those with checks have tests of their own.
FREE = {name: key for name, key in TARGET_KEYS.items() if key.check is None and key.kind in ("text", "list", "mapping")}

PRINTABLE = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Co", "Cn"))
LINE = st.text(PRINTABLE, min_size=1, max_size=20).map(str.strip).filter(lambda text: text and "\ufeff" not in text)
NAME = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
VALUE = st.text(PRINTABLE | st.just("\n"), max_size=20).filter(lambda text: "\ufeff" not in text)


@st.composite
def values(draw: st.DrawFn) -> Mapping[str, Any]:
    """Values for some keys."""
    found: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(sorted(FREE)), unique=True, max_size=5)):
        found[name] = draw(value_of(FREE[name]))
    return found


def value_of(key: Key) -> st.SearchStrategy[Any]:
    if key.kind == "mapping":
        return st.dictionaries(NAME, VALUE, min_size=1, max_size=3)
    if key.choices:
        return st.sampled_from(key.choices)
    if key.kind == "text":
        return LINE
    # In the text form commas may part the entries of such lists.
    entry = LINE.filter(lambda text: "," not in text) if key.commas else LINE
    return st.lists(entry, min_size=1, max_size=3)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def as_text(value: Any) -> str:
    """The text form, every entry in quotes, so that nothing in it means anything."""
    if isinstance(value, Mapping):
        return "\n".join(quoted(f"{key}={each}") for key, each in value.items())
    return "\n".join(map(quoted, value)) if isinstance(value, list) else str(value)


def settled(layers: Sequence[Layer]) -> Settings:
    return combine(layers)


def file(found: Mapping[str, Any], faults: Faults) -> Layer:
    return text_layer(yaml.safe_dump(dict(found), allow_unicode=True), "coopery.yaml", faults)


@given(values())
def test_all_spellings_say_the_same(found: Mapping[str, Any]) -> None:
    faults = Faults()
    texts = {name: as_text(value) for name, value in found.items()}
    layers = [
        file(found, faults),
        inputs_layer(found, "a test", faults),
        inputs_layer(texts, "a test", faults),
        environment_layer({FILE_KEYS[name].variable: text for name, text in texts.items()}, faults),
    ]
    assert not [error.message for error in faults.errors]
    first, *others = (settled([layer]) for layer in layers)
    for name, value in found.items():
        held = getattr(first.targets[0], FILE_KEYS[name].field)
        assert (dict(held) if isinstance(held, Mapping) else list(held) if isinstance(held, tuple) else held) == value
    assert all(other == first for other in others)


@given(st.lists(values(), min_size=1, max_size=4))
def test_later_sources_win(all_values: Sequence[Mapping[str, Any]]) -> None:
    faults = Faults()
    layers = [inputs_layer(found, "a test", faults) for found in all_values]
    target = settled(layers).targets[0]
    for name, key in FREE.items():
        given_values = [found[name] for found in all_values if name in found]
        held = getattr(target, key.field)
        if key.kind == "mapping":
            assert dict(held) == {k: v for value in given_values for k, v in value.items()}
        elif given_values:
            assert (list(held) if isinstance(held, tuple) else held) == given_values[-1]


@given(values(), values())
def test_a_target_says_more_than_the_file(found: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    faults = Faults()
    nested = settled([file({**found, "targets": {"one": dict(own)}}, faults)]).targets[0]
    flat = settled([inputs_layer(found, "x", faults), inputs_layer(own, "x", faults)]).targets[0]
    assert not faults.errors
    assert all(getattr(nested, key.field) == getattr(flat, key.field) for key in TARGET_KEYS.values())


@given(st.text() | st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner)).map(yaml.safe_dump))
def test_no_file_is_a_surprise(text: str) -> None:
    faults = Faults()
    try:
        layer = text_layer(text, "coopery.yaml", faults)
        faults.check()
        combine([layer])
    except CooperyError as error:
        assert error.exit_code == 2
        assert "\x1b" not in error.message


@given(
    st.dictionaries(
        st.sampled_from(sorted(FILE_KEYS)),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_no_input_is_a_surprise(inputs: Mapping[str, object]) -> None:
    faults = Faults()
    layer = inputs_layer(inputs, "a test", faults)
    if not faults.errors:
        try:
            combine([layer])
        except CooperyError as error:
            assert error.exit_code == 2
