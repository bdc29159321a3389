"""Radial units, which answer near one place of their input and nowhere else; a line's answer grows without end."""

import torch
from torch import Tensor, nn

# Below this squared distance an answer is as good as certain, and its logit would be infinite.
_NEAREST = 1e-6


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Of points `(N, D)` from centres `(K, D)`, `(N, K)`."""
    return (points[:, None] - centres).square().sum(dim=2)


class RadialUnits(nn.Module):
    """h_k = exp(−β_k ‖x − μ_k‖²), with the centres μ `(K, D)` taken from data and β from how far these are apart."""

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        between = squared_distances(centres, centres).fill_diagonal_(torch.inf)
        # A neighbour then answers by e⁻¹ where one is nearest to it.
        self.centres = nn.Parameter(centres.clone())
        self.log_width = nn.Parameter(between.amin(dim=1).clamp(min=1e-3).log())

    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-squared_distances(x, self.centres) * torch.exp(-self.log_width))


class RadialAnswers(nn.Module):
    """Logits of p_k = exp(−β_k ‖h − μ_k‖²), a probability for each class by itself (Goodfellow et al. 2015).

    The logit of p = e⁻ᵈ is −log(eᵈ − 1): from far away all classes are as good as impossible.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, width) / width**0.5)
        self.log_beta = nn.Parameter(torch.zeros(classes))

    def forward(self, h: Tensor) -> Tensor:
        distances = (squared_distances(h, self.centres) * torch.exp(self.log_beta)).clamp(min=_NEAREST)
        # log(eᵈ − 1) = d + log(1 − e⁻ᵈ), which stays finite for large d.
        return -(distances + torch.log(-torch.expm1(-distances)))
