"""Fool: noise, grey or a photograph, changed until a network is sure that it is what it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.classes import class_count, class_index, class_name, log_probabilities, random_classes, reread
from convscope.image.recipe import JSON
from convscope.image.write import to_picture
from convscope.network.heads import Prediction
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher
from convscope.render.grid import grid
from convscope.synthesis.objectives import Objective, Seen
from convscope.synthesis.optimize import optimize
from convscope.synthesis.optimizers import Optimizer, Schedule
from convscope.synthesis.parameterizations import Parameterization
from convscope.synthesis.settings import Settings, chosen
from convscope.synthesis.start import draws, image_shape, started
from convscope.synthesis.synthesized import Synthesized, as_files_hold

RANDOM = "random"

# From nothing the picture is drawn towards grey, by L2; a photograph is left as it is wherever that will do.
PRESETS: dict[str, dict[str, Any]] = {
    "nothing": {
        "parameterization": "pixels",
        "regularizers": "decay:0.01",
        "optimizer": "ascent:0.01",
        "steps": 200,
    },
    "photograph": {
        "parameterization": "pixels",
        "optimizer": "ascent:0.001",
        "steps": 200,
    },
}

_MARGIN = 0.1
"""Of the way from the probability asked for to 1: another machine's rounding must not fall short of it."""


@dataclass(frozen=True, kw_only=True)
class Fooled(Synthesized):
    """Images that a network is sure to be of a class.

    `targets` say of which; `probabilities` `(N,)` are those of the images as files hold them, `fooled` `(N,)` says
    where they are as large as was asked for, and `steps` `(N,)` after how many steps. `starts` `(N, C, H, W)` are what
    they were made of, and `before` what the network took those for. `values` are logarithms of probabilities, NaN for
    steps that needn't be taken any more.
    """

    targets: Sequence[str]
    probabilities: Tensor
    fooled: Tensor
    steps: Tensor
    starts: Tensor
    before: Sequence[Prediction]

    @property
    def caption(self) -> str:
        """The first image's probability and how many steps it took."""
        return f"{float(self.probabilities[0]):.1%}, {int(self.steps[0])} steps"

    @property
    def largest_changes(self) -> Tensor:
        """By how much a value of each image was changed at most, `(N,)`."""
        return (self.images - self.starts).abs().flatten(1).amax(dim=1)

    def picture(self, *, which: int | None = None, columns: int | None = None, beside: bool = False) -> Image.Image:
        """As other images that were made; or each `beside` its start, with the difference magnified."""
        if not beside:
            return super().picture(which=which, columns=columns)
        pictures, labels = [], []
        for at in range(len(self.images)) if which is None else [which]:
            start, image, was = self.starts[at], self.images[at], self.before[at]
            factor = max(1, int(0.5 / max(float((image - start).abs().max()), 1 / 255)))
            cells = (start, image, (0.5 + factor * (image - start)).clamp(0, 1))
            pictures += [to_picture(each) for each in cells]
            labels += [f"{was.label} {was.probability:.1%}", self.labels[at], f"difference × {factor}"]
        return grid(pictures, labels=labels, columns=3 * (columns or 1))


