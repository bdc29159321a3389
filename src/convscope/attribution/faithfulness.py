"""Faithfulness: does the answer go with the pixels that a map calls important, and come with them?"""

from dataclasses import dataclass, replace
from itertools import product

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction
from convscope.attribution.canvas import CanvasLike, canvas
from convscope.attribution.measure import BATCH, Measure, masked, measure_of
from convscope.attribution.ranking import pixel_values, square_order, squares_of
from convscope.errors import ImageError
from convscope.image.provenance import recall
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.render.curves import QUIET, Curve, curves
from convscope.render.grid import grid
from convscope.render.result import Pictured

SQUARES_ACROSS = 7
"""How many squares lie along an image's shorter side, where nobody says how large they are."""


@dataclass(frozen=True)
class Course:
    """How an answer changes while pixels go or come in some order.

    `fractions` `(steps + 1,)` of the pixels, from 0 to 1; `values` `(steps + 1,)` the answer with the map's own order;
    `random` `(orders, steps + 1)` with orders drawn by chance. Areas are means over the fractions.
    """

    fractions: Tensor
    values: Tensor
    random: Tensor

    @property
    def area(self) -> float:
        """The area under the map's curve."""
        return float(area(self.values))

    @property
    def random_area(self) -> float:
        """The mean of the areas under those of chance."""
        return float(area(self.random).mean())

    @property
    def random_spread(self) -> float:
        """The standard deviation of these areas; NaN for a single one."""
        return float(area(self.random).std()) if len(self.random) > 1 else float("nan")

    def __str__(self) -> str:
        spread = f" ± {self.random_spread:.3f}" if len(self.random) > 1 else ""
        return f"{self.area:.3f} (by chance {self.random_area:.3f}{spread})"


@dataclass(frozen=True)
class Faithfulness(Pictured):
    """Insertion and deletion of one map.

    The `deletion` of a good map falls at once (a small area), its `insertion` rises at once (a large one); both are
    counted in `unit`. `attribution` is the map that was tested.
    """

    attribution: Attribution
    insertion: Course
    deletion: Course
    unit: str
    recipe: Recipe

    def picture(self, *, size: tuple[int, int] = (240, 320)) -> Image.Image:
        """The map beside its two charts, each `size` (height, width) and a legend."""
        charts = [
            _chart("deletion", self.deletion, self.unit, size),
            _chart("insertion", self.insertion, self.unit, size),
        ]
        return grid([self.attribution.picture(), *charts], columns=3)

    def __str__(self) -> str:
        return f"insertion area {self.insertion}, deletion area {self.deletion}"


