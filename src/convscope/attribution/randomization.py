"""Parameter randomization: a map that explains a network must change when the network forgets what it learned."""

from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.faithfulness import check_counts, recipe_of
from convscope.attribution.measure import measure_of
from convscope.attribution.randomizing import randomized, weighted_layers
from convscope.attribution.ranking import spearman
from convscope.image.recipe import JSON, Recipe
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.render.curves import Curve, curves
from convscope.render.grid import lay_out, stack, title_strip
from convscope.render.result import Pictured


@dataclass(frozen=True)
class Randomization(Pictured):
    """The same map of a network whose weights are forgotten from the output down.

    At each stage all layers from the output down to the one in `layers` are random; `counts` is how many of
    `weighted` these are. `maps` are the maps of the stages. `absolute` and `signed` `(stages,)` are rank correlations
    with the `original`, of magnitudes (the largest over the colours) and of signed sums.
    """

    original: Attribution
    layers: tuple[str, ...]
    counts: tuple[int, ...]
    weighted: int
    maps: tuple[Attribution, ...]
    absolute: Tensor
    signed: Tensor
    recipe: Recipe

    def picture(self, *, cell: int = 160) -> Image.Image:
        """The row of maps, the original first, each on its own scale and `cell` pixels at most; the curve below."""
        maps = [each.picture() for each in (self.original, *self.maps)]
        row = lay_out(maps, labels=["as trained", *self.layers], columns=len(maps), cell=cell)
        title = title_strip(f"{self.original.target}, with random weights from the output down to …")
        x = torch.tensor([0, *self.counts]) / self.weighted
        lines = [
            Curve(name, x, torch.cat([torch.ones(1, dtype=torch.float64), values]))
            for name, values in (("of magnitudes", self.absolute), ("of signed values", self.signed))
        ]
        lowest = min(0.0, float(self.absolute.min()), float(self.signed.min()))
        chart = curves(
            lines,
            x_label="share of the layers that are random, from the output down",
            y_label="rank correlation with the map as trained",
            size=(240, min(640, row.width)),
            x_range=(0, 1),
            y_range=(lowest * 1.05, 1.0),
        )
        return stack(title, row, chart)

    def __str__(self) -> str:
        rows = zip(self.layers, self.absolute.tolist(), self.signed.tolist(), strict=True)
        width = max(map(len, (*self.layers, "random down to")))
        told = [f"{layer.ljust(width)}  {absolute:8.2f}  {signed:6.2f}" for layer, absolute, signed in rows]
        return "\n".join([f"{'random down to'.ljust(width)}  absolute  signed", *told])


def randomization(
    network: Network,
    attribution: Attribution,
    *,
    stages: int = 6,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Randomization:
    """Randomize the weights from the output down, and make the map again at each stage (Adebayo et al. 2018).

    What a map shows of the network is lost with the weights; what stays was in the picture. Guided backpropagation and
    deconvnets are known to keep their maps until the first layers go: they show edges that the network can see, not why
    it answers. How weights are randomized is told by `randomized` in `convscope.attribution.randomizing`.

    Parameters
    ----------
    attribution
        Of one image; it is made again of the randomized networks by its own `again`.
    stages
        At how many depths the map is made again, in even steps through the layers; the last is all of them.

    Raises
    ------
    ImageError
        The attribution is of a batch or not finite; no stage was asked for.
    NetworkError
        The network has no weights.
    Cancelled
        `progress`, called after each map, returned False.

    >>> import torch, convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> image = net.prepare(cs.read_image("chelsea"))
    >>> fall = randomization(net, cs.saliency(net, image, "tiger cat", rule="guided"), stages=2)
    >>> bool(fall.absolute[0] > 0.5 > fall.absolute[1]), fall.layers[1]
    (True, 'stem.conv')
    """
    measure_of(network, attribution.image, attribution)
    check_counts(stages=stages)
    weighted = weighted_layers(network)
    counts = sorted({max(1, round(len(weighted) * stage / stages)) for stage in range(1, stages + 1)})
    steps = Steps(len(counts), progress)
    maps = []
    for count in counts:
        forgetful = randomized(network, weighted[:count], attribution.image, seed=seed)
        maps.append(attribution.again(forgetful, attribution.image))
        steps.done(preview=maps[-1])
    parameters: dict[str, JSON] = {"of": recipe_of(attribution), "stages": stages}
    recipe = replace(network.recipe("randomization", parameters, seed=seed), inputs=attribution.recipe.inputs)
    return Randomization(
        attribution,
        tuple(weighted[count - 1] for count in counts),
        tuple(counts),
        len(weighted),
        tuple(maps),
        _correlations(attribution.reduced("max").abs(), [each.reduced("max").abs() for each in maps]),
        _correlations(attribution.reduced("signed"), [each.reduced("signed") for each in maps]),
        recipe,
    )


def _correlations(one: Tensor, others: list[Tensor]) -> Tensor:
    return torch.tensor([spearman(one, other) for other in others], dtype=torch.float64)
