"""SmoothGrad: saliency averaged over noisy copies of the image (Smilkov et al. 2017)."""

from functools import partial

import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.gradients import checked_batch, weighted_gradients
from convscope.errors import ImageError
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher


def smooth_grad(
    network: Network,
    image: Tensor,
    target: TargetLike,
    *,
    samples: int = 25,
    noise: float = 0.1,
    rule: Rule = "gradient",
    smooth: str | None = None,
    seed: int = 0,
    batch: int | None = None,
    progress: Watcher | None = None,
) -> Attribution:
    """The mean of the saliency of noisy copies: what of it does not hang on single values of pixels.

        1/n · Σ ∂y/∂x (x + ε_i),   ε_i normal with deviation noise · (max x − min x)

    The noise is the same for every image of a batch and for batches of any size, and is not cut at 0 and 1. `.values`
    has the image's shape.

    Parameters
    ----------
    image, target, rule, smooth
        As for `saliency`.
    samples
        How many copies, n.
    noise
        The deviation of the noise, as a part of the range of the image's values.
    seed
        Of the noise; no other random numbers change.
    batch
        Copies that go through the network together; by default as many as half a GiB of memory allows.
    progress
        Called after each batch of copies; returning False stops.

    Raises
    ------
    Cancelled, ImageError, TargetError, RuleError

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> smooth_grad(net, torch.rand(3, 224, 224), "golden retriever", samples=2).values.shape
    torch.Size([3, 224, 224])
    """
    if samples < 1 or not noise >= 0:
        raise ImageError(f"got samples={samples}, noise={noise}; expected at least 1 sample and a noise of 0 or more")
    asked = network.target(target, image)
    chosen = checked_batch(batch, network, image)
    images = image if image.dim() == 4 else image[None]
    steps = Steps(len(images) * samples, progress)
    weights = torch.full((samples,), 1 / samples, dtype=torch.float64)

    def smoothed(one: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        deviation = noise * (one.max() - one.min())

        def noisy(index: int) -> Tensor:
            drawn = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            return one + deviation * drawn.to(one)

        options = {"batch": chosen, "steps": steps}
        return weighted_gradients(network, noisy, weights, asked, rule=rule, smooth=smooth, **options)  # type: ignore[arg-type]

    found = torch.stack([smoothed(one) for one in images]).to(image)
    values = found if image.dim() == 4 else found[0]
    parameters: dict[str, JSON] = {
        "target": asked.text,
        "samples": samples,
        "noise": noise,
        "rule": rule,
        "smooth": smooth,
    }
    recipe = network.recipe("smooth_grad", parameters, images=[image, *asked.masks], batch=chosen, seed=seed)
    again = partial(
        smooth_grad, target=asked, samples=samples, noise=noise, rule=rule, smooth=smooth, seed=seed, batch=batch
    )
    return Attribution(values, image, asked.text, recipe, f"{asked.unit} per pixel value", again, asked=asked)
