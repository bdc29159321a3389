"""What a network's batch norms get, against what they got in training."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convscope.network.network import Network
from convscope.network.replica import unwrapped

# So many batch norms, spread over the network, tell as much as all of them.
_LAYERS = 8
# A channel whose weight is this small beside the layer's largest is switched off, and says nothing of its input.
_SWITCHED_OFF = 1e-3
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class NormedLayers:
    """The batch norms that are looked at, by layer name."""

    modules: Mapping[str, nn.modules.batchnorm._BatchNorm]

    @classmethod
    def of(cls, network: Network) -> "NormedLayers":
        """A few of the network's batch norms that keep running statistics, spread over it from the first on."""
        modules = dict(unwrapped(network.module).named_modules())
        found = {
            name: module
            for name in network.layers
            if isinstance(module := modules.get(name), nn.modules.batchnorm._BatchNorm) and module.track_running_stats
        }
        step = -(-len(found) // _LAYERS) or 1
        return cls(dict(list(found.items())[::step]))

    @property
    def channels(self) -> int:
        """How many channels they have together."""
        return sum(module.num_features for module in self.modules.values())

    def moments(self, network: Network, batch: Tensor) -> Tensor:
        """The mean and mean square of each channel's input, standardized by its running statistics: `(N, 2, C)`.

        They are read off the output y: x = (y − bias) / weight, which in training had mean 0 and mean square 1.
        """
        if not self.modules:
            return torch.zeros(len(batch), 2, 0)
        outputs = network.capture(batch, list(self.modules))
        parts = [_moments(outputs[name], module) for name, module in self.modules.items()]
        return torch.cat(parts, dim=2).cpu()


def _moments(output: Tensor, module: nn.modules.batchnorm._BatchNorm) -> Tensor:
    values = output.flatten(2).float()
    if module.affine:
        weight, bias = module.weight.detach().float(), module.bias.detach().float()
        off = weight.abs() <= _SWITCHED_OFF * weight.abs().max()
        values = (values - bias[:, None]) / weight.masked_fill(off, torch.inf)[:, None]
    mean, square = values.mean(dim=2), values.square().mean(dim=2)
    if module.affine:
        square = square.masked_fill(off, 1.0)
    return torch.stack([mean, square], dim=1)


def divergence(mean: Tensor, square: Tensor) -> Tensor:
    """How far moments `(…, C)` of photographs are from those in training, 0 and 1: the mean over channels, in nats.

    With mean m and variance v it is the Kullback–Leibler divergence of one normal distribution from the other,
    (m² + v − 1 − ln v) / 2. Without channels it is 0.
    """
    variance = (square - mean.square()).clamp_min(_LEAST_VARIANCE)
    divergences = (mean.square() + variance - 1 - variance.log()) / 2
    return divergences.sum(dim=-1) / max(1, divergences.shape[-1])
