"""Texture: images of any size with the Gram matrices of an example, so with all of it but where things are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.errors import ImageError, LayerError
from convscope.image.check import check_image
from convscope.image.recipe import JSON
from convscope.network.memory import check_memory
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.progress import Steps, Watcher
from convscope.synthesis.objectives import gram, gram_match
from convscope.synthesis.optimize import optimize
from convscope.synthesis.optimizers import Optimizer, Schedule
from convscope.synthesis.parameterizations import Parameterization
from convscope.synthesis.settings import chosen
from convscope.synthesis.start import draws, image_shape, started
from convscope.synthesis.synthesized import Synthesized, as_files_hold

PRESETS: dict[str, dict[str, Any]] = {
    "exact": {"parameterization": "pyramid", "optimizer": "lbfgs:1", "steps": 150},
    "gatys": {"parameterization": "pixels", "optimizer": "lbfgs:1", "steps": 150},
    "adam": {"parameterization": "fourier", "optimizer": "adam:0.05", "schedule": "cosine:0.05", "steps": 300},
}

VGG_LAYERS = ("relu1_1", "pool1", "pool2", "pool3", "pool4")
"""Those of Gatys, Ecker and Bethge (2015), from shallow to deep."""


@dataclass(frozen=True, kw_only=True)
class Texture(Synthesized):
    """Images with the Gram matrices of the `example` `(C, h, w)` at `layers`.

    `losses` `(N, L)` are ‖G − G₀‖ / ‖G₀‖ of each image at each layer, not squared.
    """

    example: Tensor
    layers: Sequence[str]
    losses: Tensor

    @property
    def caption(self) -> str:
        """How near the first of them is."""
        return f"{len(self.layers)} layers, mean error {float(self.losses[0].mean()):.3f}"


def texture(
    network: Network,
    example: Tensor,
    *,
    layers: Sequence[str] | None = None,
    depth: int | None = None,
    size: int | tuple[int, int] | None = None,
    preset: str = "exact",
    count: int = 1,
    start: str | Tensor = "noise",
    parameterization: str | Parameterization | None = None,
    transforms: Any = None,
    regularizers: Any = None,
    optimizer: str | Optimizer | None = None,
    schedule: str | Schedule | None = None,
    steps: int | None = None,
    views: int | None = None,
    seed: int = 0,
    batch: int = 4,
    progress: Watcher | None = None,
) -> Texture:
    """Images that look like an example with all of its places exchanged (Gatys, Ecker and Bethge 2015).

        argmin over x of Σ over layers of ‖G(x) − G₀‖² / ‖G₀‖²,  G = F Fᵀ / (H·W)

    F `(C, H·W)` is what a layer answers, so that G says which channels go together, and nothing of where.

    Parameters
    ----------
    example
        Any picture `(C, h, w)` in [0, 1], not only of a texture, of any size.
    layers
        By default `VGG_LAYERS` where the network has them, else the ends of its stages. Shallow ones give colours and
        strokes, deeper ones larger structure.
    depth
        Only so many of them, the shallowest.
    size
        Rows and columns to be made; by default the example's, or the start's.
    preset
        "exact": a Laplacian pyramid by L-BFGS; "gatys": pixels by L-BFGS, as published; "adam": Fourier coefficients by
        Adam, which also bears random transforms.
    count
        Textures, from different random numbers.
    start
        "noise", "zero" for grey, or an image.
    parameterization, transforms, regularizers, optimizer, schedule, steps, views
        In place of the preset's own, as texts such as `tv:1`, parts, or functions.
    seed
        Of the random numbers; image n has those of seed + n.
    batch
        Images that are made together.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the last good images in `so_far`.
    ImageError, LayerError, NetworkError, PartError

    >>> import convscope as cs
    >>> net, example = cs.load("efficientnet-lite0"), cs.read_image("brick", 48)
    >>> texture(net, example, depth=2, size=(32, 64), steps=2).image.shape
    torch.Size([3, 32, 64])
    """
    _check(network, example, count, batch)
    names = texture_layers(network, layers, depth)
    rows, columns = example.shape[-2:]
    check_memory(network, (network.channels, rows, columns), 1, layers=tuple(names))
    grams = _grams(network, example, names)
    given = {
        "parameterization": parameterization, "transforms": transforms, "regularizers": regularizers,
        "optimizer": optimizer, "schedule": schedule, "steps": steps, "views": views,
    }  # fmt: skip
    settings = chosen(PRESETS, preset, given)
    shape = image_shape(network, (rows, columns) if size is None and isinstance(start, str) else size, start)
    check_memory(network, shape, min(count, batch), layers=tuple(names))
    watched = Steps(settings.steps * -(-count // batch), progress)
    climbed = []
    for at in range(0, count, batch):
        random = draws(seed + at, min(batch, count - at))
        parameters = started(network, start, settings, shape, random, slice(at, at + batch))
        climbed.append(optimize(network, gram_match(grams), parameters, shape, settings, draws=random, steps=watched))
    images = as_files_hold(torch.cat([one.images for one in climbed]).cpu())
    told: dict[str, JSON] = {
        "layers": names,
        "size": list(shape[1:]),
        "count": count,
        "start": start if isinstance(start, str) else "image",
        **settings.parameters(),
    }
    inputs = [example] if isinstance(start, str) else [example, start]
    return Texture(
        images=images,
        values=torch.cat([one.values for one in climbed], dim=1),
        labels=[f"{len(names)} layers to {names[-1]}"] * count,
        example=example.detach().to(images),
        layers=names,
        losses=torch.stack([_losses(_grams(network, each, names), grams) for each in images]),
        recipe=network.recipe("texture", told, images=inputs, batch=batch, seed=seed),
    )


def texture_layers(network: Network, layers: Sequence[str] | None = None, depth: int | None = None) -> list[str]:
    """The layers whose Gram matrices count: those asked for or the usual ones, and of them the `depth` shallowest.

    Raises LayerError for a layer without space, and for none.
    """
    known = network.layers
    if layers is not None:
        names = [layers] if isinstance(layers, str) else list(layers)
    elif all(each in known for each in VGG_LAYERS):
        names = list(VGG_LAYERS)
    else:
        names = [each for each in stage_ends(network) if known[each].has_space]
    for each in names:
        if not known[each].has_space:
            raise LayerError(f"layer {each!r} has shape {known[each].shape}, expected (C, H, W): it has no places")
    if not names:
        raise LayerError(f"no layers to take Gram matrices of in {network.name}; name some with places")
    if depth is not None and not 1 <= depth <= len(names):
        raise LayerError(f"got depth={depth}, expected 1 to {len(names)}: {', '.join(names)}")
    return names[:depth]


def _grams(network: Network, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The Gram matrices `(C, C)` of an image, on the processor."""
    kept = network.capture(image, layers)
    return {name: gram(kept[name][None])[0].cpu() for name in layers}


def _losses(grams: dict[str, Tensor], wanted: dict[str, Tensor]) -> Tensor:
    """How far matrices are from those wanted, relative to them, `(L,)`."""
    return torch.stack([(grams[name] - wanted[name]).norm() / wanted[name].norm() for name in wanted])


def _check(network: Network, example: Tensor, count: int, batch: int) -> None:
    check_image(example, channels=network.channels)
    if example.dim() != 3:
        got = tuple(example.shape)
        raise ImageError(f"got a batch of shape {got}, expected one example (C, H, W): choose one of it")
    if not example.isfinite().all():
        raise ImageError("got an example with NaN or infinity in it, expected values in [0, 1]")
    if min(count, batch) < 1:
        raise ImageError(f"got count={count}, batch={batch}; expected at least 1 of each")
