"""The loss of style for pictures that are too large to be seen at once: the same, and the same gradient, in windows.

Every term is a function of sums over places: of squares, of products of features, of distances to the content's. So
each evaluation goes over the picture twice. First windows without gradients give the sums S, and with them the loss
L(S) and its slopes ∂L/∂S. Then each window gives the gradient of

    Σ ∂L/∂S · s,  with s what the window adds to the sums,

with respect to its pixels, and these add up to the gradient of L. Nothing is approximated.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from convscope.errors import NetworkError
from convscope.network.memory import check_memory
from convscope.network.network import Network
from convscope.synthesis.exact_windows import ExactWindows, Part, put_together, window_for
from convscope.synthesis.objectives import Objective, Seen
from convscope.synthesis.objectives.statistics import STATISTICS, Described
from convscope.synthesis.objectives.summed import SUMMED
from convscope.synthesis.regularizers.total_variation import total_variation
from convscope.synthesis.settings import Settings
from convscope.synthesis.style_loss import Plan, Size, at_layer, region_shares

# Points, directions, gradients, the picture itself, …: in numbers as long as the picture's.
_ROWS = 12

Key = tuple[str | int, ...]
Sums = dict[Key, Tensor]


@dataclass(frozen=True)
class _Region:
    """Of one style: its share of the style term, how far from it a layer's statistics are, and where that counts."""

    share: float
    distances: Mapping[str, Callable[[Described], Tensor]]
    places: Mapping[str, Tensor] | None