def fool(
    network: Network,
    target: TargetLike | Sequence[TargetLike],
    *,
    start: str | Tensor = "noise",
    probability: float = 0.99,
    count: int | None = None,
    parameterization: str | Parameterization | None = None,
    regularizers: Any = None,
    optimizer: str | Optimizer | None = None,
    schedule: str | Schedule | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Fooled:
    """Images that are nothing, or something else, and that the network is sure to be of a class.

        x ← (1 − λ) x + α ∂ log p(class | x) / ∂x,  until p ≥ 0.99

    with x the deviation from the network's grey (Nguyen, Yosinski and Clune 2015; Simonyan et al. 2013). p is read from
    the image in steps of 1/255, as its file holds it, and an image is left alone once it is there.

    Parameters
    ----------
    target
        A class: a label, `class:207` or its index; several for an image each; or "random", any class but the one that
        the network takes the start for.
    start
        "noise"; "zero", or "mean", for the network's grey; or an image `(C, H, W)` in [0, 1] of the input size, or
        `(N, C, H, W)` for an image each.
    probability
        To be reached, below 1.
    count
        Images of each target, from different random numbers; by default 1, or as many as there are to start from.
    parameterization, regularizers, optimizer, schedule
        In place of the usual: pixels, decay (none for a photograph), steps of one length. As for `maximize`.
    steps
        At most so many.
    seed
        Of the random numbers; image n has those of seed + n.
    batch
        Images that climb together.
    progress
        Called after each step with all images as they are; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the images as they were in `so_far`.
    TargetError, ImageError, NetworkError, PartError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> fooled = cs.fool(net, "cheetah", start="noise", probability=0.5)
    >>> net.predict(fooled.image, top=1)[0].label
    'cheetah'
    """
    given = {
        "parameterization": parameterization, "regularizers": regularizers, "optimizer": optimizer,
        "schedule": schedule, "steps": steps,
    }  # fmt: skip
    begin = "zero" if isinstance(start, str) and start == "mean" else start
    settings = chosen(PRESETS, "nothing" if isinstance(begin, str) else "photograph", given)
    _check(network, begin, probability, count, batch)
    classes = class_count(network)
    several = [target] if isinstance(target, str) or not isinstance(target, Sequence) else list(target)
    if count is None:
        count = len(begin) if isinstance(begin, Tensor) and begin.dim() == 4 and len(several) == 1 else 1
    wanted = [None if each == RANDOM else class_index(network, each) for each in several for _ in range(count)]
    shape = image_shape(network, None, begin)
    random = draws(seed, len(wanted))
    parameters = started(network, begin, settings, shape, random)
    starts = as_files_hold(settings.parameterization.images(parameters, shape).detach()).cpu()
    seen = reread(network, starts)
    owned = seen.argmax(dim=1).tolist()
    drawn = random_classes(owned, classes, random) if None in wanted else owned
    indices = torch.tensor([other if one is None else one for one, other in zip(wanted, drawn, strict=True)])
    run = _Run(network, settings, shape, starts, indices, probability, Steps(
        settings.steps * -(-len(wanted) // batch), progress
    ))  # fmt: skip
    for at in range(0, len(wanted), batch):
        run.climb(slice(at, at + batch), parameters, random)
    names = [class_name(network, index) for index in indices.tolist()]
    sure = run.probabilities
    told: dict[str, JSON] = {
        "target": [RANDOM if each == RANDOM else f"class:{class_index(network, each)}" for each in several],
        "count": count,
        "start": begin if isinstance(begin, str) else "image",
        "probability": probability,
        **{name: value for name, value in settings.parameters().items() if name in given},
    }
    return Fooled(
        images=run.images,
        values=run.values,
        labels=[f"{name} {float(value):.1%}" for name, value in zip(names, sure, strict=True)],
        targets=names,
        probabilities=sure,
        fooled=sure >= probability,
        steps=run.steps,
        starts=starts,
        before=[
            Prediction(class_name(network, own), own, float(row[own])) for own, row in zip(owned, seen, strict=True)
        ],
        recipe=network.recipe("fool", told, images=[] if isinstance(begin, str) else [begin], batch=batch, seed=seed),
    )


class _Run:
    """All images on their way, a batch at a time."""

    def __init__(
        self,
        network: Network,
        settings: Settings,
        shape: tuple[int, int, int],
        starts: Tensor,
        indices: Tensor,
        probability: float,
        watched: Steps,
    ) -> None:
        self.network, self.settings, self.shape, self.indices = network, settings, shape, indices
        self.images = starts.clone()
        self.probabilities = torch.zeros(len(starts))
        self.steps = torch.full((len(starts),), settings.steps)
        self.values = torch.full((settings.steps, len(starts)), float("nan"))
        self.goal = probability + _MARGIN * (1 - probability)
        self.watched = watched

    def climb(self, chunk: slice, parameters: Tensor, random: list[torch.Generator]) -> None:
        """Bring the images of a chunk there."""
        steps = _Until(self, chunk)
        try:
            climbed = optimize(
                self.network, steps.objective, parameters[chunk].clone(), self.shape, self.settings,
                draws=random[chunk], steps=steps,
            )  # fmt: skip
        except _AllThere:
            # What needn't be done any more counts as done.
            self.watched.done(self.settings.steps - steps.taken, preview=self.images)
        else:
            steps.look(climbed.images.cpu(), torch.ones(len(climbed.images), dtype=torch.bool))


class _AllThere(Exception):  # noqa: N818 - it says what happened
    """Every image of the batch is taken for its class."""


class _Until(Steps):
    """Looks at the images at each step, keeps each that is there, and ends the climb when all are."""

    def __init__(self, run: _Run, chunk: slice) -> None:
        self._run, self._at = run, torch.arange(len(run.indices))[chunk]
        self._wanted = run.indices[chunk].to(run.network.device)
        self._logs = torch.empty(0)
        self._there = torch.zeros(len(self._at), dtype=torch.bool)
        self.taken = 0

    @property
    def objective(self) -> Objective:
        """The logarithm of the probability of each image's class."""

        def value(seen: Seen) -> Tensor:
            logs = log_probabilities(seen.answers.logits, self._run.network.head)
            own = logs.gather(1, self._wanted[:, None])[:, 0]
            self._logs = own.detach().cpu()
            return own

        return Objective("log probability", value, whole=True)

    def done(self, count: int = 1, *, preview: Any = None) -> None:
        """One step more; `preview` are the images as they were before it."""
        self._run.values[self.taken, self._at[~self._there]] = self._logs[~self._there].float()
        # Rounding costs a forward pass to look at, which those that are not there anyway are spared.
        self.look(preview.cpu(), self._logs.exp() >= self._run.goal)
        if self._there.all():
            raise _AllThere
        self.taken += 1
        self._run.watched.done(count, preview=self._run.images.clone())

    def look(self, images: Tensor, likely: Tensor) -> None:
        """Take over how far the images are; of those that are `likely` there see whether they are."""
        run = self._run
        rounded = as_files_hold(images)
        run.images[self._at[~self._there]] = rounded[~self._there]
        seen = (likely & ~self._there).nonzero()[:, 0]
        if not len(seen):
            return
        at = self._at[seen]
        run.probabilities[at] = reread(run.network, rounded[seen])[torch.arange(len(at)), run.indices[at]]
        there = run.probabilities[at] >= run.goal
        run.steps[at[there]] = self.taken
        self._there[seen[there]] = True


def _check(network: Network, start: str | Tensor, probability: float, count: int | None, batch: int) -> None:
    if not 0 < probability < 1:
        raise ImageError(f"got probability={probability}, expected more than 0 and less than 1")
    if min(count if count is not None else 1, batch) < 1:
        raise ImageError(f"got count={count}, batch={batch}; expected at least 1 of each")
    image_shape(network, None, start)
    if isinstance(start, Tensor) and tuple(start.shape[-2:]) != network.input_size:
        got = " × ".join(map(str, start.shape[-2:]))
        size = " × ".join(map(str, network.input_size))
        raise ImageError(f"got an image of {got} to start from, expected the input size {size}; use network.prepare")
