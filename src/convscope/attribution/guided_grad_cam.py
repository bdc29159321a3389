"""Guided Grad-CAM: guided backpropagation where a class activation map lies (Selvaraju et al. 2017)."""

from functools import partial

from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.grad_cam import grad_cam
from convscope.network.network import Network
from convscope.network.target import TargetLike


def guided_grad_cam(
    network: Network, image: Tensor, target: TargetLike, *, layer: str | None = None, smooth: str | None = None
) -> Attribution:
    """Saliency by the rule "guided" times the values of `grad_cam`.

    Guided backpropagation alone looks much the same for every class; what tells classes apart here is the map of the
    layer, as fine as that layer is. `.values` has the image's shape.

    Parameters
    ----------
    image, target
        As for `saliency`.
    layer
        As for `grad_cam`.
    smooth
        "positive" lets the rule pass activations that are no rectifiers.

    Raises
    ------
    LayerError, RuleError, TargetError, ImageError

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> guided_grad_cam(net, torch.zeros(3, 224, 224), "golden retriever").values.shape
    torch.Size([3, 224, 224])
    """
    asked = network.target(target, image)
    cam = grad_cam(network, image, asked, layer=layer)
    guided = network.gradient(image, asked, rule="guided", smooth=smooth)
    parameters = {"target": asked.text, "layer": cam.layer, "smooth": smooth}
    recipe = network.recipe("guided_grad_cam", parameters, images=[image, *asked.masks])
    again = partial(guided_grad_cam, target=asked, layer=cam.layer, smooth=smooth)
    values = guided * cam.values.unsqueeze(-3)
    # In truth a product of two units; no legend has room for both.
    return Attribution(values, image, asked.text, recipe, "guided gradient × map", again, cam.note, asked=asked)
