"""Invert: images that a layer can't tell from a given one, and so what it has kept of it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.errors import ImageError, LayerError
from convscope.image.check import check_image
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.progress import Steps, Watcher
from convscope.synthesis.objectives import match, relative_error
from convscope.synthesis.optimize import optimize
from convscope.synthesis.optimizers import Optimizer, Schedule
from convscope.synthesis.parameterizations import Parameterization
from convscope.synthesis.settings import chosen
from convscope.synthesis.start import draws, image_shape, started
from convscope.synthesis.synthesized import Synthesized, as_files_hold

PRESETS: dict[str, dict[str, Any]] = {
    "exact": {
        "parameterization": "pyramid",
        "regularizers": "tv:1",
        "optimizer": "lbfgs:1",
        "steps": 300,
    },
    "natural": {
        "parameterization": "fourier",
        "transforms": "jitter:16 scale:0.95,1.05 rotate:5",
        "regularizers": "tv:10",
        "optimizer": "adam:0.05",
        "schedule": "cosine:0.05",
        "steps": 300,
    },
    "mahendran": {
        "parameterization": "pixels",
        "regularizers": "tv:1 alpha-norm:0.01",
        "optimizer": "ascent:0.005,momentum=0.9",
        "schedule": "cosine:0.02",
        "steps": 300,
    },
}

_COARSE = 32


@dataclass(frozen=True, kw_only=True)
class Inversion(Synthesized):
    """Images of nearly the same code as the `original` `(C, H, W)`, the code being what the `layer` answers.

    All that is told is measured on the `images`, `(N,)` each: `code_errors` ‖Φ(x) − Φ₀‖ / ‖Φ₀‖, not squared;
    `pixel_errors` the root of the mean squared difference from the original, in [0, 1]; `correlations` Pearson's with
    the original over all values, NaN for an even image.
    """

    original: Tensor
    layer: str
    code_errors: Tensor
    pixel_errors: Tensor
    correlations: Tensor

    @property
    def caption(self) -> str:
        """How near the first of them is."""
        return f"code error {float(self.code_errors[0]):.2f}, correlation {float(self.correlations[0]):z.2f}"


def invert(
    network: Network,
    image: Tensor,
    layer: str | None = None,
    *,
    preset: str | None = None,
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
    batch: int = 8,
    progress: Watcher | None = None,
) -> Inversion:
    """Images whose code is that of a given one, from noise.

        argmin over x of ‖Φ(x) − Φ₀‖² / ‖Φ₀‖² + R(x)

    Φ is a layer, Φ₀ its answer to the image, and R what is known of images in general (Mahendran and Vedaldi 2015).

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1], of any size that the layer takes; what is made has the same.
    layer
        By default the vector that the classifier reads, or the last stage where there is none.
    preset
        "exact": a Laplacian pyramid by L-BFGS, nearest to the code; "natural": Fourier coefficients under random
        transforms, which deep layers need for something to be seen; "mahendran": pixels by gradients with momentum, as
        published. By default "natural" for vectors and for maps 32 times smaller than the image, else "exact".
    count
        Images, from different random numbers: what they share, the code says; where they differ, it says nothing.
    start
        "noise", "zero" for grey, or an image.
    parameterization, transforms, regularizers, optimizer, schedule, steps, views
        In place of the preset's own, as texts such as `tv:10`, parts, or functions. `tv` is the prior that matters:
        more of it gives smoother pictures and greater errors.
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
    >>> net = cs.load("efficientnet-lite0")
    >>> inverted = invert(net, net.read("chelsea"), "blocks.2", steps=2)
    >>> inverted.images.shape, bool(inverted.code_errors < 1.1)
    (torch.Size([1, 3, 224, 224]), True)
    """
    _check(network, image, count, batch)
    layer = deepest(network) if layer is None else layer
    code = network.capture(image, [layer])[layer].cpu()
    if not code.any():
        raise LayerError(f"layer {layer!r} answers 0 everywhere to this image: it says nothing of it; take another")
    given = {
        "parameterization": parameterization, "transforms": transforms, "regularizers": regularizers,
        "optimizer": optimizer, "schedule": schedule, "steps": steps, "views": views,
    }  # fmt: skip
    settings = chosen(PRESETS, preset or usual_preset(code, image), given)
    shape = image_shape(network, (image.shape[-2], image.shape[-1]), start)
    watched = Steps(settings.steps * -(-count // batch), progress)
    climbed = []
    for at in range(0, count, batch):
        random = draws(seed + at, min(batch, count - at))
        parameters = started(network, start, settings, shape, random, slice(at, at + batch))
        goal = match({layer: code})
        climbed.append(optimize(network, goal, parameters, shape, settings, draws=random, steps=watched))
    images = as_files_hold(torch.cat([one.images for one in climbed]).cpu())
    told: dict[str, JSON] = {
        "layer": layer,
        "count": count,
        "start": start if isinstance(start, str) else "image",
        **settings.parameters(),
    }
    inputs = [image] if isinstance(start, str) else [image, start]
    original = image.detach().to(images)
    return Inversion(
        images=images,
        values=torch.cat([one.values for one in climbed], dim=1),
        labels=[layer] * count,
        original=original,
        layer=layer,
        code_errors=_code_errors(network, images, layer, code),
        pixel_errors=(images - original).flatten(1).square().mean(dim=1).sqrt(),
        correlations=correlation(images, original),
        recipe=network.recipe("invert", told, images=inputs, batch=batch, seed=seed),
    )


def deepest(network: Network) -> str:
    """The vector that the classifier reads; the last stage of a network without one.

    >>> import convscope as cs
    >>> deepest(cs.load("efficientnet-lite0"))
    'flatten'
    """
    ends = stage_ends(network)
    if not ends:
        raise LayerError(f"{network.name} has no layer that is known for its code; name one")
    return ends[-1]


def usual_preset(code: Tensor, image: Tensor) -> str:
    """The preset for a code `(C, …)` of an image `(C, H, W)`.

    Where places are gone, or nearly, many images have the same code: among them are patterns hardly seen on grey, to
    which the straightest way leads, and which don't bear to be moved.

    >>> usual_preset(torch.zeros(64, 28, 28), torch.zeros(3, 224, 224))
    'exact'
    """
    coarse = code.dim() < 3 or max(image.shape[-2:]) >= _COARSE * max(code.shape[-2:])
    return "natural" if coarse else "exact"


def correlation(images: Tensor, original: Tensor) -> Tensor:
    """Pearson's correlation of each image `(N, C, H, W)` with another, over all values, `(N,)`; NaN for an even one.

    >>> ramp = torch.linspace(0, 1, 12).reshape(3, 2, 2)
    >>> correlation(torch.stack([ramp / 2, 1 - ramp]), ramp).round()
    tensor([ 1., -1.])
    """
    varied, other = images.flatten(1), original.flatten()
    varied, other = varied - varied.mean(dim=1, keepdim=True), other - other.mean()
    correlations: Tensor = varied @ other / (varied.norm(dim=1) * other.norm())
    return correlations


def _code_errors(network: Network, images: Tensor, layer: str, code: Tensor) -> Tensor:
    """‖Φ(x) − Φ₀‖ / ‖Φ₀‖ of each image, `(N,)`; one at a time, since a few may be large."""
    codes = (network.capture(each, [layer])[layer].cpu() for each in images)
    return torch.cat([relative_error(each[None], code).sqrt() for each in codes])


def _check(network: Network, image: Tensor, count: int, batch: int) -> None:
    check_image(image, channels=network.channels)
    if image.dim() != 3:
        raise ImageError(f"got a batch of shape {tuple(image.shape)}, expected one image (C, H, W): choose one of it")
    if not image.isfinite().all():
        raise ImageError("got an image with NaN or infinity in it, expected values in [0, 1]")
    if min(count, batch) < 1:
        raise ImageError(f"got count={count}, batch={batch}; expected at least 1 of each")
