"""Evolve: pictures of nothing that a network is sure of, found by evolution alone, for many classes at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError, nearest
from convscope.fooling.classes import class_count, class_index, class_name
from convscope.fooling.encoding import ENCODINGS, Encoding, Shape
from convscope.fooling.map_elites import Elites, Judge, next_generation
from convscope.image.recipe import Recipe
from convscope.image.write import to_picture
from convscope.network.engine import EngineName
from convscope.network.network import Network
from convscope.network.summarized import Summarizer
from convscope.network.target import TargetLike
from convscope.progress import Steps, Watcher
from convscope.render.curves import Curve, curves
from convscope.render.grid import grid
from convscope.render.result import Pictured
from convscope.synthesis.parts import part, text_of

STYLES = ("sheet", "curve")


@dataclass(frozen=True, kw_only=True)
class Evolved(Pictured):
    """The elite of each class.

    `classes` are indices and `labels` names; elites are judged as images in steps of 1/255.
    """

    classes: Sequence[int]
    labels: Sequence[str]
    elites: Elites
    encoding: Encoding
    shape: Shape
    recipe: Recipe

    @property
    def probabilities(self) -> Tensor:
        """`(K,)`, how sure the network is of each elite."""
        return self.elites.sure

    @property
    def evaluations(self) -> int:
        """How many images the network has seen."""
        return self.elites.tried

    @property
    def curve(self) -> Tensor:
        """`(generations, 3)`, the quartiles of the probabilities over the classes."""
        return self.elites.quartiles

    @property
    def curve_at(self) -> Tensor:
        """`(generations,)`, how many images the network had seen by then."""
        return self.elites.tried_by

    @property
    def median(self) -> float:
        """The median probability over the classes."""
        return float(self.curve[-1, 1])

    @property
    def best(self) -> list[int]:
        """Places of the classes, the most confident first; of several with one and the same picture, the first."""
        order = torch.argsort(self.probabilities, descending=True, stable=True).tolist()
        # Put in from the least to the most confident, so that of each genome the latter is left.
        return sorted({id(self.elites.genomes[at]): at for at in reversed(order)}.values(), key=order.index)

    def image(self, which: str | int) -> Tensor:
        """The elite of a class, by its index or label, `(C, H, W)`."""
        named = self.labels if isinstance(which, str) else self.classes
        if which not in named:
            raise ImageError(f"no elite of {which!r}; expected one of the {len(self.classes)} classes evolved for")
        return self.images([list(named).index(which)])[0]

    def images(self, places: Sequence[int]) -> Tensor:
        """The elites at some places of `classes`, `(N, C, H, W)`."""
        genomes = [self.elites.genomes[at] for at in places]
        return self.encoding.images(genomes, self.shape, torch.device("cpu"))

    def picture(
        self,
        *,
        style: str = "sheet",
        most: int = 24,
        columns: int | None = None,
        which: int | None = None,
        cell: int | None = None,
    ) -> Image.Image:
        """A "sheet" of the `most` confident, each above its class; or the "curve" of the median over evaluations.

        `which` is the index of a class to have its elite alone.
        """
        if which is not None:
            return to_picture(self.image(which))
        if style not in STYLES:
            raise ImageError(f"no style {style!r}; {nearest(style, STYLES)}")
        if style == "curve":
            return self._chart()
        if most < 1:
            raise ImageError(f"got most={most}, expected at least 1")
        places = self.best[:most]
        labels = [f"{self.labels[at]} {float(self.probabilities[at]):.1%}" for at in places]
        pictures = [to_picture(each) for each in self.images(places)]
        title = f"{self.evaluations:,} evaluations, {len(self.classes):,} classes: median {self.median:.1%}"
        return grid(pictures, labels=labels, columns=columns, title=title, cell=cell)

    def _chart(self) -> Image.Image:
        low, middle, high = self.curve.T
        line = Curve("median over the classes, and quartiles", self.curve_at, middle, low, high)
        top = max(0.1, float(high.max()))
        return curves([line], x_label="evaluations", y_label="probability", size=(240, 420), y_range=(0.0, top))


def evolve(
    network: Network,
    classes: Sequence[TargetLike] | None = None,
    *,
    encoding: str | Encoding = "cppn",
    evaluations: int = 10_000,
    batch: int = 100,
    seed: int = 0,
    engine: EngineName = "auto",
    resume: Evolved | None = None,
    progress: Watcher | None = None,
) -> Evolved:
    """Pictures that a network is sure of, by MAP-Elites over many classes at once (Nguyen, Yosinski and Clune 2015).

    No gradient is asked for. Each generation, copies of random elites are changed and shown to the network, and one
    becomes the elite of every class of which the network is surer than it was of the old one.

    Parameters
    ----------
    classes
        Labels, `class:207` or indices; by default all. Fewer are quicker, and offer fewer steps on the way.
    encoding
        "direct", every value of every pixel; "cppn", a small network from place to colour, which draws regular
        patterns; with numbers: `direct:rate=0.05`, `cppn:most=12`; or an `Encoding` of your own.
    evaluations
        Images shown to the network.
    batch
        Images of a generation.
    seed
        Of the random numbers: the same pictures, if it is the same engine on the same machine.
    engine
        "torch", "onnx" or "auto", the faster one; see `convscope.network.engine`.
    resume
        An earlier result of the same network and options, to go on from: `evaluations` counts its own, too.
    progress
        Called after each generation with what there is; returning False stops.

    Raises
    ------
    Cancelled
        With what there is, an `Evolved`, in `so_far`.
    TargetError, ImageError, PartError

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> cs.evolve(net, ["cheetah", "bagel"], evaluations=4, batch=2, engine="torch").probabilities.shape
    torch.Size([2])
    """
    if min(evaluations, batch) < 1:
        raise ImageError(f"got evaluations={evaluations}, batch={batch}; expected at least 1 of each")
    indices = _indices(network, classes)
    form: Encoding = part(encoding, ENCODINGS, "encoding")
    shape: Shape = (network.channels, *network.input_size)
    elites = (
        Elites.none(len(indices))
        if resume is None
        else _resumed(resume, indices, form, shape, evaluations, batch, seed)
    )
    judge, engine_name = _judge(network, indices, engine, evaluations - elites.tried)
    recipe = network.recipe(
        "evolve",
        {
            "classes": None if classes is None else [f"class:{index}" for index in indices],
            "encoding": text_of(form, ENCODINGS),
            "evaluations": evaluations,
            "engine": "onnx" if engine_name.startswith("onnx") else "torch",
        },
        batch=batch,
        seed=seed,
        engine=engine_name,
    )
    names = [class_name(network, index) for index in indices]
    steps = Steps(max(0, evaluations - elites.tried), progress)

    def result() -> Evolved:
        return Evolved(classes=indices, labels=names, elites=elites, encoding=form, shape=shape, recipe=recipe)

    while elites.tried < evaluations:
        count = min(batch, evaluations - elites.tried)
        elites = next_generation(elites, form, shape, judge, count=count, seed=seed, device=network.device)
        steps.done(count, preview=result())
    return result()


def _indices(network: Network, classes: Sequence[TargetLike] | None) -> list[int]:
    count = class_count(network)
    if classes is None:
        return list(range(count))
    if isinstance(classes, str) or not classes:
        raise ImageError(f"got classes={classes!r}, expected a list of one class or more, or None for all")
    return list(dict.fromkeys(class_index(network, each) for each in classes))


def _resumed(
    earlier: Evolved,
    indices: list[int],
    encoding: Encoding,
    shape: Shape,
    evaluations: int,
    batch: int,
    seed: int,
) -> Elites:
    done = earlier.evaluations >= evaluations
    same = {
        "classes": list(earlier.classes) == indices,
        "encoding": earlier.encoding == encoding,
        "input size": earlier.shape == shape,
        "batch": earlier.recipe.batch == batch and (done or earlier.evaluations % batch == 0),
        "seed": earlier.recipe.seed == seed,
    }
    if not all(same.values()):
        other = ", ".join(name for name, alike in same.items() if not alike)
        raise ImageError(f"can't go on from a result of other {other}; give what it was made with, whole generations")
    return earlier.elites


def _judge(network: Network, indices: list[int], engine: EngineName, images: int) -> tuple[Judge, str]:
    """How sure the network is of each of these classes, as fast as it can say; and by which engine."""
    summarizer = Summarizer(network, [], whole=True, engine=engine, images=max(1, images))
    wanted: Any = torch.tensor(indices)

    def judge(images: Tensor) -> Tensor:
        found = []
        for chunk in torch.split(images, summarizer.batch):
            answers, _ = summarizer(chunk)
            found.append(answers.probabilities[: len(chunk)].float().cpu()[:, wanted])
        return torch.cat(found)

    return judge, summarizer.name
