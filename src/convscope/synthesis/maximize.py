"""Maximize: images that a class, a unit, a channel or a layer answers to most."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.recipe import JSON
from convscope.network.memory import check_memory
from convscope.network.network import Network
from convscope.network.stages import middle_layer
from convscope.network.target import Target, TargetLike
from convscope.progress import Steps, Watcher
from convscope.synthesis.objectives import Objective, Seen, asked, diversity, each, measured
from convscope.synthesis.optimize import optimize
from convscope.synthesis.optimizers import Optimizer, Schedule
from convscope.synthesis.parameterizations import Parameterization
from convscope.synthesis.parameterizations.natural import Shape
from convscope.synthesis.settings import chosen
from convscope.synthesis.start import draws, image_shape, started
from convscope.synthesis.synthesized import Synthesized, as_files_hold

# What the presets are made of; the papers' numbers where they don't depend on the network's scale.
PRESETS: dict[str, dict[str, Any]] = {
    "lucid": {
        "parameterization": "fourier",
        "transforms": "jitter:32 scale:0.7,1.2 rotate:15",
        "optimizer": "adam:0.05",
        "schedule": "cosine:0.1",
        "steps": 320,
    },
    "simonyan": {
        "parameterization": "pixels",
        "regularizers": "decay:0.04",
        "optimizer": "ascent:0.03",
        "schedule": "linear:0.15",
        "steps": 300,
        "start": "zero",
    },
    "yosinski": {
        "parameterization": "pixels",
        "regularizers": "decay:1e-4 blur:1.0,every=4",
        "optimizer": "ascent:0.03",
        "schedule": "linear:0.2",
        "steps": 400,
    },
    "maco": {
        "parameterization": "phase",
        "transforms": "crop:0.3,0.5 noise:0.05",
        "optimizer": "adam:0.2",
        "schedule": "cosine:0.1",
        "steps": 256,
        "views": 2,
        # Crops of it have the network's input size to show.
        "enlarged": 2,
    },
}


@dataclass(frozen=True, kw_only=True)
class Maximized(Synthesized):
    """Images that a target answers to.

    `targets` say to which each answers and `scores` `(N,)` how much it does, without transforms; `probabilities` `(N,)`
    is NaN where a target is no single class.
    """

    targets: Sequence[str]
    scores: Tensor
    probabilities: Tensor

    @property
    def caption(self) -> str:
        """The first image's probability, or its score."""
        if self.probabilities[0].isnan():
            return f"{float(self.scores[0]):.3g}"
        return f"{float(self.probabilities[0]):.1%}"


