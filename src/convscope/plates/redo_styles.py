"""Making pictures of style networks again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from convscope.errors import ConvscopeError, RecipeError
from convscope.image.recipe import Recipe
from convscope.render.result import Pictured
from convscope.synthesis.fast_style.loading import BUNDLED_NAME, checksum_of, load_styles
from convscope.synthesis.fast_style.style_network import StyleNetwork
from convscope.synthesis.stylize import stylize

# From a style network, images and keyword arguments to the result.
METHODS: Mapping[str, Callable[[StyleNetwork, Sequence[Tensor], dict[str, Any]], Pictured]] = {
    "stylize": lambda network, images, options: stylize(images[0], network=network, **options),
}


def find_styles(recipe: Recipe, folder: Path, given: Sequence[str]) -> StyleNetwork:
    """The network that a picture was made by: convscope's own, a file in `folder`, or one of those `given`.

    Raises RecipeError where it is none of these.
    """
    own = [] if recipe.network is None else [None if recipe.network == BUNDLED_NAME else folder / recipe.network]
    for place in [*own, *given]:
        try:
            network = load_styles(place, device=recipe.device)
        except ConvscopeError:
            continue
        if checksum_of(network) == recipe.weights:
            return network
    what = "a style network in memory" if recipe.network is None else f"the style network {recipe.network!r}"
    raise RecipeError(
        f"made by {what} (SHA-256 {(recipe.weights or '')[:12]}…), which is not here as it was then"
        + (f", and {given[0]} is another" if given else "; say where it is with --weights FILE")
    )
