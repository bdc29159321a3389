"""The methods by name: how the command line and comparisons ask for them, each with its defaults."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.grad_cam import grad_cam
from convscope.attribution.guided_grad_cam import guided_grad_cam
from convscope.attribution.integrated_gradients import integrated_gradients
from convscope.attribution.occlusion import occlusion
from convscope.attribution.saliency import saliency
from convscope.attribution.smooth_grad import smooth_grad
from convscope.errors import ConvscopeError, nearest
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher

Method = Callable[..., Attribution]


def _at_once(method: Method) -> Method:
    """A method of a single step, which says when that is done."""

    def followed(
        network: Network, image: Tensor, target: TargetLike, *, progress: Watcher | None = None, **options: Any
    ) -> Attribution:
        steps = Steps(1, progress)
        result = method(network, image, target, **options)
        steps.done(preview=result)
        return result

    return followed


# Each is called as (network, image, target, *, progress=None).
METHODS: Mapping[str, Method] = {
    "saliency": _at_once(saliency),
    "guided": _at_once(partial(saliency, rule="guided")),
    "deconvnet": _at_once(partial(saliency, rule="deconvnet")),
    "occlusion": occlusion,
    "grad-cam": _at_once(grad_cam),
    "guided-grad-cam": _at_once(guided_grad_cam),
    "integrated-gradients": integrated_gradients,
    "smooth-grad": smooth_grad,
}
_BY_RULES = ("guided", "deconvnet", "guided-grad-cam")


def check_method(name: str) -> str:
    """The name, if there is a method of it; otherwise an error with the nearest."""
    if name not in METHODS:
        raise ConvscopeError(f"no method {name!r}; {nearest(name, METHODS)}")
    return name


def explain(
    name: str,
    network: Network,
    image: Tensor,
    target: TargetLike,
    *,
    smooth: str | None = None,
    progress: Watcher | None = None,
) -> Attribution:
    """The map that the method of that name makes with its defaults.

    `smooth` is passed on to the methods whose backward rule it is for.

    Raises
    ------
    ConvscopeError
        There is no such method, or the target is not understood.
    """
    check_method(name)
    options = {"smooth": smooth} if smooth is not None and name in _BY_RULES else {}
    return METHODS[name](network, image, target, progress=progress, **options)