def maximize(
    network: Network,
    target: TargetLike | Objective | Sequence[TargetLike | Objective],
    *,
    preset: str = "lucid",
    count: int = 1,
    start: str | Tensor | None = None,
    size: int | tuple[int, int] | None = None,
    diverse: float = 0.0,
    parameterization: str | Parameterization | None = None,
    transforms: Any = None,
    regularizers: Any = None,
    optimizer: str | Optimizer | None = None,
    schedule: str | Schedule | None = None,
    steps: int | None = None,
    views: int | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
) -> Maximized:
    """Images that a target answers to most, by gradient ascent.

        argmax over x of f(T(x)) − R(x)

    f is the target: a class's logit, not its probability, which would also rise by lowering all others (Simonyan et
    al. 2013); T are random transforms and R regularizers.

    Parameters
    ----------
    target
        A label, `class:207`, `LAYER:CHANNEL`, … (see `Target`), an `Objective`, or several of these for an image each.
    preset
        "lucid": Fourier coefficients and transforms (Olah et al. 2017); "simonyan": pixels from grey, with L2 decay
        (2013); "yosinski": pixels with decay and blur (2015); "maco": phases alone, and crops (Fel et al. 2023).
    count
        Images of each target, from different random numbers.
    start
        "noise", "zero" for grey, or an image `(C, H, W)` or `(N, C, H, W)` in [0, 1]; by default as the preset has it.
    size
        Rows and columns of the images; by default the network's input size, twice that for "maco", or the start's.
    diverse
        With several images, how much they are to differ in texture: at 1 likeness counts as much as the target itself.
    parameterization, transforms, regularizers, optimizer, schedule, steps, views
        In place of the preset's own: as texts such as `blur:1,every=4`, parts, or functions.
    seed
        Of the random numbers; image n has those of seed + n.
    batch
        Images that climb together.
    progress
        Called after each step with the images as they are; returning False stops.

    Raises
    ------
    StepFailed, Cancelled
        With the last good images in `so_far`.
    TargetError, ImageError, NetworkError, PartError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> cs.maximize(net, "blocks.3:12", steps=2).images.shape
    torch.Size([1, 3, 224, 224])
    """
    given = {
        "parameterization": parameterization, "transforms": transforms, "regularizers": regularizers,
        "optimizer": optimizer, "schedule": schedule, "steps": steps, "views": views,
    }  # fmt: skip
    settings = chosen(PRESETS, preset, given)
    begin = PRESETS[preset].get("start", "noise") if start is None else start
    if min(count, batch) < 1:
        raise ImageError(f"got count={count}, batch={batch}; expected at least 1 of each")
    shape = image_shape(network, size, begin, enlarged=PRESETS[preset].get("enlarged", 1))
    view = settings.view(network, shape)
    check_memory(network, view, 1)
    several = [target] if isinstance(target, str) or not isinstance(target, Sequence) else target
    wanted = [one for one in (_Wanted.of(network, each, view) for each in several) for _ in range(count)]
    objectives = _objectives(network, wanted, diverse)
    watched = Steps(settings.steps * -(-len(wanted) // batch), progress)
    climbed = []
    for at in range(0, len(wanted), batch):
        chunk = slice(at, at + batch)
        random = draws(seed + at, len(wanted[chunk]))
        parameters = started(network, begin, settings, shape, random, chunk)
        goal = each(objectives[chunk])
        climbed.append(optimize(network, goal, parameters, shape, settings, draws=random, steps=watched))
    images = as_files_hold(torch.cat([one.images for one in climbed]))
    told: dict[str, JSON] = {
        "target": [one.text for one in wanted[::count]],
        "count": count,
        "start": begin if isinstance(begin, str) else "image",
        "size": list(shape[1:]),
        "diverse": diverse,
        **settings.parameters(),
    }
    return Maximized(
        images=images,
        values=torch.cat([one.values for one in climbed], dim=1),
        labels=[one.text for one in wanted],
        targets=[one.text for one in wanted],
        scores=torch.cat([one.score(network, image) for one, image in zip(wanted, images, strict=True)]),
        probabilities=torch.cat([one.probability(network, image) for one, image in zip(wanted, images, strict=True)]),
        recipe=network.recipe(
            "maximize", told, images=[] if isinstance(begin, str) else [begin], batch=batch, seed=seed
        ),
    )


@dataclass(frozen=True)
class _Wanted:
    """What one image is to show: an objective, and the target that it is of, where it is of one."""

    text: str
    objective: Objective
    target: Target | None

    @classmethod
    def of(cls, network: Network, given: TargetLike | Objective, shape: Shape) -> "_Wanted":
        if isinstance(given, Objective):
            return cls(given.text, given, None)
        target = network.target(given, torch.zeros(shape))
        return cls(target.text, asked(target), target)

    def score(self, network: Network, image: Tensor) -> Tensor:
        """Of an image as it is, `(1,)`."""
        return measured(network, self.objective, image[None])

    def probability(self, network: Network, image: Tensor) -> Tensor:
        """Of the class that the target is, `(1,)`; NaN where it is none."""
        found = None if self.target is None else network.answers(image[None], [self.target]).probability(self.target)
        return torch.full((1,), float("nan")) if found is None else found.cpu()


def _objectives(network: Network, wanted: Sequence[_Wanted], diverse: float) -> list[Objective]:
    """What each image climbs towards; one object for all that are alike."""
    plain = {id(one): one.objective for one in wanted}
    if not diverse or len(wanted) < 2:
        return [plain[id(one)] for one in wanted]
    asked_about = wanted[0].target.layers if wanted[0].target is not None else wanted[0].objective.layers
    spatial = [name for name in asked_about if network.layers[name].has_space]
    unlike = diversity(spatial[0] if spatial else middle_layer(network))
    joined = {key: _beside(objective, unlike, diverse) for key, objective in plain.items()}
    return [joined[id(one)] for one in wanted]


def _beside(objective: Objective, other: Objective, weight: float) -> Objective:
    """An objective and another that counts by so much of its value as it is: logits and activations differ in scale."""

    def value(seen: Seen) -> Tensor:
        own = objective.value(seen)
        return own + weight * own.detach().abs() * other.value(seen)

    layers = tuple(dict.fromkeys([*objective.layers, *other.layers]))
    return Objective(f"{objective.text}, {other.text}", value, layers, objective.whole or other.whole)
