"""Keeping a picture's colours while its style changes (Gatys, Bethge, Hertzmann and Shechtman 2016)."""

import torch
from torch import Tensor

from convscope.synthesis.objectives.statistics import gaussian, matrix_root

# Of Rec. 601, for R, G and B as they are stored.
_LUMA = (0.299, 0.587, 0.114)


def luminance(image: Tensor) -> Tensor:
    """The luminance Y = 0.299 R + 0.587 G + 0.114 B of `(…, 3, H, W)`, in each of its channels."""
    weights = image.new_tensor(_LUMA)[:, None, None]
    return (image * weights).sum(dim=-3, keepdim=True).expand_as(image)


def like_luminance(style: Tensor, content: Tensor) -> Tensor:
    """The luminance of a style `(3, h, w)`, with the mean and the deviation of the content's, in all channels."""
    own, other = luminance(style), luminance(content)
    spread = other.std(correction=0) / own.std(correction=0).clamp(min=1e-6)
    return (own - own.mean()) * spread + other.mean()


def with_chroma_of(content: Tensor, image: Tensor) -> Tensor:
    """The luminance of an image `(…, 3, H, W)` with the chroma of another, R − Y, G − Y and B − Y.

    Where these leave no room in [0, 1] for the luminance, it is the nearest for which they do.
    """
    chroma = content - luminance(content)
    lowest, highest = -chroma.amin(dim=-3, keepdim=True), 1 - chroma.amax(dim=-3, keepdim=True)
    return luminance(image).maximum(lowest).minimum(highest) + chroma


def with_colours_of(content: Tensor, style: Tensor) -> Tensor:
    """A style `(C, h, w)` moved and turned in colour space to the content's mean and covariance; may leave [0, 1].

        A (x − μ) + μ',  A = Σ^(−½) (Σ^½ Σ' Σ^½)^½ Σ^(−½)

    Of all such maps it is the one that moves colours least.

    >>> grey, image = torch.full((3, 4, 4), 0.25), torch.rand(3, 5, 5)
    >>> torch.allclose(with_colours_of(grey, image), torch.tensor(0.25), atol=1e-2)
    True
    """
    (mean,), (covariance,) = gaussian(style[None].double())
    (other_mean,), (other,) = gaussian(content[None].double())
    # A style of fewer colours than three can't be turned into all others.
    floor = 1e-6 * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    root = matrix_root(covariance + floor)
    inverse = torch.linalg.inv(root)
    turn = inverse @ matrix_root(root @ other @ root) @ inverse
    moved: Tensor = torch.einsum("ij,jhw->ihw", turn, style.double() - mean[:, None, None]) + other_mean[:, None, None]
    return moved.to(style.dtype)
