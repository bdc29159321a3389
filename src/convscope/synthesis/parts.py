"""Parts by text: `blur:1,every=4` is `Blur(sigma=1.0, every=4)`.

Parts are small frozen dataclasses of numbers and words. As text they stand in recipes, on the command line and in
presets; in their place any function of the user's may be given.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from convscope.errors import ConvscopeError, nearest

P = TypeVar("P")

LARGEST = 1e9
"""Where a number has no bound of its own, one beyond which nothing makes sense."""


class PartError(ConvscopeError):
    """A part that is not known, or can't be made of what its text says."""


def check(part: Any, **bounds: tuple[float, float]) -> None:
    """Raise PartError unless each number of a part lies within its bounds, these included."""
    for name, (low, high) in bounds.items():
        value = getattr(part, name)
        if not low <= value <= high:
            expected = f"{low:g} or more" if high == LARGEST else f"{low:g} to {high:g}"
            raise PartError(f"got {name}={value} for {type(part).__name__}, expected {expected}")


def part(given: Any, kinds: Mapping[str, type[P]], what: str) -> P:
    """The part that `given` is or says, among `kinds` by name; `what` they are, for errors.

    Functions, and objects that have the methods which all kinds have, stay themselves.

    >>> from convscope.synthesis.regularizers import REGULARIZERS
    >>> part("blur:1,every=4", REGULARIZERS, "regularizer")
    Blur(sigma=1.0, every=4)
    """
    if not isinstance(given, str):
        if not callable(given) and type(given) not in kinds.values() and not _alike(given, kinds):
            raise PartError(f"got {type(given).__name__} for a {what}; expected {_forms(kinds)}, or a function")
        return typing.cast(P, given)
    name, _, rest = given.strip().partition(":")
    if name not in kinds:
        raise PartError(f"no {what} {name!r}; {nearest(name, kinds)}")
    kind = kinds[name]
    fields = {each.name: each.type for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for at, piece in enumerate(filter(None, (each.strip() for each in rest.split(",")))):
        named, _, after = piece.partition("=")
        key, value = (named.strip(), after) if "=" in piece else (_nth(fields, at, given), piece)
        if key not in fields:
            raise PartError(f"{given!r}: a {name} has no {key!r}; {nearest(key, fields)}")
        values[key] = _value(value.strip(), fields[key], given)
    return kind(**values)


def parts(given: Any, kinds: Mapping[str, type[P]], what: str) -> tuple[P, ...]:
    """Several: texts with spaces between, or a sequence of what `part` takes.

    >>> from convscope.synthesis.transforms import TRANSFORMS
    >>> parts("jitter:8 rotate:5", TRANSFORMS, "transform")
    (Jitter(pixels=8.0), Rotate(degrees=5.0))
    """
    if isinstance(given, str):
        several: Sequence[Any] = given.split()
    elif isinstance(given, Sequence):
        several = given
    else:
        several = [given]
    return tuple(part(each, kinds, what) for each in several if each != "none")


def text_of(given: Any, kinds: Mapping[str, type[Any]]) -> str:
    """A part as the text that `part` reads; of a function only what it is called, by which it can't be made again.

    >>> from convscope.synthesis.regularizers import REGULARIZERS, Blur
    >>> text_of(Blur(0.5, every=2), REGULARIZERS)
    'blur:sigma=0.5,every=2'
    """
    names = [name for name, kind in kinds.items() if type(given) is kind]
    if not names:
        return f"<function {getattr(given, '__qualname__', type(given).__qualname__)}>"
    pairs = [f"{each.name}={getattr(given, each.name)}" for each in dataclasses.fields(given)]
    return names[0] + (":" + ",".join(pairs) if pairs else "")


def listed(kinds: Mapping[str, type[Any]]) -> str:
    """All parts of a kind with their parameters and defaults, for help."""
    return " ".join(text_of(_example(kind), kinds) for kind in kinds.values())


def _example(kind: Callable[[], Any]) -> Any:
    return kind()


def _alike(given: Any, kinds: Mapping[str, type[Any]]) -> bool:
    """Whether it has the methods that all kinds have, if there are any."""
    shared = set.intersection(*({name for name in dir(kind) if name[0] != "_"} for kind in kinds.values()))
    methods = [name for name in shared if all(callable(getattr(kind, name)) for kind in kinds.values())]
    return bool(methods) and all(callable(getattr(given, name, None)) for name in methods)


def _forms(kinds: Mapping[str, type[Any]]) -> str:
    return "one of " + ", ".join(kinds)


def _nth(fields: Mapping[str, Any], at: int, given: str) -> str:
    if at >= len(fields):
        raise PartError(f"{given!r} has more values than there are: {', '.join(fields) or 'none'}")
    return list(fields)[at]


def _value(text: str, kind: Any, given: str) -> Any:
    if kind is str or kind == "str":
        return text
    try:
        number = float(text)
    except ValueError:
        raise PartError(f"{given!r}: {text!r} is no number") from None
    whole = kind is int or kind == "int"
    if whole and not number.is_integer():
        raise PartError(f"{given!r}: {text!r} is no whole number")
    return int(number) if whole else number
