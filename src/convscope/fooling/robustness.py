"""How right is a network still when its pictures are changed a little? Accuracy against epsilon."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.attack import check_counts
from convscope.fooling.ball import Norm
from convscope.fooling.labelled import Labelled, Pictures
from convscope.fooling.share import Share
from convscope.fooling.withstanding import NAMES, Trial
from convscope.image.recipe import JSON, Recipe
from convscope.image.sources import Unreadable
from convscope.network.network import Network
from convscope.network.target import TargetLike
from convscope.progress import Watcher
from convscope.render.curves import Curve, curves
from convscope.render.result import Pictured

_LEVELS = (1, 2, 4, 8)
"""Of 255: the epsilons tried by default."""

_AS_LONG = 0.25
"""A change of all values by this share of an epsilon of "linf" has the length that is tried by "l2"."""


@dataclass(frozen=True)
class Robustness(Pictured):
    """What share of pictures a network still takes for what they are.

    `withstood` `(attacks, epsilons, N)` tells it of each picture; the first of the `epsilons` is 0, the pictures as
    they are. `classes` `(N,)` are the right ones, by `told_by`.
    """

    network: str
    norm: Norm
    attacks: tuple[str, ...]
    epsilons: tuple[float, ...]
    withstood: Tensor
    classes: Tensor
    told_by: str
    notes: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    recipe: Recipe

    @property
    def accuracy(self) -> Tensor:
        """`(attacks, epsilons)`, in [0, 1]."""
        return self.withstood.double().mean(dim=2)

    @property
    def clean(self) -> Share:
        """That of the pictures as they are."""
        return self.share(self.attacks[0], 0)

    def share(self, attack: str, epsilon: float) -> Share:
        """That after one attack at one of the epsilons. Raises ImageError for one that wasn't tried."""
        if attack not in self.attacks or epsilon not in self.epsilons:
            told = ", ".join(map(self._epsilon, self.epsilons))
            raise ImageError(f"{attack!r} at {epsilon:g} was not tried; there are {', '.join(self.attacks)} at {told}")
        seen = self.withstood[self.attacks.index(attack), self.epsilons.index(epsilon)]
        return Share(int(seen.sum()), len(seen))

    def picture(self, *, size: tuple[int, int] = (280, 420)) -> Image.Image:
        """A chart of `size` (height, width) and a legend: a line an attack, with the 95% interval around it."""
        scale, unit = (255, "255ths") if self.norm == "linf" else (1, "length of the change")
        places = [scale * each for each in self.epsilons]
        lines = []
        for name in self.attacks:
            shares = [self.share(name, each) for each in self.epsilons]
            low, high = zip(*(each.interval for each in shares), strict=True)
            lines.append(Curve(NAMES[name], places, [each.value for each in shares], low, high))
        return curves(
            lines, x_label=f"epsilon ({unit})", y_label="accuracy", size=size, y_range=(0, 1),
            title=f"{self.network}, {len(self.classes)} pictures",
        )  # fmt: skip

    def to_json(self) -> str:
        """All but single pictures, for other programs."""
        whole: dict[str, Any] = {
            "network": self.network,
            "pictures": len(self.classes),
            "classes_from": self.told_by,
            "norm": self.norm,
            "clean": _share_json(self.clean),
            "attacks": {
                name: [{"epsilon": each, **_share_json(self.share(name, each))} for each in self.epsilons[1:]]
                for name in self.attacks
            },
            "notes": self.notes,
            "unreadable": [{"file": str(each.path), "reason": each.reason} for each in self.unreadable],
        }
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        rows = [("epsilon", *(NAMES[name] for name in self.attacks))]
        rows += [
            (self._epsilon(each), *(str(self.share(name, each)) for name in self.attacks)) for each in self.epsilons
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join([*lines, "", *self._sentences()])

    def _epsilon(self, value: float) -> str:
        levels = 255 * value
        return f"{levels:.3g}/255" if self.norm == "linf" and value else f"{value:.3g}"

    def _sentences(self) -> Iterator[str]:
        low, high = self.clean.interval
        yield (
            f"{self.network} is right on {self.clean} of {len(self.classes)} pictures "
            f"(95% interval {low:.1%} to {high:.1%}); classes from {self.told_by}."
        )
        yield "A picture counts while no attack up to this one, at no epsilon up to this one, has changed the answer."
        yield from self.notes
        if self.unreadable:
            first = self.unreadable[0]
            yield f"{len(self.unreadable)} files were left out; {first.path.name}: {first.reason}"


@torch.inference_mode(False)
def robustness(
    network: Network,
    source: Pictures,
    *,
    classes: Sequence[TargetLike] | Tensor | None = None,
    epsilons: Sequence[float] | None = None,
    attacks: Sequence[str] = ("fgsm", "pgd"),
    steps: int = 20,
    norm: Norm = "linf",
    limit: int | None = None,
    batch: int = 8,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Robustness:
    """The accuracy of a network on pictures that are changed by at most epsilon, so that it errs.

    A picture counts as right at ε if the network takes it for what it is, and still does after each attack that is
    no stronger (FGSM, then BIM, then PGD), at each epsilon that is no larger: what one of them has found lies within
    the ball, so the picture is lost whatever the others find. Curves therefore never rise, and PGD's lies below FGSM's.
    They are upper bounds: a stronger attack may find more, and of a network whose gradients say little, much more. What
    counts is the answer to the 8-bit file. BIM and PGD take steps of 2.5 ε / steps (Madry et al. 2018).

    Parameters
    ----------
    source
        What `open_source` opens, with classes: a folder of folders that are named after them, a list, a Dataset, …; or
        images `(C, H, W)` in [0, 1] with their `classes`. What can't be read is told, and passed over.
    classes
        Of images: a label, `class:N` or an index for each.
    epsilons
        How far values may go, in units of [0, 1]; by default 1, 2, 4 and 8 of 255, and by "l2" lengths that change
        values by a quarter of that in the mean.
    attacks
        Some of "fgsm", "bim", "pgd".
    steps
        Of BIM and PGD.
    norm
        "linf": each value by itself; "l2": the length of the whole change.
    limit
        Only so many pictures, drawn by `seed`.
    batch
        Pictures that are read and attacked together.
    seed
        Of what is drawn, and of where PGD starts.
    progress
        Called within each step; returning False stops.

    Raises
    ------
    ImageError
        There is no picture whose class is known, or none can be read.
    TargetError
        The network tells no two classes apart, or doesn't have one that was given.
    ConvscopeError
        There is no attack of that name.
    Cancelled, StepFailed

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> seen = robustness(net, [net.read("chelsea")], classes=["tiger cat"], epsilons=[2/255], attacks=["fgsm"])
    >>> seen.clean.value, seen.share("fgsm", 2/255).value
    (1.0, 0.0)
    """
    check_counts(batch=batch)
    tried = _usual(network, norm) if epsilons is None else tuple(epsilons)
    given = Labelled.of(network, source, classes, limit, seed)
    trial = Trial.checked(network, tried, attacks, norm, steps, seed, len(given.items), progress)
    found: list[Tensor] = []
    for images, right in given.batches(batch):
        found.append(trial.withstood(images, right, sum(each.shape[2] for each in found)))
    if not found:
        first = given.unreadable[-1]
        raise ImageError(f"no picture could be read; {first.path.name}: {first.reason}")
    parameters: dict[str, JSON] = {
        "classes": given.classes, "epsilons": trial.epsilons, "attacks": trial.attacks, "steps": steps, "norm": norm,
    }  # fmt: skip
    recipe = network.recipe("robustness", parameters, batch=batch, seed=seed)
    return Robustness(
        network=network.name,
        norm=norm,
        attacks=tuple(trial.attacks),
        epsilons=(0.0, *trial.epsilons),
        withstood=torch.cat(found, dim=2),
        classes=torch.tensor(given.classes),
        told_by=given.told_by,
        notes=given.notes,
        unreadable=tuple(given.unreadable),
        recipe=replace(recipe, inputs=tuple(given.inputs)),
    )


def _usual(network: Network, norm: Norm) -> tuple[float, ...]:
    rows, columns = network.input_size
    length = _AS_LONG * (network.channels * rows * columns) ** 0.5
    return tuple(each / 255 * (1 if norm == "linf" else length) for each in _LEVELS)


def _share_json(share: Share) -> dict[str, float]:
    low, high = share.interval
    return {"accuracy": share.value, "low": low, "high": high}
