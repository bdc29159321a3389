"""The methods that make images, by name: how each is called with networks, images and keyword arguments."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from torch import Tensor

from convscope.fooling import fool as of_fool
from convscope.fooling.evolved import evolve
from convscope.network.network import Network
from convscope.plates.inversions import inversions
from convscope.render.result import Pictured
from convscope.synthesis import invert as of_invert
from convscope.synthesis import maximize as of_maximize
from convscope.synthesis import style as of_style
from convscope.synthesis import texture as of_texture
from convscope.synthesis.dream import dream
from convscope.synthesis.efros_leung import efros_leung
from convscope.synthesis.quilting import quilting
from convscope.synthesis.zoom_dream import zoom_dream


@dataclass(frozen=True)
class Maker:
    """A method: its function, which of its options may be images, and its presets.

    An option that was given as an image is the word "image" in a recipe, and the image is the last of its inputs.
    """

    function: Callable[..., Pictured]
    as_images: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})

    def __call__(self, networks: Sequence[Network], images: Sequence[Tensor], options: Mapping[str, Any]) -> Pictured:
        """The result, of the networks and images before options."""
        given = [name for name in self.as_images if isinstance(options.get(name), str) and options[name] == "image"]
        first = len(images) - len(given)
        return self.function(*networks, *images[:first], **{**options, **dict(zip(given, images[first:], strict=True))})

    @property
    def options(self) -> list[str]:
        """What it may be given by name."""
        return list(inspect.signature(self.function).parameters)


@wraps(of_style.style)
def _style(network: Network, content: Tensor, *images: Tensor, masks: int | None = None, **options: Any) -> Pictured:
    """Styles follow the content, and then so many masks."""
    styles, regions = images[: len(images) - (masks or 0)], images[len(images) - (masks or 0) :]
    return of_style.style(network, content, styles, masks=regions or None, **options)


METHODS: Mapping[str, Maker] = {
    "dream": Maker(dream, ("guide",)),
    "efros_leung": Maker(efros_leung, ("start", "mask")),
    "evolve": Maker(evolve),
    "fool": Maker(of_fool.fool, ("start",), of_fool.PRESETS),
    "inversions": Maker(inversions),
    "invert": Maker(of_invert.invert, ("start",), of_invert.PRESETS),
    "maximize": Maker(of_maximize.maximize, ("start",), of_maximize.PRESETS),
    "quilting": Maker(quilting, ("like",)),
    "style": Maker(_style, ("start",), of_style.PRESETS),
    "texture": Maker(of_texture.texture, ("start",), of_texture.PRESETS),
    "zoom_dream": Maker(zoom_dream, ("guide",)),
}
