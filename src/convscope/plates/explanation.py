"""One figure of what several targets look at, by several methods (L15, L16, L18–L20)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction, Style
from convscope.attribution.methods import METHODS
from convscope.attribution.occluder import Fill, Windows
from convscope.attribution.occlusion import occlusion
from convscope.attribution.verdict import Verdict, verdict
from convscope.errors import ConvscopeError, LayerError, RuleError, nearest
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.target import Target, TargetLike
from convscope.plates.stages import Stages
from convscope.progress import Watcher
from convscope.render.grid import rows
from convscope.render.legend import captioned
from convscope.render.result import Pictured

USUAL = ("saliency", "guided", "grad-cam", "occlusion")
"""What is shown where no methods are named: together they say where and why, each in its own way."""

# Roughly how many forward passes a map takes; occlusion's depend on its windows.
_PASSES = {
    "saliency": 3, "guided": 3, "deconvnet": 3, "grad-cam": 3, "guided-grad-cam": 6, "integrated-gradients": 150,
    "smooth-grad": 75,
}  # fmt: skip
_PASSES_OF_A_VERDICT, _MAPS_OF_A_VERDICT = 67, 4
_WINDOWS_ACROSS = 7

_OPTIONS = {
    "guided": ("smooth",), "deconvnet": ("smooth",), "grad-cam": ("layer",), "guided-grad-cam": ("layer", "smooth"),
    "occlusion": ("window", "stride", "fill"),
}  # fmt: skip
_Stage = tuple[str, str, int]


@dataclass(frozen=True)
class Explanation(Pictured):
    """Maps of one image: `maps` holds a row a target and in it a map a method, `verdicts` what each map is worth.

    `left_out` says why usual methods are missing, `labels` what the targets are called. A verdict is None where none
    was asked for.
    """

    image: Tensor
    maps: tuple[tuple[Attribution, ...], ...]
    methods: tuple[str, ...]
    verdicts: tuple[tuple[Verdict | None, ...], ...]
    left_out: tuple[str, ...]
    labels: tuple[str, ...]
    recipe: Recipe

    def picture(self, *, style: Style | None = None, reduction: Reduction = "max") -> Image.Image:
        """The photograph and its maps, a row a target, a column a method. Each map has its own scale, drawn below it.

        By default maps of places lie on the photograph, those of pixels beside it. Below are their verdicts.
        """
        photograph = to_picture(self.image)
        figure = []
        for label, maps, verdicts in zip(self.labels, self.maps, self.verdicts, strict=True):
            drawn = [each.picture(style=style or usual_style(each), reduction=reduction) for each in maps]
            told = [captioned(*both) for both in zip(drawn, map(_told, verdicts), strict=True)]
            figure.append((label, [photograph, *told]))
        return rows(figure, column_labels=["image", *self.methods])


def usual_style(attribution: Attribution) -> Style:
    """How a map is best looked at: one of places on the photograph, one of pixels by itself."""
    return "overlay" if attribution.values.dim() < attribution.image.dim() else "heatmap"


def explanation(
    network: Network,
    image: Tensor,
    targets: Sequence[TargetLike],
    *,
    methods: Sequence[str] | None = None,
    smooth: str | None = None,
    layer: str | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    fill: Fill | float = "gray",
    verdicts: bool = True,
    seed: int = 0,
    progress: Watcher | None = None,
) -> Explanation:
    """Maps of each target by each method, as one figure, each with its verdict.

    Parameters
    ----------
    image
        `(C, H, W)` in [0, 1], as `network.prepare` gives it.
    methods
        By name: saliency, guided, deconvnet, occlusion, grad-cam, guided-grad-cam, integrated-gradients, smooth-grad.
        By default those of `USUAL` that this network allows; `left_out` tells of the others.
    smooth
        For methods with backward rules; "positive" lets them pass activations that are no rectifiers.
    layer
        For class activation maps.
    window, stride, fill
        Of the occluder; by default a seventh of the image's shorter side, half of which it is moved, and grey.
    verdicts
        Whether each map is tested, with `seed` (see `verdict`). That takes a few times as long as the maps.

    Raises
    ------
    ConvscopeError
        As the methods do, for what they are asked.
    Cancelled
        `progress`, called with all maps and verdicts in view, returned False.
    """
    asked = [network.target(target, image) for target in targets]
    across = max(1, min(image.shape[-2:]) // _WINDOWS_ACROSS)
    covering: dict[str, Any] = {
        "window": across if window is None else window,
        "stride": max(1, across // 2) if stride is None else stride,
        "fill": fill,
    }
    work = _Work(network, image, asked, {"smooth": smooth, "layer": layer, **covering}, seed if verdicts else None)
    columns, left_out = work.columns(USUAL if methods is None else methods, progress, spare=methods is None)
    parameters: dict[str, JSON] = {
        "targets": [target.text for target in asked], "methods": [*columns], **work.options, "verdicts": verdicts,
    }  # fmt: skip
    masks = [mask for target in asked for mask in target.masks]
    recipe = network.recipe("explanation", parameters, images=[image, *masks], seed=seed)
    maps, judged = (tuple(zip(*each, strict=True)) for each in zip(*columns.values(), strict=True))
    labels = tuple(
        network.labels[each.index] if network.labels and each.index is not None else each.text for each in asked
    )
    return Explanation(image, maps, tuple(columns), judged, tuple(left_out), labels, recipe)


_Column = tuple[list[Attribution], list[Verdict | None]]


@dataclass(frozen=True)
class _Work:
    """What has to be done: maps of each target with `options`, tested with `seed` unless that is None."""

    network: Network
    image: Tensor
    targets: Sequence[Target]
    options: Mapping[str, Any]
    seed: int | None

    def columns(
        self, methods: Sequence[str], progress: Watcher | None, *, spare: bool
    ) -> tuple[dict[str, _Column], list[str]]:
        """Maps and verdicts of all targets by each method; and why some are missing, where it is to `spare`."""
        for name in methods:
            if name not in METHODS:
                raise ConvscopeError(f"no method {name!r}; {nearest(name, METHODS)}")
        stages = Stages({stage: passes for name in methods for stage, passes in self._passes(name)}, progress)
        columns, left_out = {}, []
        for name in dict.fromkeys(methods):
            try:
                maps = self._maps(name, stages)
            except (RuleError, LayerError) as error:
                if not spare:
                    raise
                left_out.append(f"{name} is left out: {error}")
                continue
            columns[name] = maps, [self._verdict(each, stages, (name, "verdict", i)) for i, each in enumerate(maps)]
        return columns, left_out

    def _passes(self, name: str) -> list[tuple[_Stage, int]]:
        """The stages of a method, and roughly how many forward passes each takes."""
        together = name == "occlusion"
        windows = len(Windows.over(self.image, self.options["window"], self.options["stride"])) if together else 0
        passes, count = _PASSES.get(name, windows), len(self.targets)
        maps = [((name, "map", index), passes) for index in range(1 if together else count)]
        tests = [
            ((name, "verdict", index), _MAPS_OF_A_VERDICT * passes + _PASSES_OF_A_VERDICT) for index in range(count)
        ]
        return maps + (tests if self.seed is not None else [])

    def _maps(self, name: str, stages: Stages) -> list[Attribution]:
        options = {key: self.options[key] for key in _OPTIONS.get(name, ())}
        if name == "occlusion":
            every: list[TargetLike] = [*self.targets]
            # Torch's engine, so that the figure comes out the same wherever it is made again.
            options = {**options, "engine": "torch", "progress": stages.begin((name, "map", 0))}
            return [*occlusion(self.network, self.image, every, **options)]
        return [
            METHODS[name](self.network, self.image, target, **options, progress=stages.begin((name, "map", index)))
            for index, target in enumerate(self.targets)
        ]

    def _verdict(self, attribution: Attribution, stages: Stages, stage: _Stage) -> Verdict | None:
        if self.seed is None:
            return None
        return verdict(self.network, attribution, seed=self.seed, progress=stages.begin(stage))


def _told(judged: Verdict | None) -> list[str]:
    """A verdict in two short lines.

    >>> _told(Verdict(deletion=26.12, randomized=-0.001, noise=0.91))
    ['holds', 'deletion z 26.1, random weights 0.00, noise 0.91']
    """
    if judged is None:
        return []
    figures = f"deletion z {judged.deletion:z.1f}, random weights {judged.randomized:z.2f}, noise {judged.noise:z.2f}"
    return [judged.word, figures]
