"""Edits YAML files by their lines: what isn't replaced stays byte for byte, with its comments."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coopery.ci.yaml_text import LARGEST
from coopery.errors import UsageError

if TYPE_CHECKING:
    import yaml

_DEEPEST = 60
_MOST_VALUES = 100_000
_STANDARD = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping, with its value and the lines that both are on, from 0, without the last."""

    key: str
    value: yaml.Node
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines that take the place of others."""

    first: int
    last: int
    lines: Sequence[str]


@dataclass
class Document:
    """A YAML file, as it is written."""

    source: str
    text: str
    lines: list[str] = field(init=False)
    roots: list[yaml.Node] = field(init=False)

    def __post_init__(self) -> None:
        """UsageError for what isn't YAML."""
        import yaml

        if len(self.text) > LARGEST:
            raise UsageError(f"{self.source} is larger than pipelines are ({LARGEST} bytes)")
        self.lines = self.text.splitlines()
        try:
            self.roots = [node for node in yaml.compose_all(self.text, Loader=yaml.SafeLoader) if node is not None]
            _weighed(self.roots)
        except yaml.YAMLError as error:
            raise UsageError(f"{self.source} isn't YAML: {' '.join(str(error).split())}") from None
        except (RecursionError, OverflowError):
            raise UsageError(f"{self.source} is nested too deeply, or its aliases multiply it") from None

    @property
    def root(self) -> yaml.Node | None:
        """The last document: pipelines with a header have it before."""
        return self.roots[-1] if self.roots else None

    def edited(self, edits: Sequence[Edit]) -> str:
        """The file with these edits, which must not overlap."""
        lines = list(self.lines)
        for edit in sorted(edits, key=lambda edit: (edit.first, edit.last), reverse=True):
            lines[edit.first : edit.last] = edit.lines
        return "\n".join(lines) + "\n"


def entries(node: yaml.Node | None) -> Iterator[Entry]:
    """The entries of a mapping; none for anything else."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield Entry(key.value, value, key.start_mark.line, last_line(value, key.end_mark.line + 1))


def entry(node: yaml.Node | None, key: str) -> Entry | None:
    """One entry of a mapping."""
    return next((each for each in entries(node) if each.key == key), None)


def get(node: yaml.Node | None, *path: str) -> yaml.Node | None:
    """The value below these keys; None if there is none."""
    for key in path:
        found = entry(node, key)
        node = found.value if found else None
    return node


def resolved(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key, also of one that the mapping takes over by `<<`; None if there is none."""
    own = get(node, key)
    if own is not None:
        return own
    bases = get(node, "<<")
    found = (get(base, key) for base in (items(bases) if bases is not None else ()))
    return next((value for value in found if value is not None), None)


def items(node: yaml.Node | None) -> list[yaml.Node]:
    """The items of a sequence; of a value alone itself; of nothing none."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    return [] if node is None or (isinstance(node, yaml.ScalarNode) and not node.value) else [node]


def text_of(node: yaml.Node | None) -> str:
    """The text of a scalar; empty for anything else."""
    import yaml

    return node.value if isinstance(node, yaml.ScalarNode) else ""


def is_block(node: yaml.Node | None) -> bool:
    """Whether a collection is written over lines, so that lines of it can be replaced."""
    import yaml

    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def last_line(node: yaml.Node, least: int) -> int:
    """The line after the last one that `node` is written on: without comments and empty lines that follow."""
    import yaml

    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return last_line(last[1] if isinstance(last, tuple) else last, least)
    mark = node.end_mark
    end = mark.line + 1 if mark.column else mark.line
    return max(end, least if node.start_mark.line < least else node.start_mark.line + 1)


def _weighed(roots: Sequence[yaml.Node]) -> None:
    """OverflowError for what is too deep, contains itself, or is too much once its aliases are followed."""
    import yaml

    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > _DEEPEST or sizes.get(id(node)) == 0:
            raise OverflowError
        if id(node) not in sizes:
            sizes[id(node)] = 0  # until it is known: whoever meets it meanwhile is inside of it
            values = node.value if isinstance(node, yaml.CollectionNode) else ()
            parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
            sizes[id(node)] = 1 + sum(size(part, depth + 1) for part in parts)
        if sizes[id(node)] > _MOST_VALUES:
            raise OverflowError
        return sizes[id(node)]

    for root in roots:
        size(root, 0)


def plain(node: yaml.Node | None) -> Any:
    """The value as Python has it; scalars as they are written, tags and anchors left out."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return {text_of(key): plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        listed = [plain(value) for value in node.value]
        return Reference(listed) if node.tag == "!reference" else listed
    text = text_of(node)
    if isinstance(node, yaml.ScalarNode) and node.tag.startswith(_STANDARD) and node.tag != _STANDARD + "str":
        return Scalar("" if node.tag == _STANDARD + "null" else text, node.tag)
    return text


