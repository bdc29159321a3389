"""What Look shows as it is saved: the library's own pictures, with their recipes inside."""

from torch import Tensor

from convscope.attribution.activations import activations
from convscope.attribution.saliency import saliency
from convscope.explorer.lens import Lens, turn
from convscope.explorer.making import download
from convscope.network.rules import Rule
from convscope.plates.explanation import usual_style


def activations_png(lens: Lens, image: Tensor, layer: str, *, shared: bool) -> bytes:
    """All channels of a layer beside the image. Raises LayerError."""
    with turn():
        made = activations(lens.network, image, layer)
    return download(made, shared=shared)


def driven_png(lens: Lens, image: Tensor, target: str, rule: Rule) -> bytes:
    """What of the image drives a unit. Raises TargetError, RuleError."""
    with turn():
        made = saliency(lens.network, image, lens.target(target), rule=rule)
    return download(made, style=usual_style(made))
