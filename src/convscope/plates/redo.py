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
from convscope.attribution.attribution import Attribution
from convscope.attribution.drill_down import drill_down
from convscope.attribution.faithfulness import Faithfulness, faithfulness
from convscope.attribution.grad_cam import grad_cam
from convscope.attribution.guided_grad_cam import guided_grad_cam
from convscope.attribution.integrated_gradients import integrated_gradients
from convscope.attribution.occlusion import occlusion
from convscope.attribution.randomization import randomization
from convscope.attribution.saliency import saliency
from convscope.attribution.segment import Segmentation, segment
from convscope.attribution.smooth_grad import smooth_grad
from convscope.errors import ConvscopeError, RecipeError, nearest
from convscope.fooling.defences.defences import defences
from convscope.fooling.robustness import robustness
from convscope.image.provenance import recall, remember
from convscope.image.read import read_image
from convscope.image.recipe import Input, Recipe
from convscope.image.write import read_recipe
from convscope.network.network import Network
from convscope.network.zoo.again import harmless, load_again
from convscope.plates import attacks, redo_linear, redo_scans, redo_styles, synthesized
from convscope.plates.explanation import explanation
from convscope.plates.facets import facets
from convscope.plates.faithfulness_table import faithfulness_table
from convscope.plates.inversions import identified
from convscope.plates.preferred import preferred
from convscope.plates.sheet import sheet
from convscope.render.result import Pictured

# From networks, images and keyword arguments to the result, for each public function that makes a picture.
Method = Callable[[Sequence[Network], Sequence[Tensor], dict[str, Any]], Pictured]
METHODS: dict[str, Method] = {
    **attacks.METHODS,
    **redo_linear.METHODS,
    **synthesized.METHODS,
    "activations": lambda networks, images, options: activations(networks[0], images[0], **options),
    "defences": lambda networks, images, options: defences(**options),
    "drill_down": lambda networks, images, options: drill_down(
        networks[0], images[0], **_with_image(options, "fill", images)
    ),
    "explanation": lambda networks, images, options: explanation(networks[0], images[0], **options),
    "facets": lambda networks, images, options: facets(networks[0], options.pop("target"), images, **options),
    "faithfulness": lambda networks, images, options: _tested(networks, images, **options),
    "faithfulness_table": lambda networks, images, options: faithfulness_table(networks[0], images, **options),
    "filters": lambda networks, images, options: filters(networks, **options),
    "grad_cam": lambda networks, images, options: grad_cam(networks[0], images[0], **options),
    "guided_grad_cam": lambda networks, images, options: guided_grad_cam(networks[0], images[0], **options),
    "identified": lambda networks, images, options: identified(
        networks[0], images, judge=networks[1] if len(networks) > 1 else None, **options
    ),
    "integrated_gradients": lambda networks, images, options: integrated_gradients(
        networks[0], images[0], **_with_image(options, "baseline", images)
    ),
    "matching": lambda networks, images, options: matching(**options),
    "natural_filters": lambda networks, images, options: natural_filters(photographs=images, **options),
    "occlusion": lambda networks, images, options: occlusion(
        networks[0], images[0], **_with_image(options, "fill", images)
    ),
    "pooling_compared": lambda networks, images, options: pooling_compared(**options),
    "preferred": lambda networks, images, options: preferred(networks[0], **options),
    "randomization": lambda networks, images, options: randomization(
        networks[0], _made(networks, images, options.pop("of")), **options
    ),
    "robustness": lambda networks, images, options: robustness(networks[0], images, **options),
    "saliency": lambda networks, images, options: saliency(networks[0], images[0], **options),
    "segment": lambda networks, images, options: _segmented(networks, images, **options),
    "sheet": lambda networks, images, options: sheet(
        options.pop("of"), *networks, *images, grid=dict(options.pop("grid")), **options
    ),
    "sliding_product": lambda networks, images, options: sliding_product(**options),
    "smooth_grad": lambda networks, images, options: smooth_grad(networks[0], images[0], **options),
}


def _with_image(options: dict[str, Any], name: str, images: Sequence[Tensor]) -> dict[str, Any]:
    """The options with the second input for what was given as an image; what JSON made a list as a pair again."""
    paired = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    return {**paired, name: images[1]} if options.get(name) == "image" else paired


def redo(
    picture: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    source: str | None = None,
    network: str | None = None,
    weights: str | None = None,
) -> tuple[str, ...]:
    """Make `picture` again as `out` from the recipe in it; on the same machine, byte for byte.

    The input is looked for by its name and checksum beside the picture and among the bundled photographs; `source`
    says where else it is. A network that is somebody's own code is never run because a picture names it: `network` says
    that it may, and where it is. `weights` names the file of weights where one was given. Returns warnings: what is not
    here as it was then.

    Raises
    ------
    RecipeError
        The picture has no recipe, or its network, weights or inputs are not those of the recipe.
    """
    recipe = read_recipe(picture)
    known = {*METHODS, *redo_scans.METHODS, *redo_styles.METHODS}
    if recipe.method not in known:
        raise RecipeError(f"made by {recipe.method!r}, which can't be redone here; {nearest(recipe.method, known)}")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(recipe.threads)
        result = _result(recipe, Path(picture).parent, source, network, weights)
        result.save(out, **recipe.picture)
    except ConvscopeError:
        raise
    except Exception as error:  # what a damaged recipe makes a method raise can be anything
        raise RecipeError(f"{recipe.method} can't follow the recipe: {error}") from error
    finally:
        torch.set_num_threads(threads)
    return tuple(_differences(recipe, result.recipe))