class WindowedStyleLoss:
    """As `StyleLoss`, its sums in double precision and on the processor."""

    def __init__(
        self, windows: ExactWindows, plan: Plan, content: Tensor, styles: Sequence[Tensor], masks: Tensor | None
    ) -> None:
        self._windows, self._plan = windows, plan
        self._size = (content.shape[-2], content.shape[-1])
        self._content: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._places: dict[str, Size] = {}
        self._own_energy = self._look_around(content)
        self._norms = {name: _exact(each.square().sum()).clamp(min=1e-12) for name, each in self._content.items()}
        shares = plan.weights if masks is None else region_shares(plan.weights, masks)
        counted = [index for index, share in enumerate(shares) if share > 0]
        self._shifts = self._means(styles[counted[0]])
        places = {index: None if masks is None else self._masked(masks[index]) for index in counted}
        self._regions = [_Region(shares[index], self._distances(styles[index]), places[index]) for index in counted]
        self.terms: dict[str, float] = {}

    def objective(self) -> Objective:
        """The loss as something to become large; what it reads are the images alone."""
        return Objective("style", self._value)

    def measure(self, images: Tensor) -> None:
        """Take the terms of images `(1, C, H, W)`."""
        self._terms_at(images[0])

    def value_and_gradient(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The loss `()` of a picture `(C, H, W)`, and its gradient."""
        sums = {key: each.requires_grad_() for key, each in self._summed(picture).items()}
        weights = self._plan.term_weights
        with torch.enable_grad():
            terms = self._terms(sums)
            loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
            slopes = dict(zip(sums, torch.autograd.grad(loss, list(sums.values())), strict=True))
        variation, gradient = _slope(lambda image: weights["tv"] * total_variation(image[None])[0], picture)
        for window in self._windows.over(self._size):

            def added(pixels: Tensor, window: Any = window) -> Tensor:
                found = self._of_window(self._windows.seen(pixels, window, self._size))
                return torch.stack([(slopes[key].to(each) * each).sum() for key, each in found]).sum()

            self._windows.cut(gradient, window).add_(_slope(added, self._windows.cut(picture, window))[1])
        self._keep({**terms, "tv": total_variation(picture[None])[0]})
        return (loss.detach() + variation.to(loss)).to(picture), gradient

    def _value(self, seen: Seen) -> Tensor:
        uphill: Tensor = _Negative.apply(seen.images, self)  # type: ignore[no-untyped-call]
        return uphill

    def _terms_at(self, picture: Tensor) -> None:
        self._keep({**self._terms(self._summed(picture)), "tv": total_variation(picture[None])[0]})

    def _keep(self, terms: Mapping[str, Tensor]) -> None:
        self.terms = {name: float(term.detach()) for name, term in terms.items()}

    # Sums

    def _summed(self, picture: Tensor) -> Sums:
        """All sums over a picture."""
        total: Sums = {}
        for parts in self._windows.parts(picture):
            for key, each in self._of_window(parts):
                total[key] = total[key] + _exact(each) if key in total else _exact(each)
        return total

    def _of_window(self, parts: Mapping[str, Part]) -> Iterator[tuple[Key, Tensor]]:
        """What a window adds to the sums."""
        for name in self._plan.content_layers:
            own = self._content[name][(..., *parts[name].places)]
            yield ("content", name), (parts[name].features - own).square().sum()
        summed = SUMMED[self._plan.statistics]
        for name in self._plan.style_layers:
            features, places = parts[name].features, parts[name].places
            # Without masks all styles want something of the same sums.
            for index, region in enumerate(self._regions if self._masks else self._regions[:1]):
                weights = None if region.places is None else region.places[name][places]
                for number, each in enumerate(summed.sums(features, weights, self._shifts[name])):
                    yield ("style", name, index, number), each
        if self._plan.dream is not None:
            yield ("dream",), parts[self._plan.dream].features.square().sum()

    @property
    def _masks(self) -> bool:
        return self._regions[0].places is not None

    # Terms

    def _terms(self, sums: Sums) -> dict[str, Tensor]:
        """Those that follow from sums, `()` each."""
        content = [
            weight * sums["content", name] / self._norms[name] for name, weight in self._plan.content_layers.items()
        ]
        style = [
            region.share * weight * region.distances[name](self._described(sums, name, index, region))[0]
            for index, region in enumerate(self._regions)
            for name, weight in self._plan.style_layers.items()
        ]
        terms = {"content": torch.stack(content).sum(), "style": torch.stack(style).sum()}
        if self._plan.dream is not None:
            terms["dream"] = (self._energy(sums["dream",], self._plan.dream) / self._own_energy).log()
        return terms

    def _described(self, sums: Sums, layer: str, index: int, region: _Region) -> Described:
        """The statistics of a layer where a style counts."""
        if region.places is None:
            index, total = 0, float(self._counted(layer))
        else:
            total = float(_exact(region.places[layer]).sum())
        found: list[Tensor] = []
        while ("style", layer, index, len(found)) in sums:
            found.append(sums["style", layer, index, len(found)] / total)
        return SUMMED[self._plan.statistics].described(tuple(found), _exact(self._shifts[layer]))

    def _energy(self, squares: Tensor, layer: str) -> Tensor:
        return (squares / (self._counts[layer] * self._counted(layer))).clamp(min=1e-12)

    def _counted(self, layer: str) -> int:
        rows, columns = self._places[layer]
        return rows * columns

    # The content and the styles

    def _look_around(self, content: Tensor) -> Tensor:
        """The content's features, how many channels and places layers have, and the energy at that of the dream."""
        squares = torch.zeros((), dtype=torch.float64)
        dream = self._plan.dream
        for parts in self._windows.parts(content):
            put_together(self._content, {name: parts[name] for name in self._plan.content_layers})
            for name, each in parts.items():
                self._counts.setdefault(name, len(each.features))
                self._places.setdefault(name, (each.places[0].stop, each.places[1].stop))
            if dream is not None:
                squares += _exact(parts[dream].features.square().sum())
        return squares if dream is None else self._energy(squares, dream)

    def _means(self, style: Tensor) -> dict[str, Tensor]:
        """About what features of a style are, `(C,)`: spreads are summed around it."""
        parts = next(self._windows.parts(style))
        return {name: parts[name].features.mean(dim=(1, 2)) for name in self._plan.style_layers}

    def _distances(self, style: Tensor) -> dict[str, Callable[[Described], Tensor]]:
        summed = SUMMED[self._plan.statistics]
        total: dict[str, tuple[Tensor, ...]] = {}
        counts: dict[str, int] = {}
        for parts in self._windows.parts(style):
            for name in self._plan.style_layers:
                sums = summed.sums(parts[name].features, None, self._shifts[name])
                before = total.get(name, tuple(map(torch.zeros_like, sums)))
                total[name] = tuple(_exact(one) + _exact(other) for one, other in zip(before, sums, strict=True))
                counts.setdefault(name, math.prod(each.stop for each in parts[name].places))
        compared = STATISTICS[self._plan.statistics].compared
        return {
            name: compared(summed.described(tuple(each / counts[name] for each in sums), _exact(self._shifts[name])))
            for name, sums in total.items()
        }

    def _masked(self, mask: Tensor) -> dict[str, Tensor]:
        """A mask at the size of each layer."""
        like = next(iter(self._content.values()))
        return {name: at_layer(mask, like.new_empty(0, *self._places[name])) for name in self._plan.style_layers}


def windows_for(
    network: Network, plan: Plan, settings: Settings, content: Size, styles: Sequence[Size], tile: int | None
) -> ExactWindows | None:
    """What shows pictures of these sizes where they are not seen as a whole: as asked, or where memory asks for it.

    Raises NetworkError for sizes that don't fit, and for a tile where the picture has to be seen as a whole.
    """
    sizes = [content, *styles]
    if plan.smoothing:
        if tile is not None:
            raise NetworkError("smoothing compares each place with all others; leave tile out, or smoothing")
    elif tile is None:
        tile = window_for(network, plan.layers, sizes)
    windows = None if tile is None else ExactWindows(network, plan.layers, tile)
    for size in sizes:
        window = None if tile is None else (min(size[0], tile), min(size[1], tile))
        beside = _optimizers_bytes(network, settings, content) if size == content else 0
        check_memory(network, (network.channels, *size), 1, layers=plan.layers, beside=beside, window=window)
    return windows


def _optimizers_bytes(network: Network, settings: Settings, size: Size) -> int:
    """About what changes of place and gradient take that L-BFGS remembers, and other rows of numbers as long."""
    remembered = min(getattr(settings.optimizer, "history", 1), settings.steps)
    # A pyramid's levels add up to a third more than the picture.
    numbers = network.channels * math.prod(size) * 4 // 3
    return numbers * network.dtype.itemsize * (2 * remembered + _ROWS)


class _Negative(torch.autograd.Function):
    """−loss of images `(1, C, H, W)`, `(1,)`, whose gradient is known as soon as the loss is."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, loss: WindowedStyleLoss) -> Tensor:
        value, gradient = loss.value_and_gradient(images.detach()[0])
        ctx.save_for_backward(-gradient[None])
        return -value[None]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (own,) = ctx.saved_tensors
        return gradients[0] * own, None


def _slope(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """A function's value and its gradient."""
    with torch.enable_grad():
        leaf = at.detach().requires_grad_()
        value = function(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


def _exact(values: Tensor) -> Tensor:
    """In double precision, on the processor, since not every device has it."""
    return values.detach().cpu().double()
