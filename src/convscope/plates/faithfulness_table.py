"""Which method can be believed on this network? All of them tested on the same photographs."""

import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.faithfulness import Course, check_counts
from convscope.attribution.methods import METHODS, check_method
from convscope.attribution.verdict import Word
from convscope.errors import ImageError
from convscope.image.recipe import JSON, Recipe
from convscope.image.sources import Unreadable
from convscope.network.network import Network
from convscope.plates.testing_methods import Outcome, Trial, chosen_photographs
from convscope.progress import Watcher
from convscope.render.curves import QUIET, Curve, curves
from convscope.render.grid import grid
from convscope.render.result import Pictured

_WORDS: tuple[Word, ...] = ("holds", "weak", "fails")


@dataclass(frozen=True)
class Mean:
    """The mean over photographs and its standard error, which is NaN for a single one."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Mean":
        """That of at least one value.

        >>> print(Mean.of([1.0, 2.0, 3.0]))
        2.000 ± 0.577
        """
        sample = torch.tensor(values, dtype=torch.float64)
        error = float(sample.std()) / math.sqrt(len(sample)) if len(sample) > 1 else math.nan
        return cls(float(sample.mean()), error)

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if math.isnan(self.error) else f"{self.mean:.3f} ± {self.error:.3f}"

    @property
    def json(self) -> dict[str, float | None]:
        """For JSON, which has no NaN."""
        return {"mean": self.mean, "error": None if math.isnan(self.error) else self.error}


@dataclass(frozen=True)
class Scores:
    """Of insertion or deletion: the areas by the maps, those by random orders, and the `gain`.

    The gain is by how much a map's area is the better one, photograph by photograph. `curve` and `chance`
    `(steps + 1,)` are the mean curves.
    """

    area: Mean
    by_chance: Mean
    gain: Mean
    curve: Tensor = field(repr=False)
    chance: Tensor = field(repr=False)

    @classmethod
    def of(cls, found: Sequence[Course], *, better: int) -> "Scores":
        """Those of one course a photograph; `better` is 1 where a large area is, −1 where a small one."""
        return cls(
            Mean.of([each.area for each in found]),
            Mean.of([each.random_area for each in found]),
            Mean.of([better * (each.area - each.random_area) for each in found]),
            torch.stack([each.values for each in found]).mean(dim=0),
            torch.cat([each.random for each in found]).mean(dim=0),
        )

    @property
    def surely_gains(self) -> bool:
        """Whether maps are better than by chance, by two standard errors."""
        return self.gain.mean > 2 * self.gain.error

    @property
    def json(self) -> dict[str, Any]:
        """All but the curves."""
        return {"area": self.area.json, "by_chance": self.by_chance.json, "gain": self.gain.json}


@dataclass(frozen=True)
class Row:
    """How one method did.

    `verdicts` counts the words, and is None where maps were not judged; `seconds` are those of a map.
    """

    method: str
    insertion: Scores
    deletion: Scores
    verdicts: Mapping[Word, int] | None
    seconds: Mean


@dataclass(frozen=True)
class FaithfulnessTable(Pictured):
    """All methods on the same photographs, a row each.

    `left_out` says why methods are missing, `unreadable` why photographs are.
    """

    network: str
    photographs: int
    unit: str
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    recipe: Recipe

    def picture(self, *, size: tuple[int, int] = (280, 400)) -> Image.Image:
        """Two charts, each `size` (height, width) and a legend: deletion and insertion, the mean of each method."""
        said = {"deletion": "share of the pixels taken away", "insertion": "share of the pixels put back"}
        limits = (0.0, 1.0) if self.unit == "probability" else None
        charts = [
            curves(
                _lines([(row.method, getattr(row, name)) for row in self.rows]),
                x_label=label, y_label=self.unit, title=name, size=size, x_range=(0, 1), y_range=limits,
            )
            for name, label in said.items()
        ]  # fmt: skip
        return grid(charts, columns=2, title=f"{self.network}, mean of {self.photographs} photographs")

    def to_json(self) -> str:
        """All but the curves, for other programs."""
        whole: dict[str, Any] = {
            "network": self.network,
            "photographs": self.photographs,
            "unit": self.unit,
            "methods": [_row_json(each) for each in self.rows],
            "left_out": self.left_out,
            "unreadable": [{"file": str(each.path), "reason": each.reason} for each in self.unreadable],
        }
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        judged = any(row.verdicts is not None for row in self.rows)
        head = ("method", "insertion", "gain", "deletion", "gain", *(_WORDS if judged else ()), "seconds a map")
        cells = [head, *(_cells(row, judged) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]).rstrip()
            for first, *others in cells
        ]
        return "\n".join([*lines, "", *self._sentences()])

    def _sentences(self) -> Iterator[str]:
        yield f"Areas under the {self.unit} on {self.photographs} photographs, mean ± standard error."
        yield "The gain is over random order: by how much insertion is larger, deletion smaller."
        for name in ("insertion", "deletion"):
            better = [row.method for row in self.rows if getattr(row, name).surely_gains]
            yield f"{name.capitalize()} gains by two standard errors: {', '.join(better) or 'none'}."
        yield from self.left_out
        if self.unreadable:
            first = self.unreadable[0]
            yield f"{len(self.unreadable)} files were left out; {first.path.name}: {first.reason}"


def faithfulness_table(
    network: Network,
    source: str | os.PathLike[str] | Sequence[Tensor],
    *,
    methods: Sequence[str] | None = None,
    limit: int | None = None,
    verdicts: bool = True,
    steps: int = 20,
    orders: int = 2,
    window: int | None = None,
    stride: int | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> FaithfulnessTable:
    """Test methods on photographs: insertion and deletion of each map, its verdict, its time.

    Each photograph is explained for the class that the network answers. See `faithfulness` for the curves, with its
    squares, canvases and random orders; occlusion and integrated gradients compare with grey. See `verdict` for
    the words.

    Parameters
    ----------
    source
        A folder (see `read_folder`), or images `(C, H, W)` in [0, 1] of any size. What can't be read is told, and
        passed over.
    methods
        By name (see `convscope.attribution.methods`); by default all that the network allows.
    limit
        Only so many photographs, drawn by `seed`.
    verdicts
        Whether maps are judged, which takes four more of each.
    steps, orders
        As for `faithfulness`.
    window, stride
        Of the occluder; by default a seventh of the image's shorter side, and half of it.

    Raises
    ------
    ImageError
        There is no photograph, or none can be read.
    TargetError
        The network has no classes.
    ConvscopeError
        There is no method of that name.
    Cancelled
        `progress` returned False.
    """
    check_counts(limit=limit, steps=steps, orders=orders, window=window, stride=stride)
    names = tuple(dict.fromkeys(map(check_method, METHODS if methods is None else methods)))
    chosen, unreadable = chosen_photographs(network, source, limit, seed)
    trial = Trial(network, names, verdicts, steps, orders, window, stride, seed, spare=methods is None)
    tested = trial.run(chosen, progress)
    unreadable += trial.unreadable
    if not tested:
        first = unreadable[0]
        raise ImageError(f"no photograph in {str(source)!r} could be read; {first.path.name}: {first.reason}")
    rows = [_row(name, [each[name] for each in tested]) for name in trial.names]
    parameters: dict[str, JSON] = {
        "methods": trial.names, "verdicts": verdicts, "steps": steps, "orders": orders, "window": window,
        "stride": stride,
    }  # fmt: skip
    return FaithfulnessTable(
        network=network.name,
        photographs=len(tested),
        unit=trial.unit,
        rows=tuple(rows),
        left_out=tuple(trial.left_out),
        unreadable=tuple(unreadable),
        recipe=replace(network.recipe("faithfulness_table", parameters, seed=seed), inputs=tuple(trial.inputs)),
    )


def _row(name: str, tested: Sequence[Outcome]) -> Row:
    judged = Counter(each.verdict.word for each in tested if each.verdict is not None)
    return Row(
        method=name,
        insertion=Scores.of([each.insertion for each in tested], better=1),
        deletion=Scores.of([each.deletion for each in tested], better=-1),
        verdicts={word: judged[word] for word in _WORDS} if judged else None,
        seconds=Mean.of([each.seconds for each in tested]),
    )


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "method": row.method,
        "insertion": row.insertion.json,
        "deletion": row.deletion.json,
        "verdicts": row.verdicts,
        "seconds": row.seconds.mean,
    }


def _cells(row: Row, judged: bool) -> tuple[str, ...]:
    counts = [str(row.verdicts[word]) if row.verdicts is not None else "" for word in _WORDS] if judged else []
    scores = (str(each) for one in (row.insertion, row.deletion) for each in (one.area, one.gain))
    return row.method, *scores, *counts, f"{row.seconds.mean:.2f}"


def _lines(scores: Sequence[tuple[str, Scores]]) -> list[Curve]:
    """The mean curve of each method, and that of random orders."""
    x = torch.linspace(0, 1, len(scores[0][1].curve))
    lines = [Curve(f"{name}: {each.area}", x, each.curve) for name, each in scores]
    chance = torch.stack([each.chance for _, each in scores]).mean(dim=0)
    return [*lines, Curve("random order", x, chance, colour=QUIET)]
