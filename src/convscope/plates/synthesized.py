"""The methods that make images, by name: from networks, images and keyword arguments to the result."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from convscope.network.network import Network
from convscope.render.result import Pictured
from convscope.synthesis.efros_leung import efros_leung
from convscope.synthesis.maximize import PRESETS as OF_MAXIMIZE
from convscope.synthesis.maximize import maximize
from convscope.synthesis.quilting import quilting

Make = Callable[[Sequence[Network], Sequence[Tensor], dict[str, Any]], Pictured]

# An option that was given as an image is the word "image" in a recipe, and the image is the last of its inputs.
METHODS: Mapping[str, Make] = {
    "efros_leung": lambda networks, images, options: efros_leung(
        images[0], **_with_images(options, ("start", "mask"), images)
    ),
    "maximize": lambda networks, images, options: maximize(networks[0], **_with_images(options, ("start",), images)),
    "quilting": lambda networks, images, options: quilting(images[0], **_with_images(options, ("like",), images)),
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "efros_leung": {"": {}},
    "maximize": OF_MAXIMIZE,
    "quilting": {"": {}},
}


def _with_images(options: dict[str, Any], names: Sequence[str], images: Sequence[Tensor]) -> dict[str, Any]:
    """The options with the last images in place of those of `names` that say that they were images, in that order."""
    given = [name for name in names if options.get(name) == "image"]
    return {**options, **dict(zip(given, images[len(images) - len(given) :], strict=True))}
