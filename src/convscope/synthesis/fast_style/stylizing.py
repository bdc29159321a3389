"""A style network at work: one mix of its styles, whatever it is applied to."""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from convscope.errors import ImageError, NetworkError, nearest
from convscope.image.networkless import recipe_of
from convscope.image.recipe import JSON, Input, Recipe
from convscope.network.engine import EngineName
from convscope.network.memory import bytes_free
from convscope.synthesis.colour_kept import with_chroma_of
from convscope.synthesis.fast_style.engine import engine_for
from convscope.synthesis.fast_style.loading import checksum_of, load_styles, name_of
from convscope.synthesis.fast_style.style_network import StyleNetwork

Colour = Literal["style", "luminance"]
Styles: TypeAlias = str | Mapping[str, float] | None
"""A name, weights by name, or None for the first."""
NetworkLike: TypeAlias = StyleNetwork | str | os.PathLike[str] | None

# What is there must not be taken to the last byte.
_SHARE = 0.9


class Stylizing:
    """Images in one mix of a network's styles. `shares` are those that count, by name, and add up to 1.

    Raises ImageError for an unknown style or colour, WeightsError for a file that holds no network, NetworkError and
    MissingExtra for an engine that can't be had.
    """

    def __init__(self, network: NetworkLike, style: Styles, colour: Colour, engine: EngineName) -> None:
        self.network = network if isinstance(network, StyleNetwork) else load_styles(network)
        wanted = {self.network.styles[0]: 1.0} if style is None else {style: 1.0} if isinstance(style, str) else style
        if colour not in get_args(Colour):
            raise ImageError(f"no colour {colour!r}; {nearest(str(colour), get_args(Colour))}")
        self._mix, self._wanted = self.network.mix(dict(wanted)), {name: float(each) for name, each in wanted.items()}
        told = zip(self.network.styles, self._mix[0].tolist(), strict=True)
        self.shares = {name: share for name, share in told if share > 0}
        self._engine, self._asked = engine_for(self.network, engine), engine
        self._colour = colour

    def __call__(self, image: Tensor) -> Tensor:
        """An image `(3, H, W)` in [0, 1], stylized, of the same size."""
        made = self._engine(image[None].clamp(0, 1), self._mix)[0]
        return with_chroma_of(image, made) if self._colour == "luminance" else made

    def check_memory(self, size: tuple[int, int]) -> None:
        """Raise NetworkError where an image of so many rows and columns needs more memory than is free."""
        rows, columns = size
        needed, free = self._engine.bytes_a_pixel * rows * columns, bytes_free(next(self.network.parameters()).device)
        if free is not None and needed > _SHARE * free:
            smaller = math.sqrt(_SHARE * free / needed)
            raise NetworkError(
                f"{rows} × {columns} in the style network needs about {needed / 2**30:.1f} GiB and "
                f"{free / 2**30:.1f} GiB are free; take at most {int(rows * smaller)} × {int(columns * smaller)}"
            )

    def recipe(self, method: str, told: Mapping[str, JSON], inputs: tuple[Input, ...]) -> Recipe:
        """The recipe of what was made by it."""
        # As they were given: adding up shares again could round otherwise.
        parameters = {"style": self._wanted, "colour": self._colour, "engine": self._asked, **told}
        return replace(
            recipe_of(method, parameters, inputs=inputs),
            network=name_of(self.network),
            weights=checksum_of(self.network),
            engine=self._engine.name,
            device=str(next(self.network.parameters()).device),
        )
