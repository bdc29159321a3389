"""Smoothing: activations as shares of all there are, so that a few peaks don't decide alone.

Networks with residual connections have few, high peaks, which a Gram matrix squares (SWAG: Wang, Li and Vasconcelos,
"Rethinking and Improving the Robustness of Image Style Transfer", 2021).
"""

import torch
from torch import Tensor


def smoothed(activations: Tensor) -> Tensor:
    """Softmax over all n channels and places of each image's activations `(N, …)`, times n.

        σ(F)ᵢₖ = n · exp(Fᵢₖ) / Σ exp(Fₘₗ)

    The factor n, which the paper doesn't have, makes the mean 1: features of pictures of different sizes compare.

    >>> smoothed(torch.zeros(1, 2, 3, 3)).unique()
    tensor([1.])
    """
    flat = activations.flatten(1)
    shares: Tensor = torch.softmax(flat, dim=1) * flat.shape[1]
    return shares.reshape(activations.shape)
