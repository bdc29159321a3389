"""Making a picture again from the recipe it carries."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convscope.anatomy.filters import filters
from convscope.anatomy.matching import matching
from convscope.anatomy.natural_filters import natural_filters
from convscope.anatomy.pooling_compared import pooling_compared
from convscope.anatomy.sliding_product import sliding_product
from convscope.attribution.activations import activations
from convscope.attribution.saliency import saliency
from convscope.errors import ConvscopeError, RecipeError, nearest
from convscope.image.provenance import recall
from convscope.image.read import read_image
from convscope.image.recipe import JSON, Input, Recipe
from convscope.image.write import read_recipe
from convscope.network.network import Network
from convscope.network.zoo import load
from convscope.plates.explanation import explanation
from convscope.render.result import Pictured

# From networks, images and keyword arguments to the result, for each public function that makes a picture.
Method = Callable[[Sequence[Network], Sequence[Tensor], dict[str, Any]], Pictured]
METHODS: dict[str, Method] = {
    "activations": lambda networks, images, options: activations(networks[0], images[0], **options),
    "explanation": lambda networks, images, options: explanation(networks[0], images[0], **options),
    "filters": lambda networks, images, options: filters(networks, **options),
    "matching": lambda networks, images, options: matching(**options),
    "natural_filters": lambda networks, images, options: natural_filters(photographs=images, **options),
    "pooling_compared": lambda networks, images, options: pooling_compared(**options),
    "saliency": lambda networks, images, options: saliency(networks[0], images[0], **options),
    "sliding_product": lambda networks, images, options: sliding_product(**options),
}


def redo(
    picture: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    source: str | None = None,
    weights: str | None = None,
) -> tuple[str, ...]:
    """Make `picture` again as `out` from the recipe in it; on the same machine, byte for byte.

    The input is looked for by its name and checksum beside the picture and among the bundled photographs; `source`
    says where else it is. `weights` names the file of weights where the network needs one. Returns warnings: what is
    not here as it was then.

    Raises
    ------
    RecipeError
        The picture has no recipe, or its network, weights or inputs are not those of the recipe.
    """
    recipe = read_recipe(picture)
    if recipe.method not in METHODS:
        raise RecipeError(f"made by {recipe.method!r}, which can't be redone here; {nearest(recipe.method, METHODS)}")
    options: dict[str, Any] = dict(recipe.parameters)
    if recipe.seed is not None:
        options["seed"] = recipe.seed
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        networks = _networks(recipe, options.pop("beside", []), weights)
        images = [_image(given, networks, Path(picture).parent, source) for given in recipe.inputs]
        result = METHODS[recipe.method](networks, images, options)
        result.save(out, **recipe.picture)
    except TypeError as error:
        raise RecipeError(f"{recipe.method} doesn't take what the recipe says: {error}") from error
    finally:
        torch.set_num_threads(threads)
    return tuple(_differences(recipe, result.recipe))


def _networks(recipe: Recipe, beside: list[dict[str, JSON]], weights: str | None) -> list[Network]:
    if recipe.network is None:
        return []
    first = _network(recipe.network, recipe.weights, recipe.device, weights)
    return [first, *(_network(str(each["network"]), each["weights"], recipe.device, None) for each in beside)]


def _network(name: str, checksum: JSON, device: str, weights: str | None) -> Network:
    try:
        network = load(name, weights=weights, device=device)
    except ConvscopeError as error:
        raise RecipeError(f"made with the network {name!r}, which can't be loaded: {error}") from error
    if network.weights_sha256 != checksum:
        raise RecipeError(f"the weights of {name!r} here are not those it was made with; give them with --weights FILE")
    return network


def _image(given: Input, networks: Sequence[Network], folder: Path, source: str | None) -> Tensor:
    """The input as the recipe's method was given it."""
    places = [str(folder / given.name), given.name] if given.name is not None else []
    for place in [*places, *([source] if source else [])]:
        try:
            image = read_image(place, given.size)
        except ConvscopeError:
            continue
        if recall(image).sha256 == given.sha256:
            return networks[0].prepare(image) if networks and given.prepared else image
    what = "a tensor in memory, which no file holds" if given.name is None else f"{given.name!r}"
    raise RecipeError(
        f"made from {what} (SHA-256 {given.sha256[:12]}…): it is not beside the picture, not bundled"
        + (f", and {source} is another" if source else "; say where it is with --input FILE")
    )


def _differences(then: Recipe, now: Recipe) -> list[str]:
    pairs = [("version", then.version, now.version), ("engine", then.engine, now.engine)]
    return [f"made with {what} {one}, redone with {other}" for what, one, other in pairs if one != other]
