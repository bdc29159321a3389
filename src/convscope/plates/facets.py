"""Facets: the several kinds of pictures that one unit or class answers to, and a preferred image of each (L31)."""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, MissingExtra
from convscope.image.provenance import recall
from convscope.image.recipe import JSON, Recipe
from convscope.image.sources import Source, SourceLike, open_source
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.stages import stage_ends
from convscope.network.target import Target, TargetLike
from convscope.progress import Steps, Watcher, part_of
from convscope.render.grid import rows
from convscope.render.result import Pictured
from convscope.scanning.projection import project
from convscope.scanning.stored import Scan, check_network
from convscope.synthesis.maximize import Maximized, maximize

Pictures: TypeAlias = Scan | SourceLike | Tensor | Sequence[Tensor]

_MOST = 10
_TO_A_FACET = 12
_NEAREST = 15
"""Pictures whose mean a facet's image begins with."""
_BATCH = 16
"""Pictures that are read and run at once."""
_CELL = 112


@dataclass(frozen=True)
class Facet:
    """One kind of pictures.

    `pictures` `(n, C, H, W)` in [0, 1] as the network sees them, those in the middle of the kind first, with their
    `names` (None for what came from memory) and the target's `scores` `(n,)`; `mean` `(C, H, W)` is that of the first
    fifteen, from which `image` `(C, H, W)` was climbed to, whose score is `score`.
    """

    pictures: Tensor = field(repr=False)
    names: tuple[str | None, ...]
    scores: Tensor
    mean: Tensor = field(repr=False)
    image: Tensor = field(repr=False)
    score: float


@dataclass(frozen=True)
class Facets(Pictured):
    """The facets of one target, the kind with the most pictures first; `made` holds the images as `maximize` does."""

    target: str
    facets: tuple[Facet, ...]
    made: Maximized
    recipe: Recipe

    def picture(self, *, shown: int = 4, cell: int = _CELL) -> Image.Image:
        """A row a facet: so many of its pictures, their mean, and its preferred image."""
        if shown < 0:
            raise ImageError(f"got shown={shown}, expected how many pictures of each facet to show, 0 or more")
        most = min(shown, max(len(each.pictures) for each in self.facets))
        table = []
        for each in self.facets:
            blank = [Image.new("RGB", to_picture(each.mean).size, "white")] * (most - len(each.pictures[:most]))
            first = [to_picture(one) for one in each.pictures[:most]]
            label = f"{len(each.pictures)} picture" + ("s" if len(each.pictures) > 1 else "")
            table.append((label, [*first, *blank, to_picture(each.mean), to_picture(each.image)]))
        above = ["nearest", *[""] * (most - 1)] if most else []
        title = f"{self.recipe.network}: facets of {self.target}"
        return rows(table, column_labels=[*above, "mean", "preferred"], title=title, cell=cell)


def facets(
    network: Network,
    target: TargetLike,
    source: Pictures,
    *,
    facets: int | None = None,
    top: int = 60,
    layer: str | None = None,
    preset: str = "lucid",
    steps: int | None = None,
    seed: int = 0,
    batch: int = 8,
    progress: Watcher | None = None,
    **options: Any,
) -> Facets:
    """The kinds of pictures that a target answers to, and an image that it prefers of each kind.

    Nguyen, Yosinski and Clune (2016), "Multifaceted feature visualization": the pictures that excite the target most
    are laid out by t-SNE of the 50 principal components of their codes and parted by k-means; the mean of those in the
    middle of each part is where `maximize` begins.

    Parameters
    ----------
    target
        One class, channel or unit, as for `maximize`.
    source
        Where the pictures come from: a scan of this network, whatever `scan` takes (a folder, a list, …), or images.
    facets
        How many parts; by default one for each twelve pictures, 10 at most.
    top
        So many pictures that excite the target most; those of one class, if these are all that the source has.
    layer
        Whose codes tell the kinds apart: the mean over places of its maps, or the vector itself. By default the vector
        that the classifier reads.
    preset, steps, options
        As for `maximize`; of the options only what JSON can hold.
    seed
        Of the layout, the parts and the climb.
    progress
        Called for each picture that is run and after each step; returning False stops.

    Raises
    ------
    TargetError
        Such a target is not known.
    NetworkError
        The scan is of another network.
    ImageError
        There are no pictures, or numbers that are none.
    MissingExtra
        scikit-learn or openTSNE (extra `scan`) isn't there.
    Stopped
        As `maximize` does.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> photographs = [cs.read_image(name) for name in ("chelsea", "coffee", "flower")]
    >>> found = facets(net, "tabby", photographs, facets=2, steps=1)
    >>> sorted(len(each.pictures) for each in found.facets)
    [1, 2]
    """
    if (facets is not None and facets < 1) or top < 1:
        raise ImageError(f"got facets={facets}, top={top}; expected 1 or more of each")
    asked = network.target(target)
    pictures, scores = _strongest(network, asked, source, top, part_of(progress, 0, 2))
    name = network.layers[layer or stage_ends(network)[-1]].name
    parts = _parts(_codes(network, pictures, name), facets or _usual(len(pictures)), seed)
    means = torch.stack([torch.stack([pictures[at] for at in part[:_NEAREST]]).mean(dim=0) for part in parts])
    made = maximize(
        network, [asked] * len(parts), start=means, preset=preset, steps=steps, seed=seed, batch=batch,
        progress=part_of(progress, 1, 2), **options,
    )  # fmt: skip
    told: dict[str, JSON] = {
        "target": asked.text, "facets": facets, "top": top, "layer": name, "preset": preset, "steps": steps, **options,
    }  # fmt: skip
    found = [
        Facet(
            pictures=torch.stack([pictures[at] for at in part]),
            names=tuple(recall(pictures[at]).name for at in part),
            scores=scores[part],
            mean=mean,
            image=image,
            score=score,
        )
        for part, mean, image, score in zip(parts, means, made.images, made.scores.tolist(), strict=True)
    ]
    recipe = network.recipe("facets", told, images=pictures, batch=batch, seed=seed)
    return Facets(asked.text, tuple(found), made, recipe)


