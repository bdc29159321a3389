"""What keeps an image simple while it is optimized."""

from typing import Any

from convscope.synthesis.regularizers.alpha_norm import AlphaNorm
from convscope.synthesis.regularizers.blur import Blur as Blur
from convscope.synthesis.regularizers.clip_contribution import ClipContribution
from convscope.synthesis.regularizers.clip_gradient import ClipGradient
from convscope.synthesis.regularizers.clip_norm import ClipNorm
from convscope.synthesis.regularizers.decay import Decay
from convscope.synthesis.regularizers.regularizer import Regularizer as Regularizer
from convscope.synthesis.regularizers.total_variation import TotalVariation

REGULARIZERS: dict[str, type[Any]] = {
    "decay": Decay,
    "blur": Blur,
    "clip-norm": ClipNorm,
    "clip-gradient": ClipGradient,
    "clip-contribution": ClipContribution,
    "tv": TotalVariation,
    "alpha-norm": AlphaNorm,
}
