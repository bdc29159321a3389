"""Gram matrices: which channels of a layer go together, and nothing of where (Gatys, Ecker and Bethge 2015)."""

from collections.abc import Mapping

from torch import Tensor

from convscope.synthesis.objectives.objective import Objective, Seen


def gram(activations: Tensor) -> Tensor:
    """G = F Fᵀ / (H·W) of each image's features F `(C, H·W)`: `(N, C, C)` of `(N, C, H, W)`.

    The mean over places of the outer product of the channels with themselves.

    >>> import torch
    >>> gram(torch.ones(1, 2, 3, 3))
    tensor([[[1., 1.],
             [1., 1.]]])
    """
    features = activations.flatten(2)
    return features @ features.mT / features.shape[-1]


def gram_match(grams: Mapping[str, Tensor]) -> Objective:
    """−Σ ‖G − G₀‖² / ‖G₀‖² over layers, with G₀ their matrices `(C, C)`: each layer counts alike."""

    def value(seen: Seen) -> Tensor:
        total = seen.images.new_zeros(len(seen.images))
        for layer, wanted in grams.items():
            wanted = wanted.to(total)
            total = total - (gram(seen.layer(layer)) - wanted).square().sum(dim=(1, 2)) / wanted.square().sum()
        return total

    return Objective(f"texture at {', '.join(grams)}", value, tuple(grams))
