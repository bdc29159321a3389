"""How the parameters follow the gradient."""

from typing import Any

from convscope.synthesis.optimizers.adam import Adam
from convscope.synthesis.optimizers.ascent import Ascent
from convscope.synthesis.optimizers.lbfgs import LBFGS
from convscope.synthesis.optimizers.optimizer import Optimizer as Optimizer
from convscope.synthesis.optimizers.schedule import Constant, Cosine, Linear
from convscope.synthesis.optimizers.schedule import Schedule as Schedule

OPTIMIZERS: dict[str, type[Any]] = {"adam": Adam, "ascent": Ascent, "lbfgs": LBFGS}
SCHEDULES: dict[str, type[Any]] = {"constant": Constant, "linear": Linear, "cosine": Cosine}
