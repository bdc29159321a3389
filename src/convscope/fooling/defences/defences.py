"""What helps against adversarial images? Defences compared on the bundled digits (lecture item L60)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.fooling.attack import check_counts
from convscope.fooling.ball import Ball
from convscope.fooling.defences.digits import digits
from convscope.fooling.defences.measuring import SURE, Measured, Measuring, OnNoise
from convscope.fooling.defences.ways import WAYS, check_ways
from convscope.fooling.withstanding import Meter
from convscope.image.networkless import recipe_of
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.render.curves import Curve, curves
from convscope.render.grid import grid
from convscope.render.result import Pictured

_EPSILONS = (0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Row:
    """One defence: the network it made, the processor's seconds its training took, and what was `measured` of it."""

    defence: str
    network: Network = field(repr=False)
    seconds: float
    measured: Measured


@dataclass(frozen=True)
class Defences(Pictured):
    """Networks of digits, a defence each, a row each; the first is without any.

    `middle` is the epsilon of what was measured at one alone.
    """

    rows: tuple[Row, ...]
    epsilons: tuple[float, ...]
    middle: float
    images: int
    recipe: Recipe

    @property
    def networks(self) -> Mapping[str, Network]:
        """Each network by its defence, for any other method."""
        return {row.defence: row.network for row in self.rows}

    def picture(self, *, size: tuple[int, int] = (280, 340)) -> Image.Image:
        """Three charts of accuracy, each `size` (height, width) and a legend: FGSM, PGD, and images made for others."""
        charts = [
            _chart("FGSM", {row.defence: _curve(row.measured, 0) for row in self.rows}, self.epsilons, size),
            _chart("PGD", {row.defence: _curve(row.measured, 1) for row in self.rows}, self.epsilons, size),
            _chart(
                "PGD against the plain network",
                {
                    row.defence: [row.measured.own.clean.value, *(each.value for each in row.measured.transferred)]
                    for row in self.rows
                },
                self.epsilons,
                size,
            ),
        ]
        return grid(charts, columns=3, title=f"Defences, {self.images} digits that none has seen")

    def to_json(self) -> str:
        """All but the networks, for other programs."""
        whole: dict[str, Any] = {
            "images": self.images,
            "epsilons": self.epsilons,
            "middle": self.middle,
            "defences": [self._row_json(row) for row in self.rows],
        }
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        of_each = [f"{each:g}" for each in self.epsilons]
        named = [f"{name} {each}" for name in ("FGSM", "PGD", "plain's") for each in of_each]
        first: list[tuple[str, ...]] = [("defence", "clean", *named, "missed", "seconds")]
        second: list[tuple[str, ...]] = [
            ("defence", "swapped", "noise", "rejected", "smooth", "rejected", "made", "rejected")
        ]
        for row in self.rows:
            seen = row.measured
            own = [seen.own.share(name, each) for name in ("fgsm", "pgd") for each in self.epsilons]
            told = [seen.own.clean, *own, *seen.transferred, seen.missed]
            first.append((row.defence, *map(str, told), f"{row.seconds:.1f}"))
            rejects = WAYS[row.defence].rejects
            on_noise = [_told(each, rejects) for each in (seen.noise, seen.smooth, seen.made)]
            second.append((row.defence, str(seen.swapped), *(word for pair in on_noise for word in pair)))
        return "\n".join([*_aligned(first), "", *_aligned(second), "", *self._sentences()])

    def _sentences(self) -> Iterator[str]:
        middle, largest = f"{self.middle:g}", f"{self.epsilons[-1]:g}"
        yield f"Of {self.images} digits that no network has seen, and of as many images of noise."
        yield "FGSM, PGD: accuracy after attacks by the network's own gradients, at each epsilon and all smaller ones."
        yield "plain's: accuracy on what PGD made against the plain network."
        yield (
            f"missed: digits that those turn at {middle} and the network's own PGD at none up to that. Where there are "
            "many, its gradients hide what it errs on."
        )
        yield "seconds: the processor's, of training."
        yield f"swapped: digits taken for another digit after PGD at {middle}, which was led to the likeliest."
        yield (
            f"noise, smooth (noise), made (from noise by PGD at {largest}): taken for a digit with p > {SURE:g}; "
            "rejected: taken for none."
        )

    def _row_json(self, row: Row) -> dict[str, Any]:
        seen = row.measured
        return {
            "defence": row.defence,
            "seconds": row.seconds,
            "clean": seen.own.clean.value,
            **{name: [seen.own.share(name, each).value for each in self.epsilons] for name in ("fgsm", "pgd")},
            "transferred": [each.value for each in seen.transferred],
            "missed": seen.missed.value,
            "swapped": seen.swapped.value,
            **{
                name: {"surely": on.surely.value, "rejected": on.rejected.value}
                for name, on in (("noise", seen.noise), ("smooth", seen.smooth), ("made", seen.made))
            },
        }


