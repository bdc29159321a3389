"""What is really changed while an image is optimized."""

from typing import Any

from convscope.synthesis.parameterizations.fourier import Fourier
from convscope.synthesis.parameterizations.generator import Generator as Generator
from convscope.synthesis.parameterizations.parameterization import Bounded as Bounded
from convscope.synthesis.parameterizations.parameterization import Parameterization as Parameterization
from convscope.synthesis.parameterizations.phase import Phase
from convscope.synthesis.parameterizations.pixels import Pixels
from convscope.synthesis.parameterizations.pyramid import Pyramid

PARAMETERIZATIONS: dict[str, type[Any]] = {"fourier": Fourier, "pixels": Pixels, "phase": Phase, "pyramid": Pyramid}
