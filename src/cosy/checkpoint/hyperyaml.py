"""YAML with object tags, read and written as plain data.

The official configuration is a script in disguise: `!new:package.Class` builds an object, `!apply:f` calls
a function, `!ref <key>` points elsewhere in the file.  Here a tag is a name and nothing more: reading
a file never imports, constructs or calls anything, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cosy.errors import CheckpointError, MismatchError, MissingFileError

FAMILIES = ("new", "name", "apply")  # `!new:a.b.C {...}`; beside them `!ref <key>`


@dataclass(frozen=True)
class Tagged:
    """`!family:path.to.Name value`."""

    family: str
    path: str
    value: Any  # a mapping, a list or a scalar; {} where the file gives nothing

    @property
    def name(self) -> str:
        """The last component of the path, the only part that is ever looked at."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Ref:
    """`!ref <key>`, `!ref <a.b>` or a product such as `!ref <chunk_size> * <token_mel_ratio>`."""

    expression: str


class Document:
    """A file's top level, with its references resolved on demand.

    `used` collects the top-level keys that were looked at, so that a caller can name the others.
    """

    def __init__(self, path: Path, entries: Mapping[str, Any]) -> None:
        self.path = path
        self.entries = entries
        self.used: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The resolved value of a top-level key.  Raises MismatchError for a reference that leads nowhere."""
        if key not in self.entries:
            return default
        self.used.add(key)
        return self._resolve(self.entries[key], ())

    @property
    def unused(self) -> list[str]:
        return [key for key in self.entries if key not in self.used]

    def _resolve(self, value: Any, trail: tuple[str, ...]) -> Any:
        if isinstance(value, Ref):
            return self._follow(value.expression, trail)
        if isinstance(value, Tagged):
            return Tagged(value.family, value.path, self._resolve(value.value, trail))
        if isinstance(value, dict):
            return {key: self._resolve(item, trail) for key, item in value.items()}
        if isinstance(value, list):
            return [self._resolve(item, trail) for item in value]
        return value

    def _follow(self, expression: str, trail: tuple[str, ...]) -> Any:
        if expression in trail:
            raise MismatchError(f"{self.path}: '!ref {expression}' refers to itself")
        values = [self._factor(factor.strip(), expression, (*trail, expression)) for factor in expression.split("*")]
        if len(values) == 1:
            return values[0]
        product: int | float = 1
        for value in values:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise MismatchError(f"{self.path}: '!ref {expression}' multiplies {value!r}, which is no number")
            product *= value
        return product

    def _factor(self, factor: str, expression: str, trail: tuple[str, ...]) -> Any:
        if re.fullmatch(r"\d+", factor):
            return int(factor)
        match = re.fullmatch(r"<([\w.\[\]-]+)>", factor)
        if not match:
            raise MismatchError(
                f"{self.path}: cannot read '!ref {expression}'; known forms are '<key>', '<a.b>' and products of them"
            )
        return self._resolve(self._look_up(match[1], expression), trail)

    def _look_up(self, name: str, expression: str) -> Any:
        value: Any = self.entries
        steps = name.replace("[", ".").replace("]", "").split(".")
        for step in steps:
            value = value.value if isinstance(value, Tagged) else value
            if not isinstance(value, Mapping) or step not in value:
                raise MismatchError(f"{self.path}: '!ref {expression}' leads nowhere: there is no {name!r}")
            value = value[step]
        self.used.add(steps[0])
        return value


def read(path: Path) -> Document:
    """Parse `path`.  Raises MissingFileError, CheckpointError for broken YAML, MismatchError for unknown tags."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is missing") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
    try:
        loader = _Loader(text)
        entries = loader.get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CheckpointError(f"{path} is not valid YAML: {error}") from error
    if loader.unknown:
        known = ", ".join([*(f"!{family}:NAME" for family in FAMILIES), "!ref <key>"])
        raise MismatchError(f"{path} uses unknown tags: {', '.join(sorted(loader.unknown))}; known are {known}")
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path} must hold a mapping, found {type(entries).__name__}")
    return Document(path, entries)


def dump(entries: Mapping[str, Any]) -> str:
    """YAML text of a mapping that may hold `Tagged` and `Ref` values; `read` gives it back."""
    text: str = yaml.dump(dict(entries), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


class _Loader(yaml.SafeLoader):
    """The safe loader; tags become `Tagged` and `Ref`, unknown ones are collected in `unknown`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.unknown: set[str] = set()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        written = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = sorted({str(key) for key in written if written.count(key) > 1})
        if twice:
            problem = f"keys given twice: {', '.join(twice)}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep=deep)

    def plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        value = self.construct_scalar(node)  # type: ignore[arg-type]
        return {} if value == "" else value


def _construct_tagged(family: str) -> Any:
    return lambda loader, suffix, node: Tagged(family, suffix, loader.plain(node))


def _construct_ref(loader: _Loader, node: yaml.ScalarNode) -> Ref:
    return Ref(str(loader.construct_scalar(node)))


def _note_unknown(loader: _Loader, node: yaml.Node) -> None:
    loader.unknown.add(node.tag.replace("tag:yaml.org,2002:", "!!"))


# YAML 1.2 numbers: PyYAML takes 1e-06, which has no point, for a string.
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")

for _family in FAMILIES:
    _Loader.add_multi_constructor(f"!{_family}:", _construct_tagged(_family))
_Loader.add_constructor("!ref", _construct_ref)
_Loader.add_constructor(None, _note_unknown)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))


class _Dumper(yaml.SafeDumper):
    """The safe dumper with `Tagged`, `Ref` and one-line lists of numbers."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def tagged(self, data: Tagged) -> yaml.Node:
        return self.represent_mapping(f"!{data.family}:{data.path}", data.value)

    def ref(self, data: Ref) -> yaml.Node:
        return self.represent_scalar("!ref", data.expression)

    def numbers(self, data: list[Any] | tuple[Any, ...]) -> yaml.Node:
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(Tagged, _Dumper.tagged)
_Dumper.add_representer(Ref, _Dumper.ref)
_Dumper.add_representer(list, _Dumper.numbers)
_Dumper.add_representer(tuple, _Dumper.numbers)