def _result(recipe: Recipe, folder: Path, source: str | None, network: str | None, weights: str | None) -> Pictured:
    options: dict[str, Any] = dict(recipe.parameters)
    if recipe.seed is not None:
        options["seed"] = recipe.seed
    if recipe.batch is not None:
        options["batch"] = recipe.batch
    beside = options.pop("beside", [])
    networks = []
    of_scan, of_styles = recipe.method in redo_scans.METHODS, recipe.method in redo_styles.METHODS
    if recipe.network is not None and not of_scan and not of_styles:
        names = [network or harmless(recipe.network), *(harmless(each["network"]) for each in beside)]
        checksums = [recipe.weights, *(each["weights"] for each in beside)]
        networks = [
            load_again(*both, recipe.feeding, device=recipe.device, folder=folder, weights=weights)
            for both in zip(names, checksums, strict=True)
        ]
    found = [_found(given, folder, source) for given in recipe.inputs]
    images = [networks[0].prepare(image) if networks and given.prepared else image
              for given, (_, image) in zip(recipe.inputs, found, strict=True)]  # fmt: skip
    for given, (place, _) in zip(recipe.inputs[1:], found[1:], strict=True):
        options = {name: _with_place(value, str(given.name), place) for name, value in options.items()}
    if of_styles:
        styles = redo_styles.find_styles(recipe, folder, [each for each in (weights, network) if each is not None])
        return redo_styles.METHODS[recipe.method](styles, images, options)
    if of_scan:
        del options["scan"]
        scan = redo_scans.find_scan(recipe, folder, source, network, weights)
        return redo_scans.METHODS[recipe.method](scan, images, options)
    return METHODS[recipe.method](networks, images, options)


def _segmented(
    networks: Sequence[Network], images: Sequence[Tensor], *, of: dict[str, Any], photograph: bool, **options: Any
) -> Segmentation:
    """The object that a map points to, which is made first: `of` says how; of a photograph if it is the first input."""
    made = _made(networks, images[1:] if photograph else images, of)
    return segment(images[0], made, network=networks[0] if photograph else None, **options)


def _tested(
    networks: Sequence[Network], images: Sequence[Tensor], *, of: dict[str, Any], **options: Any
) -> Faithfulness:
    """The curves of a map that is made first; the last inputs are its canvases, where these were images."""
    canvases = [name for name in ("start", "end") if options[name] == "image"]
    rest = len(images) - len(canvases)
    options |= dict(zip(canvases, images[rest:], strict=True))
    return faithfulness(networks[0], images[0], _made(networks, images[:rest], of), **options)


def _made(networks: Sequence[Network], images: Sequence[Tensor], of: dict[str, Any]) -> Attribution:
    """The map that another result was made of."""
    seed = {} if of["seed"] is None else {"seed": of["seed"]}
    made = METHODS[of["method"]](networks, images, {**of["parameters"], **seed})
    if not isinstance(made, Attribution):
        raise RecipeError(f"it was made of what {of['method']!r} made, which is no map")
    return made


def _with_place(value: Any, name: str, place: str) -> Any:
    """A target whose mask is called `name` with the place where it was found."""
    if isinstance(value, dict):
        return {key: _with_place(each, name, place) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_place(each, name, place) for each in value]
    return value.replace(f"@{name}", f"@{place}") if isinstance(value, str) else value


def _found(given: Input, folder: Path, source: str | None) -> tuple[str, Tensor]:
    """Where an input is, and it as it was read."""
    places = [str(folder / given.name), given.name] if given.name is not None else []
    for place in [*places, *([source] if source else [])]:
        try:
            image = read_image(place, given.size, channels=given.channels, page=given.page, window=given.window)
        except ConvscopeError:
            continue
        if recall(image).sha256 == given.sha256:
            return place, remember(image, given)
    what = "a tensor in memory, which no file holds" if given.name is None else f"{given.name!r}"
    raise RecipeError(
        f"made from {what} (SHA-256 {given.sha256[:12]}…): it is not beside the picture, not bundled"
        + (f", and {source} is another" if source else "; say where it is with --input FILE")
    )


def _differences(then: Recipe, now: Recipe) -> list[str]:
    pairs = [("version", then.version, now.version), ("engine", then.engine, now.engine)]
    return [f"made with {what} {one}, redone with {other}" for what, one, other in pairs if one != other]
