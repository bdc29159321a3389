"""Saliency: the gradient of a target with respect to the pixels, under three backward rules."""

from functools import partial

from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.network.network import Network
from convscope.network.rules import Rule
from convscope.network.target import TargetLike


def saliency(
    network: Network, image: Tensor, target: TargetLike, *, rule: Rule = "gradient", smooth: str | None = None
) -> Attribution:
    """How the target answers to a small change of each pixel: ∂target / ∂image.

    One forward and one backward pass. `.values` has the image's shape; `.heatmap` is the largest absolute value over
    the colour channels.

    Parameters
    ----------
    image
        `(C, H, W)` or `(N, C, H, W)` in [0, 1], as `network.prepare` gives it.
    target
        A class (`"golden retriever"`, `"class:207"`, `207`), a difference of two (`"class:207 - class:208"`), a layer,
        channel or unit (`"blocks.3:12@3,4"`), or a function from the network's output to one number an image.
    rule
        How rectifiers pass the gradient back: "gradient" its derivative (Simonyan, Vedaldi and Zisserman 2013),
        "deconvnet" its positive part (Zeiler and Fergus 2014), "guided" both (Springenberg et al. 2014). The last two
        show what in this image a unit can see, and look much the same for every class (Adebayo et al. 2018).
    smooth
        "positive" lets the last two pass activations that are no rectifiers.

    Raises
    ------
    TargetError, RuleError, ImageError

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> result = saliency(net, torch.zeros(3, 224, 224), "golden retriever", rule="guided")
    >>> result.values.shape, result.heatmap.shape
    (torch.Size([3, 224, 224]), torch.Size([224, 224]))
    """
    asked = network.target(target, image)
    values = network.gradient(image, asked, rule=rule, smooth=smooth)
    parameters = {"target": asked.text, "rule": rule, "smooth": smooth}
    recipe = network.recipe("saliency", parameters, images=[image, *asked.masks])
    again = partial(saliency, target=asked, rule=rule, smooth=smooth)
    return Attribution(values, image, asked.text, recipe, f"{asked.unit} per pixel value", again, asked=asked)