def plain_mapping(node: yaml.Node | None) -> dict[str, Any]:
    """The same of a mapping; empty for anything else."""
    value = plain(node)
    return value if isinstance(value, dict) else {}


class Scalar(str):
    """A number, a truth value or nothing, as it is written: `1.10` stays that."""

    __slots__ = ("tag",)
    tag: str

    def __new__(cls, text: str, tag: str) -> Scalar:
        made = super().__new__(cls, text)
        made.tag = tag
        return made


def spliced(
    lines: Sequence[str], node: yaml.Node, drop: Collection[str], new: Mapping[str, object], last: int
) -> list[str]:
    """The lines of a mapping in block style, without the entries `drop`, and with `new` where the first of them was.

    `lines` are those of the file, `last` is the line after the mapping's. Where the mapping is an item of a list, the
    result is one too.
    """
    children = list(entries(node))
    column, first = node.start_mark.column, node.start_mark.line
    item = "-" in lines[first][:column]
    gone = {number for child in children if child.key in drop for number in range(child.first, child.last)}
    place = min((child.first for child in children if child.key in drop), default=last)
    out: list[str] = []
    for number in range(first, last + 1):
        if number == place:
            out += indented(dump(new), column) if new else []
        if number < last and number not in gone:
            line = lines[number]
            out.append(" " * column + line[column:] if number == first else line)
    if item:
        dash = lines[first].index("-")
        start = next(number for number, line in enumerate(out) if line.strip() and not line.lstrip().startswith("#"))
        out[start] = " " * dash + "-" + out[start][dash + 1 :]
    return out


def indented(lines: Sequence[str], by: int) -> list[str]:
    """The lines, moved to the right."""
    return [" " * by + line if line else line for line in lines]


def as_item(lines: Sequence[str]) -> list[str]:
    """The lines of a mapping as an item of a list; comments before it stay before it."""
    start = next((number for number, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
    return [*lines[:start], f"- {lines[start]}", *indented(lines[start + 1 :], 2)]


def dump(value: Mapping[str, object] | Sequence[object]) -> list[str]:
    """YAML in block style, as people write it: texts of several lines as blocks, lists indented."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    Dumper.add_representer(Scalar, lambda dumper, text: dumper.represent_scalar(text.tag, str(text) or "null"))
    Dumper.add_representer(Reference, _represent_reference)
    shown = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, width=100_000, allow_unicode=True, default_flow_style=False
    )
    return [line.rstrip() for line in shown.splitlines()]


class Reference(tuple[str, ...]):
    """`!reference [JOB, KEY]`."""

    __slots__ = ()


def _represent_reference(dumper: yaml.SafeDumper, value: Reference) -> yaml.SequenceNode:
    return dumper.represent_sequence("!reference", list(value), flow_style=True)


def unchanged(before: Document, after: str, touched: Sequence[str]) -> bool:
    """Whether `after` is YAML that says what `before` did but for the keys `touched` of its root."""
    try:
        new = Document(before.source, after)
    except UsageError:
        return False
    if len(new.roots) != len(before.roots):
        return False
    old_values, new_values = plain(before.root), plain(new.root)
    if not isinstance(old_values, dict) or not isinstance(new_values, dict):
        return False
    return all(new_values.get(key) == value for key, value in old_values.items() if key not in touched)
