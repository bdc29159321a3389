"""How much each channel prefers one class to all others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from convscope.scanning.stored import Scan

Doubles = NDArray[np.float64]

_SHUFFLES = 4
_AT_ONCE = 4096


@dataclass(frozen=True)
class Selectivity:
    """Of the channels of one layer, over the labelled images.

    `index` `(C,)` in [0, 1]; `chance` `(C,)` what it is, in the mean, when the labels are dealt out anew: the fewer
    images a class has, the higher. `preferred` `(C,)` is the place of the class of the highest mean among `classes`.
    `shifted` `(C,)` tells channels whose codes go below 0; `least_images` is how many the smallest class has.
    """

    index: Doubles
    chance: Doubles
    preferred: NDArray[np.int64]
    shifted: NDArray[np.bool_]
    classes: tuple[str, ...]
    least_images: int


def selectivity(scan: "Scan", layer: str, *, seed: int = 0) -> Selectivity | None:
    """The class selectivity index of each channel; None where fewer than two classes are told.

    (μ_max − μ_rest) / (μ_max + μ_rest), of the highest mean code of a class and the mean of those of all other classes
    (Morcos et al. 2018): 0 where all classes are alike, 1 where only one makes the channel answer. That supposes a
    channel at rest at 0, as behind a rectifier. The codes of one that goes below are counted from the least of them,
    so that the index stays in [0, 1] but is no more comparable with that of others.
    """
    names = class_names(scan)
    classes = sorted({name for name in names if name is not None})
    if len(classes) < 2:
        return None
    place = {name: at for at, name in enumerate(classes)}
    known = np.array([at for at, name in enumerate(names) if name is not None])
    groups = np.array([place[names[at] or ""] for at in known])
    random = np.random.default_rng(seed)
    means, least = _class_means(scan, layer, known, [groups, *(random.permutation(groups) for _ in range(_SHUFFLES))])
    rest = np.minimum(least, 0)
    own = _index(means[0] - rest)
    return Selectivity(
        own,
        np.mean([_index(each - rest) for each in means[1:]], axis=0),
        means[0].argmax(axis=0),
        least < 0,
        tuple(classes),
        int(np.bincount(groups).min()),
    )


def class_names(scan: "Scan") -> list[str | None]:
    """What to call the class of each image: as the network does if it has it, else as the source does."""
    return [
        class_name(scan, class_) if class_ >= 0 else label
        for class_, label in zip(scan.images.classes.tolist(), scan.images.labels, strict=True)
    ]


def class_name(scan: "Scan", class_: int) -> str:
    """The network's name of a class, or its number."""
    return scan.labels[class_] if scan.labels is not None else str(class_)


def _index(means: Doubles) -> Doubles:
    """Of class means `(classes, C)`, none below 0."""
    best = means.max(axis=0)
    others = (means.sum(axis=0) - best) / (len(means) - 1)
    total = best + others
    return np.where(total > 0, (best - others) / np.where(total > 0, total, 1), 0.0)


def _class_means(
    scan: "Scan", layer: str, rows: NDArray[np.int64], groupings: list[NDArray[np.int64]]
) -> tuple[list[Doubles], Doubles]:
    """The mean codes `(classes, C)` under each grouping of these rows, and the least code `(C,)`."""
    channels, count = scan.layer(layer).channels, int(groupings[0].max()) + 1
    sums = [np.zeros((count, channels)) for _ in groupings]
    least = np.full(channels, np.inf)
    at_row = np.full(len(scan), -1)
    at_row[rows] = np.arange(len(rows))
    for found, codes in _batches(scan, layer):
        at = at_row[found]
        exact = codes[at >= 0].astype(np.float64)
        if len(exact):
            least = np.minimum(least, exact.min(axis=0))
        for total, groups in zip(sums, groupings, strict=True):
            np.add.at(total, groups[at[at >= 0]], exact)
    sizes = np.bincount(groupings[0], minlength=count)[:, None]
    return [total / sizes for total in sums], least


def _batches(scan: "Scan", layer: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Rows of the scan and their codes."""
    for ids, codes in scan.code_batches(layer, _AT_ONCE):
        yield np.searchsorted(scan.images.ids, ids), codes
