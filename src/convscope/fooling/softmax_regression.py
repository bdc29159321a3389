"""Softmax regression: the linear classifier of anything that is rows of numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ConvscopeError, StepFailed
from convscope.progress import Steps, Watcher

# The gradient at which it counts as trained, and how many steps it may take.
_TOLERANCE, _STEPS = 1e-6, 2000
_TOGETHER = 100


def softmax_regression(
    rows: Tensor, labels: Tensor, classes: int, *, regularization: float, progress: Watcher | None = None
) -> tuple[Tensor, Tensor]:
    """Weights (classes, D) and biases (classes,), float64, that tell rows (N, D) apart by their labels (N,), int64.

    They minimize

        − mean over n of log softmax(W x_n + b)[y_n] + ½ λ ‖W‖²

    by L-BFGS from 0: without random numbers. Where there are fewer rows than numbers in one, W lies in the span of
    the rows, and only its coordinates there are sought. Raises ConvscopeError for λ that is not a number above 0:
    without it, classes that can be told apart wholly have no best weights.

    >>> rows = torch.tensor([[0.0, 1], [0, 2], [3, 0], [2, 0]])
    >>> weights, biases = softmax_regression(rows, torch.tensor([0, 0, 1, 1]), 2, regularization=0.1)
    >>> (rows.double() @ weights.T + biases).argmax(1).tolist()
    [0, 0, 1, 1]
    """
    if not 0 < regularization < float("inf"):
        raise ConvscopeError(
            f"got regularization={regularization}; expected a number above 0, such as 1e-4 (weak) or 1 (strong)"
        )
    rows = rows.double()
    count, dimensions = rows.shape
    # The optimum is a sum of the rows: orthonormal coordinates of their span keep ‖W‖ as it is.
    basis = torch.linalg.qr(rows.T)[0] if count < dimensions else None
    known = rows if basis is None else rows @ basis
    parameters = torch.zeros(classes, known.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [parameters], max_iter=_TOGETHER, history_size=30, tolerance_grad=_TOLERANCE, tolerance_change=0,
        line_search_fn="strong_wolfe",
    )  # fmt: skip
    steps = Steps(_STEPS, progress)

    def closure() -> float:
        optimizer.zero_grad()
        with torch.enable_grad():
            weights, biases = parameters[:, :-1], parameters[:, -1]
            loss = F.cross_entropy(known @ weights.T + biases, labels) + regularization / 2 * weights.square().sum()
            (parameters.grad,) = torch.autograd.grad(loss, parameters)
        return float(loss.detach())

    for _ in range(_STEPS // _TOGETHER):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        steps.done(_TOGETHER)
        if parameters.grad is None or not parameters.grad.isfinite().all():
            raise StepFailed("the regression gives no numbers any more; take a stronger regularization")
        if float(parameters.grad.abs().max()) <= _TOLERANCE:
            break
    found = parameters.detach()
    weights, biases = found[:, :-1], found[:, -1]
    return (weights if basis is None else weights @ basis.T).contiguous(), biases.contiguous()
