"""Small style networks whose styles differ."""

import torch
from torch import Generator

from convscope.synthesis.fast_style.conditional_norm import Norm
from convscope.synthesis.fast_style.style_network import Architecture, StyleNetwork


def small_styles(
    *names: str, width: int = 4, blocks: int = 1, kernel: int = 3, norm: Norm = "instance", seed: int = 0
) -> StyleNetwork:
    """A network of random weights, γ and β, in no training; by default with the styles waves, dots and lines."""
    made = StyleNetwork(names or ("waves", "dots", "lines"), Architecture(width, blocks, kernel, norm))
    random = Generator().manual_seed(seed)
    with torch.no_grad():
        for name, each in made.named_parameters():
            drawn = torch.randn(each.shape, generator=random)
            each.copy_(drawn / each[0].numel() ** 0.5 if each.dim() == 4 else drawn * 0.3 + name.endswith("gamma"))
        for name, buffer in made.named_buffers():
            buffer.copy_(torch.rand(buffer.shape, generator=random) + 0.5 * name.endswith("variance"))
    return made.eval()
