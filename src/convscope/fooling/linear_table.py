"""Not about images: a linear classifier of a table, and how far each number has to move to turn it (L58)."""

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ConvscopeError, MissingExtra
from convscope.fooling.softmax_regression import softmax_regression
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.render.curves import Curve, curves
from convscope.render.result import Pictured

_STEPS = 21
_DRAWS = 20


@dataclass(frozen=True)
class LinearTable(Pictured):
    """How often a linear classifier of a table is right when each number moved by a step, in its standard deviations.

    `steps` (S,), `against` (S,) the accuracy on rows it wasn't trained on, moved against their class, and `by_chance`
    (S,), moved as far in random directions. `turned` is the median step that turns a row that was right.
    """

    columns: tuple[str, ...]
    rows: int
    steps: Tensor
    against: Tensor
    by_chance: Tensor
    turned: float
    recipe: Recipe

    @property
    def accuracy(self) -> float:
        """Where nothing has moved."""
        return float(self.against[0])

    @property
    def caption(self) -> str:
        """What came out, in words."""
        return (
            f"{self.rows} tumours by {len(self.columns)} measurements: right for {self.accuracy:.1%}; half of these "
            f"turn when each measurement moves by {self.turned:.2f} standard deviations"
        )

    def picture(self) -> Image.Image:
        """Both accuracies over the step."""
        return curves(
            [Curve("against the class", self.steps, self.against), Curve("by chance", self.steps, self.by_chance)],
            x_label="step of each measurement, in standard deviations",
            y_label="accuracy",
            title="A linear classifier of a table",
            size=(260, 420),
            y_range=(0.0, 1.0),
        )


def linear_table(*, regularization: float = 1e-2, largest: float = 1.0, seed: int = 0) -> LinearTable:
    """Train a linear classifier of scikit-learn's table of breast tumours, and move its rows against their class.

    569 rows of 30 measurements, each brought to mean 0 and deviation 1; two thirds are trained on. To turn a row, each
    measurement takes the step ε · sign(w) that its weight tells, ε at most `largest` standard deviations. Nothing of it
    is about images: it is the sum of 30 small moves.

    Raises ConvscopeError for numbers that are none; MissingExtra without scikit-learn.

    >>> made = linear_table()
    >>> made.accuracy > 0.95, float(made.against[-1]) < 0.1
    (True, True)
    """
    if not 0 < largest < float("inf"):
        raise ConvscopeError(f"got largest={largest}; expected a number of standard deviations above 0, such as 1")
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError as error:
        raise MissingExtra("the bundled table", extra="photos") from error
    loaded = load_breast_cancer()
    rows, labels = torch.from_numpy(loaded.data).double(), torch.from_numpy(loaded.target).long()
    draws = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=draws)
    train, test = order[: 2 * len(rows) // 3], order[2 * len(rows) // 3 :]
    rows = (rows - rows[train].mean(0)) / rows[train].std(0)
    weights, biases = softmax_regression(rows[train], labels[train], 2, regularization=regularization)
    # One direction decides between two classes: positive is the second.
    direction, bias = weights[1] - weights[0], biases[1] - biases[0]
    sides = 2.0 * labels[test] - 1
    margins = (rows[test] @ direction + bias) * sides
    steps = torch.linspace(0, largest, _STEPS, dtype=torch.float64)
    against = (margins[None] - steps[:, None] * direction.abs().sum() > 0).double().mean(1)
    signs = torch.randint(2, (_DRAWS, len(test), len(direction)), generator=draws) * 2.0 - 1
    moved = (signs.double() @ direction) * sides
    by_chance = (margins + steps[:, None, None] * moved > 0).double().mean((1, 2))
    turned = float((margins[margins > 0] / direction.abs().sum()).median())
    recipe = recipe_of("linear_table", {"regularization": regularization, "largest": largest}, seed=seed)
    return LinearTable(tuple(map(str, loaded.feature_names)), len(test), steps, against, by_chance, turned, recipe)