def _usual(count: int) -> int:
    """How many facets so many pictures are parted into where nobody says."""
    return min(_MOST, max(1, round(count / _TO_A_FACET)))


def _strongest(
    network: Network, target: Target, source: Pictures, top: int, progress: Watcher | None
) -> tuple[list[Tensor], Tensor]:
    """The pictures that excite the target most, prepared, and the target's value for each; the strongest first."""
    waiting = _Reading.of(network, target, source, top)
    steps = Steps(waiting.count, progress)
    kept: list[tuple[float, int, Tensor]] = []
    while batch := list(islice(waiting.images, _BATCH)):
        values = network.answers(torch.stack([image for _, image in batch]), [target]).score(target)
        found = [(value, -place, image) for (place, image), value in zip(batch, values.tolist(), strict=True)]
        # Sorted by value, then by place: no two places are the same, so that images are never compared.
        kept = heapq.nlargest(top, [*kept, *found])
        steps.done(len(batch))
    if not kept:
        raise ImageError("no picture could be read; expected one at least")
    return [image for _, _, image in kept], torch.tensor([value for value, _, _ in kept])


@dataclass(frozen=True)
class _Reading:
    """At most `count` pictures, prepared, with a number of its own each; those that can't be read are left out."""

    count: int
    images: Iterator[tuple[int, Tensor]]

    @classmethod
    def of(cls, network: Network, target: Target, source: Pictures, top: int) -> "_Reading":
        if isinstance(source, Scan):
            check_network(network, source.header)
            return cls._listed(network, source.source, _names(source, target, top))
        if isinstance(source, Tensor) or (isinstance(source, (list, tuple)) and _all_images(source)):
            images = list(source)
            return cls(len(images), enumerate(network.prepare(each) for each in images))
        opened = open_source(source, every_file=network.loader is not None)  # type: ignore[arg-type]  # no images
        return cls._listed(network, opened, [entry.name for entry in opened.entries()])

    @classmethod
    def _listed(cls, network: Network, source: Source, names: Sequence[str]) -> "_Reading":
        def images() -> Iterator[tuple[int, Tensor]]:
            for place, name in enumerate(names):
                with suppress(ImageError):
                    yield place, _read(network, source, name)

        return cls(len(names), images())


def _all_images(source: Sequence[Any]) -> bool:
    return len(source) > 0 and all(isinstance(each, Tensor) for each in source)


def _read(network: Network, source: Source, name: str) -> Tensor:
    """A picture of the source, prepared; from its file where it has one, so that a recipe can name it."""
    path = source.path(name)
    if path is not None:
        return network.read(path)
    return network.prepare(source.open(name, network.preparation)[0])


def _names(scan: Scan, target: Target, top: int) -> list[str]:
    """The scan's pictures that may excite the target most, the strongest first; all where it can't tell.

    It tells the means of a scanned layer's channels, and of a class which pictures have it among their first answers.
    """
    images = scan.images
    there = ~images.removed
    values = _told(scan, target)
    if values is None:
        return [name for name, kept in zip(images.names, there, strict=True) if kept]
    order = np.argsort(-values, kind="stable")
    chosen = [int(at) for at in order if there[at] and values[at] > -np.inf][:top]
    return [images.names[at] for at in chosen]


def _told(scan: Scan, target: Target) -> NDArray[np.float64] | None:
    """What the scan tells of a target for each of its pictures, −∞ where that isn't known; None where it is nowhere."""
    images = scan.images
    if target.index is not None:
        among = images.answers == target.index
        probable = np.where(among, images.probabilities, 0).sum(axis=1)
        of_class = among.any(axis=1) | (images.classes == target.index)
        return np.where(of_class, probable, -np.inf) if of_class.any() else None
    (term,) = target.terms if len(target.terms) == 1 else (None,)
    known = term is not None and any(term.layer in (each.name, *each.called) for each in scan.layers.values())
    if term is None or not known or term.position is not None or term.mask is not None:
        return None
    codes = scan.codes(str(term.layer)).astype(np.float64)
    return term.sign * (codes.mean(axis=1) if term.channel is None else codes[:, term.channel])


def _codes(network: Network, pictures: Sequence[Tensor], layer: str) -> NDArray[np.float32]:
    """The codes `(n, C)` of pictures: the means of a layer's maps over all places, or the vector itself."""
    found = []
    for at in range(0, len(pictures), _BATCH):
        kept = network.capture(torch.stack(list(pictures[at : at + _BATCH])), [layer])[layer]
        found.append(kept.float().flatten(2).mean(dim=2) if kept.dim() > 2 else kept.float())
    return torch.cat(found).cpu().numpy()


def _parts(codes: NDArray[np.float32], count: int, seed: int) -> list[list[int]]:
    """Rows of codes in so many parts, the largest first, each from its middle outwards."""
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingExtra("k-means", extra="scan") from error
    places = project(codes, seed=seed).positions.astype(np.float64)
    found = KMeans(min(count, len(np.unique(places, axis=0))), n_init=10, random_state=seed).fit(places)
    away = np.linalg.norm(places - found.cluster_centers_[found.labels_], axis=1)
    outwards = np.argsort(away, kind="stable")
    parts = [[int(at) for at in outwards if found.labels_[at] == part] for part in range(found.n_clusters)]
    return sorted(parts, key=len, reverse=True)