def defences(
    *,
    which: Sequence[str] | None = None,
    epsilons: Sequence[float] = _EPSILONS,
    epochs: int = 12,
    images: int = 400,
    steps: int = 20,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Defences:
    """Train networks of the bundled digits, each with another defence, and measure what each withstands.

    - `plain`: a small CNN of rectifiers with a softmax.
    - `adversarial`: the same, shown what PGD with ε = 0.15 makes of each digit (Madry et al. 2018).
    - `negative class`: an eleventh class for noise, blanks, shuffled digits and digits that FGSM has changed.
    - `radial units`: one hidden layer of exp(−β ‖x − μ‖²), each first centred on a digit.
    - `radial answers`: the CNN with p = exp(−β ‖h − μ‖²) for each class by itself (Goodfellow et al. 2015).
    - `saturating units`: tanh in place of rectifiers, which makes the CNN less linear.
    - `more classes`: three kinds of each digit, found by k-means, whose probabilities are added.

    What is measured is told in `Measured`. The attacks are FGSM and PGD by L∞ and no stronger, on 8×8 pixels: see
    `robustness` for what that means. The networks are in `networks`, for any other method.

    Parameters
    ----------
    which
        Some of these; `plain` is always among them, as others are attacked with what was made against it.
    epsilons
        How far values may go, in units of [0, 1].
    epochs
        Of each training.
    images
        How many of the 400 digits held out, and how many images of noise.
    steps
        Of PGD.
    seed
        Of weights, of the order of the examples, of noise and of where PGD starts.
    progress
        Called within each step; returning False stops.

    Raises
    ------
    ImageError, ConvscopeError
        Of what can't be tried.
    MissingExtra
        scikit-learn, which has the digits, is not installed.
    Cancelled

    >>> table = defences(which=["radial units"], epochs=1, images=20, steps=2)
    >>> list(table.networks)
    ['plain', 'radial units']
    """
    names, tried = check_ways(which), tuple(sorted({float(each) for each in epsilons}))
    check_counts(epochs=epochs, images=images, steps=steps)
    held_out = len(digits().held_out)
    if images > held_out:
        raise ImageError(f"got images={images}, expected at most {held_out}: so many digits are held out")
    if not tried or tried[0] <= 0:
        raise ImageError(f"got epsilons {list(epsilons)}, expected numbers above 0: 0.1, say")
    Ball.checked("linf", tried[-1], digits().held_out)
    measuring = Measuring(tried, steps, images, seed, Meter(0, progress))
    measuring.meter.total = sum(WAYS[name].passes(epochs) + measuring.passes for name in names)
    rows: list[Row] = []
    against: list[Tensor] = []
    for name in names:
        network, seconds = WAYS[name].network(name, epochs=epochs, seed=seed, meter=measuring.meter)
        against = against or measuring.against(network)
        rows.append(Row(name, network, seconds, measuring.measured(network, against)))
    parameters: dict[str, JSON] = {
        "which": names, "epsilons": tried, "epochs": epochs, "images": images, "steps": steps,
    }  # fmt: skip
    return Defences(tuple(rows), tried, measuring.middle, images, recipe_of("defences", parameters, seed=seed))


def _curve(seen: Measured, attack: int) -> list[float]:
    return [float(each) for each in seen.own.accuracy[attack]]


def _chart(
    title: str, lines: Mapping[str, Sequence[float]], epsilons: Sequence[float], size: tuple[int, int]
) -> Image.Image:
    drawn = [Curve(name, [0.0, *epsilons], values) for name, values in lines.items()]
    return curves(drawn, x_label="epsilon", y_label="accuracy", title=title, size=size, y_range=(0, 1))


def _told(seen: OnNoise, rejects: bool) -> tuple[str, str]:
    return str(seen.surely), str(seen.rejected) if rejects else "–"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip() for first, *others in rows
    ]
