"""Making pictures of a scan again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from convscope.errors import ConvscopeError, RecipeError
from convscope.image.recipe import Recipe
from convscope.network.zoo import load
from convscope.plates.patch_plates import layer_plate
from convscope.render.result import Pictured
from convscope.scanning.stored import Scan, open_scan

# From a scan, images and keyword arguments to the result, for each way to look at a scan that makes a picture.
METHODS: Mapping[str, Callable[[Scan, Sequence[Tensor], dict[str, Any]], Pictured]] = {
    "layer_plate": lambda scan, images, options: layer_plate(scan, **options),
    "map": lambda scan, images, options: scan.map(**options),
    "mistakes": lambda scan, images, options: scan.mistakes(**options),
    "neighbours": lambda scan, images, options: _neighbours(scan, images, **options),
    "top_patches": lambda scan, images, options: scan.top_patches(**options),
    "units": lambda scan, images, options: scan.units(**options),
}


def find_scan(recipe: Recipe, folder: Path, source: str | None, network: str | None, weights: str | None) -> Scan:
    """The scan that a picture was made of: beside it in `folder`, or `source`. Raises RecipeError."""
    name = str(recipe.parameters["scan"])
    given = None if network is None else load(network, weights=weights, device=recipe.device)
    for place in [folder / name, *([Path(source)] if source else [])]:
        try:
            scan = open_scan(place, given)
        except ConvscopeError:
            continue
        if scan.header.weights == recipe.weights:
            return scan
    raise RecipeError(
        f"made of the scan {name!r}: it is not beside the picture"
        + (f", and {source} is another" if source else "; say where it is with --input FOLDER")
    )


def _neighbours(scan: Scan, images: Sequence[Tensor], *, image: int | None, **options: Any) -> Pictured:
    found = scan.neighbours(images[0] if image is None else image, **options)
    assert isinstance(found, Pictured)
    return found
