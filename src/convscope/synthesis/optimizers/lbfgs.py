"""L-BFGS, uphill (Liu and Nocedal 1989)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.synthesis.optimizers.optimizer import Climb, Evaluate


@dataclass(frozen=True)
class LBFGS:
    """Quasi-Newton steps by the last `history` gradients, the first of length `rate`.

    For objectives without random transforms. The images of a batch are one problem to it, and share their steps.
    """

    rate: float = 1.0
    history: int = 100

    def over(self, parameters: Tensor) -> Climb:
        return _Climb(self, parameters)


class _Climb:
    def __init__(self, lbfgs: LBFGS, parameters: Tensor) -> None:
        self._lbfgs, self._parameters = lbfgs, parameters
        self._torch = torch.optim.LBFGS(
            [parameters], lr=lbfgs.rate, max_iter=1, history_size=lbfgs.history, tolerance_grad=0, tolerance_change=0
        )

    def step(self, evaluate: Evaluate, factor: float) -> None:
        def closure() -> float:
            value, gradient = evaluate()
            self._parameters.grad = -gradient
            return -float(value.sum())

        self._torch.param_groups[0]["lr"] = self._lbfgs.rate * factor
        self._torch.step(closure)  # type: ignore[no-untyped-call]