def faithfulness(
    network: Network,
    image: Tensor,
    attribution: Attribution,
    *,
    steps: int = 20,
    start: CanvasLike = "gray",
    end: CanvasLike = "blur",
    orders: int = 5,
    square: int | None = None,
    reduction: Reduction | None = None,
    batch: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Faithfulness:
    """Take squares of pixels away, and put them back, the most important first (Petsiuk, Das and Saenko 2018, RISE).

    Deletion replaces more and more of the image by what `end` has there; insertion puts more and more of it into
    `start`. What is watched is the target's probability if it is a class, else its score. By themselves the areas say
    little: what a network answers to half an image is its own affair. So the same squares also go in random orders, and
    it is those that a map must beat (Samek et al. 2017, "Evaluating the visualization of what a deep neural network has
    learned", who take regions of 9×9 pixels in the place of RISE's single ones).

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1], the one that the attribution is of.
    steps
        How many times pixels are replaced until all are.
    start, end
        "gray", "mean" (the image's own), "blur" (the image out of focus), a number, or an image `(C, H, W)`. By default
        what is put back stands before an empty ground and has to be enough; what is taken away leaves no edges, which
        would be evidence of their own.
    orders
        How many random orders are compared with.
    square
        The side of the squares in pixels; those at the right and lower edge may be cut. By default a seventh of the
        shorter side: about the size of the parts that objects are known by, and of an occluder. With 1, single pixels,
        random orders become salt and pepper, which a network falls for wherever it is: maps of places are then compared
        with another kind of damage, and mostly lose.
    reduction
        The number that a pixel counts by (see `Attribution.reduced`), by default the magnitude of derivatives and the
        signed sum of all else; a square counts by its mean. Equal ones are taken in random order.
    batch
        Images run at once; memory doesn't depend on anything else.

    Raises
    ------
    ImageError
        The attribution is of another image or not finite; fewer than one step or order, a square of none, or an unknown
        canvas.
    Cancelled
        `progress`, called after each batch with how many of the images were run, returned False.

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> image = net.prepare(cs.read_image("chelsea"))
    >>> result = faithfulness(net, image, cs.saliency(net, image, "tiger cat"), steps=2, orders=2)
    >>> result.deletion.values.shape, result.deletion.random.shape, result.unit
    (torch.Size([3]), torch.Size([2, 3]), 'probability')
    """
    measure = measure_of(network, image, attribution)
    check_counts(steps=steps, orders=orders, square=square, batch=batch)
    generator = torch.Generator().manual_seed(seed)
    rankings = with_random_orders(pixel_values(attribution, reduction), square, orders, generator)
    runs = Steps(runs_needed(len(rankings), steps), progress)
    insertion, deletion = courses(measure, image, rankings, steps=steps, start=start, end=end, batch=batch, runs=runs)
    parameters: dict[str, JSON] = {
        "of": recipe_of(attribution),
        "steps": steps,
        "start": "image" if isinstance(start, Tensor) else start,
        "end": "image" if isinstance(end, Tensor) else end,
        "orders": orders,
        "square": square,
        "reduction": reduction,
    }
    canvases = tuple(recall(each) for each in (start, end) if isinstance(each, Tensor))
    recipe = network.recipe("faithfulness", parameters, batch=batch, seed=seed)
    recipe = replace(recipe, inputs=(*attribution.recipe.inputs, *canvases))
    return Faithfulness(attribution, insertion, deletion, measure.unit, recipe)


def recipe_of(attribution: Attribution) -> JSON:
    """What made an attribution, as a part of the recipe of what is told about it."""
    made = attribution.recipe
    return {"method": made.method, "parameters": made.parameters, "batch": made.batch, "seed": made.seed}


def check_counts(**counts: int | None) -> None:
    """Raises ImageError where one of these numbers is below 1."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ImageError(f"got {name}={count!r}; expected a whole number of at least 1")


def with_random_orders(values: Tensor, square: int | None, count: int, generator: torch.Generator) -> Tensor:
    """The pixels of a map `(H, W)` in the order of their squares, and so many random ones: `(1 + count, H·W)`.

    `square` as in `faithfulness`.
    """
    squares = squares_of(values.shape, square or max(1, min(values.shape) // SQUARES_ACROSS))
    even = torch.zeros(values.shape)
    return torch.stack([square_order(each, squares, generator) for each in (values, *[even] * count)])


def area(values: Tensor) -> Tensor:
    """The area under curves `(…, steps + 1)` over even fractions from 0 to 1, by trapezoids.

    >>> float(area(torch.tensor([1.0, 0.5, 0.0])))
    0.5
    """
    return torch.trapezoid(values, dx=1 / (values.shape[-1] - 1))


def runs_needed(orders: int, steps: int) -> int:
    """How many images `courses` runs: three that all orders share, and those between for each of them and both ways."""
    return 3 + 2 * orders * (steps - 1)


def courses(
    measure: Measure,
    image: Tensor,
    rankings: Tensor,
    *,
    steps: int,
    start: CanvasLike,
    end: CanvasLike,
    batch: int | None,
    runs: Steps,
) -> tuple[Course, Course]:
    """Insertion and deletion in the order of each of the rankings `(K, H·W)`; the first is the map's own."""
    first, last = canvas(start, image), canvas(end, image)
    clean, empty, gone = measure(torch.stack([image, first, last])).tolist()
    runs.done(3)
    pixels = image.shape[-2] * image.shape[-1]
    counts = [round(step * pixels / steps) for step in range(steps + 1)]
    inserted, deleted = torch.zeros(2, len(rankings), steps + 1, dtype=torch.float64)
    inserted[:, 0], inserted[:, -1], deleted[:, 0], deleted[:, -1] = empty, clean, clean, gone
    # The place of each pixel in each order: the pixels among the first n are those below n.
    places = rankings.argsort(dim=1).reshape(len(rankings), *image.shape[-2:])
    pairs = list(product(range(len(rankings)), range(1, steps)))
    size = batch or BATCH
    for which in (pairs[begin : begin + size] for begin in range(0, len(pairs), size)):
        masks = torch.stack([places[ranking] < counts[step] for ranking, step in which])
        for values, instead, chosen in ((inserted, first, ~masks), (deleted, last, masks)):
            found = measure(masked(image, chosen, instead))
            for (ranking, step), value in zip(which, found, strict=True):
                values[ranking, step] = value
            runs.done(len(which))
    fractions = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return Course(fractions, inserted[0], inserted[1:]), Course(fractions, deleted[0], deleted[1:])


def _chart(name: str, course: Course, unit: str, size: tuple[int, int]) -> Image.Image:
    spread = course.random.std(dim=0) if len(course.random) > 1 else torch.zeros_like(course.values)
    mean = course.random.mean(dim=0)
    lines = [
        Curve(f"by this map: area {course.area:.3f}", course.fractions, course.values),
        Curve(
            f"in random order: {course.random_area:.3f}", course.fractions, mean, mean - spread, mean + spread, QUIET
        ),
    ]
    said = {"deletion": "share of the pixels taken away", "insertion": "share of the pixels put back"}[name]
    limits = (0.0, 1.0) if unit == "probability" else None
    return curves(lines, x_label=said, y_label=unit, title=name, size=size, x_range=(0, 1), y_range=limits)
