"""Normalization whose scale and shift depend on the style."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["instance", "batch"]
NORMS: tuple[str, ...] = get_args(Norm)

_EPSILON = 1e-5


class ConditionalNorm(nn.Module):
    """γ_s (x − μ) / σ + β_s, one γ and β of each channel for each style s (Dumoulin, Shlens and Kudlur 2017).

    With "instance" μ and σ are those of each image's channel over its places (Ulyanov, Vedaldi and Lempitsky 2016);
    with "batch" those over the images of a batch, too, and afterwards their running means over training.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, channels: int, styles: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm
        self.gamma = nn.Parameter(torch.ones(styles, channels))
        self.beta = nn.Parameter(torch.zeros(styles, channels))
        if norm == "batch":
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_variance", torch.ones(channels))

    def forward(self, features: Tensor, mix: Tensor) -> Tensor:
        """Of `(N, C, H, W)`; `mix` `(N, styles)` says how much of each style an image takes."""
        scale, shift = mix @ self.gamma, mix @ self.beta
        return torch.addcmul(shift[:, :, None, None], self._normalized(features), scale[:, :, None, None])

    def _normalized(self, features: Tensor) -> Tensor:
        if self.norm == "instance":
            return F.instance_norm(features, eps=_EPSILON)
        return F.batch_norm(
            features, self.running_mean, self.running_variance, training=self.training, momentum=0.1, eps=_EPSILON
        )
