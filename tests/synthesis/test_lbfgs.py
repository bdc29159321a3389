"""L-BFGS: it finds the top, never falls, and each image of a batch climbs by itself."""

from itertools import pairwise

import torch
from torch import Tensor

from convscope.synthesis.optimizers.lbfgs import LBFGS
from convscope.synthesis.optimizers.optimizer import Evaluate


def rosenbrock(parameters: Tensor) -> Evaluate:
    """Minus Rosenbrock's function of pairs, whose top is 0 at (1, 1)."""

    def evaluate() -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = parameters.detach().clone().requires_grad_()
            x, y = leaf.unbind(dim=1)
            value = -((1 - x) ** 2 + 100 * (y - x**2) ** 2)
            (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    return evaluate


def climbed(start: list[list[float]], steps: int, *, history: int = 20) -> tuple[Tensor, list[Tensor], int]:
    """Where it ends, the values after each step, and how many evaluations that took."""
    parameters = torch.tensor(start, dtype=torch.float64)
    evaluate, count, values = rosenbrock(parameters), 0, []

    def counted() -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1
        return evaluate()

    climb = LBFGS(history=history).over(parameters)
    for _ in range(steps):
        climb.step(counted, 1.0)
        values.append(evaluate()[0])
    return parameters, values, count


def test_it_finds_the_top() -> None:
    end, _, count = climbed([[-1.2, 1.0], [0.0, 0.0], [2.0, -1.0]], 80)
    torch.testing.assert_close(end, torch.ones_like(end), atol=1e-5, rtol=0)
    assert count < 3 * 80


def test_it_never_falls() -> None:
    _, values, _ = climbed([[-1.2, 1.0], [3.0, -4.0]], 60)
    for before, after in pairwise(values):
        assert (after >= before).all()


def test_the_history_counts() -> None:
    assert float(climbed([[-1.2, 1.0]], 25, history=10)[1][-1]) != float(climbed([[-1.2, 1.0]], 25, history=1)[1][-1])


def test_each_climbs_by_itself() -> None:
    together = climbed([[-1.2, 1.0], [3.0, -4.0]], 12)[0]
    alone = torch.cat([climbed([each], 12)[0] for each in ([-1.2, 1.0], [3.0, -4.0])])
    torch.testing.assert_close(together, alone)


def test_at_the_top_it_stays() -> None:
    end, _, _ = climbed([[1.0, 1.0]], 3)
    assert torch.equal(end, torch.ones_like(end))


def test_what_is_changed_between_steps_is_looked_at_again() -> None:
    parameters = torch.tensor([[-1.2, 1.0]], dtype=torch.float64)
    climb, evaluate = LBFGS().over(parameters), rosenbrock(parameters)
    climb.step(evaluate, 1.0)
    parameters.fill_(0.5)
    before = evaluate()[0]
    climb.step(evaluate, 1.0)
    assert (evaluate()[0] > before).all()


def test_it_leaves_a_valley_quickly() -> None:
    """Near 0 the hill −(x² − 1)² becomes steeper with each step, and tells of no curvature to go by."""
    parameters = torch.tensor([[1e-4, -1e-4]], dtype=torch.float64)

    def evaluate() -> tuple[Tensor, Tensor]:
        height = parameters.square() - 1
        return -height.square().sum(dim=1), -4 * height * parameters

    climb = LBFGS().over(parameters)
    for _ in range(30):
        climb.step(evaluate, 1.0)
    torch.testing.assert_close(parameters, torch.tensor([[1.0, -1.0]], dtype=torch.float64), atol=1e-4, rtol=0)
