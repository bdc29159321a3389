"""Writing a commented `net.toml`."""

import json
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from convscope.network.zoo.toml_keys import FACTORY_OPTIONS, SECTIONS, Key, check

WIDTH = 100
OPENING = (
    "Your own network, as convscope needs to know it: convscope predict IMAGE --network {file}",
    "Lines that start with # say what a key is for, and show an example. Paths are relative to this file.",
)


def template(values: Mapping[str, Any], *, file: str = "net.toml") -> str:
    """The text of a `net.toml` that sets `values`, with every other key as a comment.

    Raises
    ------
    NetworkError
        A key is unknown, or a value not of its kind.

    >>> text = template({"factory": "models:build", "input_size": 64})
    >>> [line for line in text.splitlines() if line and not line.startswith("#")]
    ['factory = "models:build"', 'input_size = 64']
    """
    for key, value in values.items():
        check(key, value)
    lines = _comment(line.format(file=file) for line in OPENING)
    for section, keys in SECTIONS.items():
        lines += ["", f"# {section} ".ljust(WIDTH, "-")]
        for each in keys:
            lines += ["", *_comment([each.comment]), _assignment(each, values)]
    # Last, since whatever follows a table belongs to it.
    given = values.get(FACTORY_OPTIONS.name)
    mark = "" if given else "# "
    lines += ["", *_comment([FACTORY_OPTIONS.comment]), f"{mark}[{FACTORY_OPTIONS.name}]"]
    lines += [f"{mark}{name} = {_literal(value)}" for name, value in (given or FACTORY_OPTIONS.example).items()]
    return "\n".join(lines) + "\n"


def _comment(paragraphs: Iterable[str]) -> list[str]:
    return [
        f"# {line}" for paragraph in paragraphs for line in textwrap.wrap(paragraph, WIDTH - 2, break_on_hyphens=False)
    ]


def _assignment(key: Key, values: Mapping[str, Any]) -> str:
    if key.name in values:
        return f"{key.name} = {_literal(values[key.name])}"
    return f"# {key.name} = {_literal(key.example)}"


def _literal(value: Any) -> str:
    """A value in TOML, which writes text, numbers and lists as JSON does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_literal(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
