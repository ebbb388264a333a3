"""YAML with places: every value as it was written, with its line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coopery.ci.written import DEEPEST, Items, Pairs, Spot, Text, Written
from coopery.errors import UsageError

if TYPE_CHECKING:
    import yaml

#: Bytes of a settings file, and values in it once aliases are followed: far more than anybody writes.
LARGEST = 1 << 20
_MOST_VALUES = 50_000
_STANDARD = "tag:yaml.org,2002:"
_MERGE, _NULL = _STANDARD + "merge", _STANDARD + "null"
#: What plain values, lists and mappings are taken for; none of it makes a difference but null and merge.
_TAGS = frozenset(
    _STANDARD + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "seq", "map")
)


def read_yaml(text: str, source: str, shown: str | None = None) -> Written:
    """The one document in `text`; an empty one is an empty mapping. Values aren't interpreted but for null.

    Errors quote `shown` in place of `text` (the same lines, what nobody may see masked). UsageError, with its place,
    for text that isn't YAML, for repeated keys, for tags, and for aliases that multiply or contain themselves.
    """
    import yaml

    lines = (text if shown is None else shown).splitlines()
    if len(text) > LARGEST:
        raise UsageError(f"{source} is larger than settings can be ({LARGEST} bytes)")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = Spot(source, mark.line + 1, mark.column + 1, lines) if mark else Spot(source)
        about = " ".join(part for part in (error.context, error.problem) if part)
        raise spot.error(f"this isn't YAML: {about}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{source} isn't YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError(f"{source} is nested too deeply") from None
    if node is None:
        return Pairs((), Spot(source, 1, 1, lines))
    return _Reader(source, lines).read(node, 0)


class _Reader:
    def __init__(self, source: str, lines: list[str]) -> None:
        self._source = source
        self._lines = lines
        self._seen = 0

    def read(self, node: yaml.Node, depth: int) -> Written:
        import yaml

        spot = self._spot(node)
        self._seen += 1
        if depth > DEEPEST:
            raise spot.error("this is nested too deeply, or contains itself")
        if self._seen > _MOST_VALUES:
            raise spot.error("these are too many values; do aliases multiply them?")
        if node.tag not in _TAGS:
            raise spot.error(f"the tag {node.tag} means nothing here", hint="leave it out")
        if isinstance(node, yaml.ScalarNode):
            return Text("" if node.tag == _NULL else node.value, spot)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.read(each, depth + 1) for each in node.value), spot)
        assert isinstance(node, yaml.MappingNode)
        return Pairs(self._pairs(node, depth), spot)

    def _pairs(self, node: yaml.MappingNode, depth: int) -> tuple[tuple[Text, Written], ...]:
        import yaml

        own: dict[str, tuple[Text, Written]] = {}
        merged: dict[str, tuple[Text, Written]] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._spot(key_node).error("a key must be one word, not a list or a mapping")
            if key_node.tag == _MERGE:
                for key, value in self._merged(value_node, depth):
                    merged.setdefault(key.value, (key, value))
                continue
            key = Text(key_node.value, self._spot(key_node))
            if key.value in own:
                first = own[key.value][0].spot.line
                raise key.spot.error(f"the key {key.value!r} is here for the second time, after line {first}")
            own[key.value] = (key, self.read(value_node, depth + 1))
        return tuple({**merged, **own}.values())

    def _merged(self, node: yaml.Node, depth: int) -> list[tuple[Text, Written]]:
        """What `<<` brings in: a mapping, or several of which the earlier ones count first."""
        value = self.read(node, depth + 1)
        found: list[tuple[Text, Written]] = []
        for each in value.items if isinstance(value, Items) else (value,):
            if not isinstance(each, Pairs):
                raise each.spot.error("`<<` takes a mapping, or a list of mappings")
            found += each.pairs
        return found

    def _spot(self, node: yaml.Node) -> Spot:
        mark = node.start_mark
        return Spot(self._source, mark.line + 1, mark.column + 1, self._lines)
