"""What Look shows as it is saved: the library's own pictures, with their recipes inside."""

from torch import Tensor

from convscope.attribution.activations import activations
from convscope.attribution.saliency import saliency
from convscope.explorer.lens import Lens
from convscope.explorer.making import download
from convscope.explorer.models import RuleName
from convscope.plates.explanation import usual_style


def activations_png(lens: Lens, image: Tensor, layer: str, *, shared: bool) -> bytes:
    """All channels of a layer beside the image. Raises LayerError."""
    return download(activations(lens.network, image, layer), shared=shared)


def driven_png(lens: Lens, image: Tensor, target: str, rule: RuleName) -> bytes:
    """What of the image drives a unit. Raises TargetError, RuleError."""
    made = saliency(lens.network, image, lens.target(target), rule=rule)
    return download(made, style=usual_style(made))
