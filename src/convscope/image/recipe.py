"""The recipe of a result: all that is needed to make it again."""

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from numbers import Integral, Real
from operator import or_
from pathlib import PureWindowsPath
from types import GenericAlias, UnionType
from typing import Any, NoReturn, Self, TypeAlias, get_args

from convscope.errors import RecipeError

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"


@dataclass(frozen=True)
class Input:
    """One input of a method.

    `name` is the file's name without its folder, or the name of a bundled photograph; None for a tensor that came from
    memory. `sha256` is that of the file's bytes, or of the tensor's (`convscope.image.provenance.checksum`).
    `size` is the longer side at most, as it was given to `read_image`; `prepared` says that the image then went
    through `Network.prepare`. `channels`, `page` and `window` are as they were given to `read_image`, too.

    Raises RecipeError for a name that holds a folder: a recipe never leads out of the folder it is followed in.

    >>> Input("dog.jpg", "9f86d081", size=512).name
    'dog.jpg'
    """

    name: str | None
    sha256: str
    size: int | None = None
    prepared: bool = False
    channels: int = 3
    page: int = 0
    window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.window is not None:
            object.__setattr__(self, "window", _window(self.window))
        _check_types(self)
        if self.name is not None and (PureWindowsPath(self.name).name != self.name or self.name in ("", "..")):
            raise RecipeError(f"an input's name is a file name without its folder, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Method, parameters, network, inputs and circumstances of one result.

    `method` is the name of the public function and `parameters` its keyword arguments; `weights` is the SHA-256 of the
    network's weights and `feeding` how images came to it; `picture` holds the keyword arguments given to `save`. Tuples
    become lists and NumPy's numbers Python's, so that a recipe equals the one read back from its JSON.

    Raises RecipeError for a parameter that JSON can't hold.

    >>> recipe = Recipe(method="saliency", parameters={"rule": "guided"}, network="vgg16", weights=None,
    ...                 inputs=(Input("dog.jpg", "9f86d081"),), threads=2, version="0.1.0")
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    method: str
    parameters: Mapping[str, JSON]
    network: str | None
    weights: str | None
    feeding: Mapping[str, JSON] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    engine: str = "torch"
    device: str = "cpu"
    threads: int
    batch: int | None = None
    seed: int | None = None
    version: str
    picture: Mapping[str, JSON] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_types(self)
        object.__setattr__(self, "parameters", _plain(self.parameters, "parameters"))
        object.__setattr__(self, "picture", _plain(self.picture, "picture"))
        object.__setattr__(self, "feeding", _plain(self.feeding, "feeding"))

    def to_json(self) -> str:
        """The recipe as one line of ASCII; equal recipes give equal text.

        >>> recipe = Recipe(method="filters", parameters={}, network=None, weights=None, threads=1, version="0.1.0")
        >>> recipe.to_json()[:45]
        '{"batch":null,"device":"cpu","engine":"torch"'
        """
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe that `to_json` wrote. Raises RecipeError, saying what is wrong, for any other text."""
        try:
            fields = json.loads(text, parse_constant=_refuse_constant)
            _check_fields(cls, fields)
            inputs = fields.get("inputs", [])
            if not isinstance(inputs, list):
                raise RecipeError(f"inputs of a recipe must be a list, got {inputs!r}")
            for each in inputs:
                _check_fields(Input, each)
            return cls(**{**fields, "inputs": tuple(Input(**each) for each in inputs)})
        except (ValueError, RecursionError) as error:  # RecursionError: lists in lists without end
            raise RecipeError(f"the recipe is damaged: not JSON ({error})") from error

    def with_picture(self, **options: JSON) -> Self:
        """The same recipe, of the picture that `save(path, **options)` writes."""
        return dataclasses.replace(self, picture=options)


def _plain(value: object, where: str) -> JSON:
    """`value` in JSON's own types; `where` names it in the message if it has none."""
    match value:
        case None | bool() | str():
            return value
        case Integral():
            return int(value)
        case Real() if float("-inf") < float(value) < float("inf"):
            return float(value)
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: _plain(each, f"{where}.{key}") for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, f"{where}[{index}]") for index, each in enumerate(value)]
    raise RecipeError(
        f"{where} of a recipe is {value!r} ({type(value).__name__}); "
        "expected text, finite numbers, true, false, null, and lists and string-keyed mappings of these"
    )


def _window(value: object) -> tuple[float, float]:
    """The two numbers of a window, which JSON keeps as a list."""
    match value:
        case (Real() as low, Real() as high) if float("-inf") < float(low) < float(high) < float("inf"):
            return float(low), float(high)
    raise RecipeError(f"window of an input must be two numbers, the smaller first, got {value!r}")


def _check_types(instance: Input | Recipe) -> None:
    for each in dataclasses.fields(instance):
        value = getattr(instance, each.name)
        kind = _without_elements(each.type)
        if not isinstance(value, kind):
            raise RecipeError(f"{each.name} of a recipe must be {inspect.formatannotation(kind)}, got {value!r}")


def _without_elements(kind: Any) -> Any:
    """A type as isinstance takes it: it knows `str | None`, but of `tuple[Input, ...]` only the tuple."""
    if isinstance(kind, UnionType):
        return reduce(or_, map(_without_elements, get_args(kind)))
    return kind.__origin__ if isinstance(kind, GenericAlias) else kind


def _check_fields(kind: type[Input] | type[Recipe], fields: object) -> None:
    """Raises RecipeError if `fields`, from JSON, can't be the keyword arguments of `kind`."""
    noun = kind.__name__.lower()
    if not isinstance(fields, dict):
        raise RecipeError(f"the {noun} is damaged: expected a JSON object, got {str(fields)[:60]!r}")
    known = dataclasses.fields(kind)
    if unknown := fields.keys() - {each.name for each in known}:
        raise RecipeError(f"the {noun} has fields this version doesn't know: {', '.join(sorted(unknown))}")
    needed = {
        each.name
        for each in known
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    }
    if missing := needed - fields.keys():
        raise RecipeError(f"the {noun} lacks {', '.join(sorted(missing))}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")
