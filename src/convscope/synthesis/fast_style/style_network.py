"""The network that stylizes: down, residual blocks, and up again, the styles in its normalizations alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import ImageError, NetworkError, nearest
from convscope.image.recipe import JSON
from convscope.synthesis.fast_style.conditional_norm import NORMS, ConditionalNorm, Norm

OWN = (".gamma", ".beta")
"""How the names of what is a style's own end."""

MULTIPLE = 4
"""Of which sides have to be multiples: it halves them twice."""

SMALLEST = 16
"""Sides need so many pixels, or there is nothing left to mirror at their borders."""


@dataclass(frozen=True)
class Architecture:
    """What a style network is made of.

    `width` is the number of channels at full size, twice and four times as many at a half and a quarter; `kernel` the
    side of the first and the last convolution. Johnson, Alahi and Fei-Fei (2016) took 32, 5 blocks and 9.
    """

    width: int = 32
    blocks: int = 5
    kernel: int = 9
    norm: Norm = "instance"

    def __post_init__(self) -> None:
        if self.width < 1 or self.blocks < 0 or self.kernel not in (3, 5, 7, 9):
            raise NetworkError(
                f"got width {self.width}, {self.blocks} blocks and kernel {self.kernel}; "
                "expected a width of 1 or more, no blocks or more, and a kernel of 3, 5, 7 or 9"
            )
        if self.norm not in NORMS:
            raise NetworkError(f"no norm {self.norm!r}; expected {' or '.join(NORMS)}")

    def parameters(self) -> dict[str, JSON]:
        """As keyword arguments that make it again."""
        return asdict(self)


class StyleNetwork(nn.Module):
    """From images to the same images in one of its styles, or in a blend of them.

    Every convolution mirrors borders and is followed by a `ConditionalNorm`, whose γ and β are all that is a style's
    own; the way up repeats pixels and then convolves, which leaves no checkerboard (Odena, Dumoulin and Olah 2016).

    >>> network = StyleNetwork(["waves", "dots"], Architecture(width=4, blocks=1))
    >>> network(torch.rand(2, 3, 32, 48), network.mix({"waves": 1, "dots": 3}).expand(2, -1)).shape
    torch.Size([2, 3, 32, 48])
    """

    def __init__(self, styles: Sequence[str], architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = made = architecture or Architecture()
        self.styles = tuple(styles)
        if not styles or len(set(styles)) < len(styles) or not all(styles):
            raise NetworkError(f"got styles {list(styles)}; expected one name or more, all different")
        width, count, norm = made.width, len(styles), made.norm
        self.down = nn.ModuleList([
            _Convolved(3, width, made.kernel, count, norm),
            _Convolved(width, 2 * width, 3, count, norm, stride=2),
            _Convolved(2 * width, 4 * width, 3, count, norm, stride=2),
        ])  # fmt: skip
        self.blocks = nn.ModuleList(_Residual(4 * width, count, norm) for _ in range(made.blocks))
        self.up = nn.ModuleList([
            _Convolved(4 * width, 2 * width, 3, count, norm),
            _Convolved(2 * width, width, 3, count, norm),
            _Convolved(width, 3, made.kernel, count, norm),
        ])  # fmt: skip

    def forward(self, images: Tensor, mix: Tensor) -> Tensor:
        """Images `(N, 3, H, W)` in [0, 1], stylized, in [0, 1]; H and W are multiples of 4, and 16 or more.

        `mix` `(N, styles)`: see `mix`.
        """
        features = images - 0.5
        for layer in self.down:
            features = F.relu(layer(features, mix))
        for block in self.blocks:
            features = block(features, mix)
        half, whole, last = self.up
        features = F.relu(half(_twice(features), mix))
        features = F.relu(whole(_twice(features), mix))
        return torch.sigmoid(last(features, mix))

    def mix(self, shares: Mapping[str, float]) -> Tensor:
        """How much of each style, `(1, styles)`, adding up to 1, from weights by name. Raises ImageError."""
        for name in shares:
            if name not in self.styles:
                raise ImageError(f"no style {name!r}; {nearest(name, self.styles)}")
        weights = torch.tensor([[float(shares.get(name, 0)) for name in self.styles]])
        total = weights.sum()
        if not weights.isfinite().all() or weights.min() < 0 or total <= 0:
            raise ImageError(f"got weights {shares} of styles; expected none below 0, and some above")
        # A style alone must be exactly itself.
        return weights / total

    def with_styles(self, names: Sequence[str]) -> "StyleNetwork":
        """A network of the same convolutions for others, whose γ and β alone can be learned; at first its mean."""
        made = StyleNetwork(names, self.architecture)
        state = {
            name: value.mean(dim=0, keepdim=True).expand(len(names), -1) if name.endswith(OWN) else value
            for name, value in self.state_dict().items()
        }
        made.load_state_dict(state)
        for name, each in made.named_parameters():
            each.requires_grad_(name.endswith(OWN))
        # Running means of batches are the other styles', too.
        return made.eval()

    def joined(self, other: "StyleNetwork") -> "StyleNetwork":
        """This network with another's styles beside its own."""
        theirs = other.state_dict()
        made = StyleNetwork([*self.styles, *other.styles], self.architecture)
        state = {
            name: torch.cat([value, theirs[name].to(value)]) if name.endswith(OWN) else value
            for name, value in self.state_dict().items()
        }
        made.load_state_dict(state)
        return made.eval()


class _Convolved(nn.Module):
    """A convolution that mirrors borders, and the normalization after it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, styles: int, norm: Norm, stride: int = 1) -> None:
        super().__init__()
        # Its normalization takes the mean away, so a bias would do nothing.
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, bias=False)
        self.norm = ConditionalNorm(outputs, styles, norm)
        self._border = kernel // 2

    def forward(self, features: Tensor, mix: Tensor) -> Tensor:
        mirrored = F.pad(features, (self._border,) * 4, mode="reflect")
        normalized: Tensor = self.norm(self.convolution(mirrored), mix)
        return normalized


class _Residual(nn.Module):
    def __init__(self, channels: int, styles: int, norm: Norm) -> None:
        super().__init__()
        self.first = _Convolved(channels, channels, 3, styles, norm)
        self.second = _Convolved(channels, channels, 3, styles, norm)

    def forward(self, features: Tensor, mix: Tensor) -> Tensor:
        added: Tensor = self.second(F.relu(self.first(features, mix)), mix)
        return features + added


def _twice(features: Tensor) -> Tensor:
    """Each pixel four times."""
    return F.interpolate(features, scale_factor=2, mode="nearest")
