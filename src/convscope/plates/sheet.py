"""A sheet: the same method with one or two parameters changed from picture to picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, Stopped, nearest
from convscope.image.networkless import recipe_of
from convscope.image.provenance import recall
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.plates.synthesized import METHODS
from convscope.progress import Watcher, part_of
from convscope.render.grid import fit, rows
from convscope.render.grid import grid as lay_out
from convscope.render.legend import captioned
from convscope.render.result import Pictured
from convscope.synthesis.settings import with_part


@dataclass(frozen=True)
class Sheet(Pictured):
    """Results `results` of one method, `names` the parameters that change, `values` theirs for each result."""

    method: str
    names: tuple[str, ...]
    values: tuple[tuple[JSON, ...], ...]
    results: tuple[Pictured, ...]
    recipe: Recipe

    def picture(self, *, cell: int | None = None) -> Image.Image:
        """Each result above its parameters; with two of them, the first goes down and the second across."""
        pictures = [fit(each.picture(), cell) for each in self.results]
        if len(self.names) == 1:
            told = [[f"{self.names[0]} = {value}", *_caption(each)]
                    for (value,), each in zip(self.values, self.results, strict=True)]  # fmt: skip
            return lay_out([captioned(*both) for both in zip(pictures, told, strict=True)])
        across = list(dict.fromkeys(str(second) for _, second in self.values))
        down = list(dict.fromkeys(str(first) for first, _ in self.values))
        table = [pictures[at : at + len(across)] for at in range(0, len(pictures), len(across))]
        note = f"down: {self.names[0]}\nacross: {self.names[1]}"
        return rows(list(zip(down, table, strict=True)), column_labels=across, title=self.method, note=note)


def _caption(result: Pictured) -> list[str]:
    """What a result says of itself, a line for each thing."""
    return [each for each in str(getattr(result, "caption", "")).split(", ") if each]


def sheet(
    method: str,
    *given: Network | Tensor,
    grid: Mapping[str, Sequence[JSON]],
    progress: Watcher | None = None,
    **options: Any,
) -> Sheet:
    """Run a method of synthesis once for each value of a parameter, or each pair of values of two.

    Parameters
    ----------
    method
        "maximize", "invert", "dream", "texture", …
    given
        The networks and images that it takes, in its order.
    grid
        Values by the parameter's name. A parameter of a part has the part's name before it: `blur.sigma`,
        `tv.weight`, `adam.rate`; the part is added where the preset has none.
    options
        What stays the same; only what JSON can hold.
    progress
        Called after each step of each; returning False stops.

    Raises
    ------
    ImageError
        For a method that is none, or more than two parameters.
    Stopped
        As the method does; `so_far` is the sheet of what was done.

    >>> import convscope as cs
    >>> made = cs.sheet("maximize", cs.load("efficientnet-lite0"), target="blocks.3:12", grid={"steps": [1, 2]})
    >>> made.values
    ((1,), (2,))
    """
    if method not in METHODS:
        raise ImageError(f"no method {method!r} to make a sheet of; {nearest(method, METHODS)}")
    if not 1 <= len(grid) <= 2 or not all(grid.values()):
        raise ImageError(f"got a grid over {', '.join(grid) or 'nothing'}; expected one or two parameters with values")
    networks = [each for each in given if isinstance(each, Network)]
    images = [each for each in given if isinstance(each, Tensor)]
    places = list(product(*grid.values()))
    done: list[Pictured] = []
    # Pairs, since JSON keeps no order of names.
    told: dict[str, JSON] = {"of": method, "grid": [[name, list(values)] for name, values in grid.items()], **options}

    def result() -> Sheet:
        recipe = (
            networks[0].recipe("sheet", told, images=images)
            if networks
            else recipe_of("sheet", told, inputs=tuple(recall(image) for image in images))
        )
        return Sheet(method, tuple(grid), tuple(places[: len(done)]), tuple(done), recipe)

    for index, values in enumerate(places):
        changed = dict(options)
        for name, value in zip(grid, values, strict=True):
            changed = _changed(method, changed, name, value)
        watched = part_of(progress, index, len(places))
        try:
            done.append(METHODS[method](networks, images, {**changed, "progress": watched}))
        except Stopped as stopped:
            stopped.so_far = result() if done else stopped.so_far
            raise
    return result()


def _changed(method: str, options: dict[str, Any], name: str, value: JSON) -> dict[str, Any]:
    part, dot, field = name.partition(".")
    if dot:
        return with_part(METHODS[method].presets, options, part, field, value)
    if name not in METHODS[method].options:
        raise ImageError(f"{method} has no parameter {name!r}; {nearest(name, METHODS[method].options)}")
    return {**options, name: value}
