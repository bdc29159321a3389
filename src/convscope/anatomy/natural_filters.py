"""Filters that photographs alone teach, without any network: oriented edges and opponent colours.

Patches of photographs are whitened and then taken apart into features of which each patch needs few. What comes out
looks like the first layer of a network trained to classify, and like the receptive fields of simple cells.

Independent components: Bell and Sejnowski, "The 'independent components' of natural scenes are edge filters", 1997;
in colour: Hoyer and Hyvärinen, "Independent component analysis applied to feature extraction from colour and stereo
images", 2000. Sparse coding: Olshausen and Field, "Emergence of simple-cell receptive field properties by learning a
sparse code for natural images", 1996.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Generator, Tensor

from convscope.anatomy.tiles import tile, tile_side
from convscope.errors import ConvscopeError, ImageError, nearest
from convscope.image.check import check_image
from convscope.image.networkless import recipe_of
from convscope.image.provenance import recall
from convscope.image.read import read_image
from convscope.image.recipe import Recipe
from convscope.image.resize import resize
from convscope.render.grid import grid
from convscope.render.result import Pictured

Method = Literal["ica", "sparse"]

BUNDLED = ("astronaut", "chelsea", "china", "coffee", "flower", "motorcycle", "rocket")
"""The bundled photographs of things and places, in colour."""

_TITLES = {"ica": "Independent components", "sparse": "Sparse code"}
_DARKEST = 0.1
_FAINTEST = 0.02
_COLOURED = 0.3


@dataclass(frozen=True)
class NaturalFilters(Pictured):
    """Features `values` (count, 3, size, size) learned from photographs: signed, RGB, about 0.

    A patch, in logarithms and with its mean and contrast removed, is a sum of these. First those without colour, then
    the coloured ones, each by how much of a patch they make up.
    """

    values: Tensor
    method: Method
    recipe: Recipe

    def picture(self, *, columns: int | None = None) -> Image.Image:
        """All as colour tiles, each scaled about mid-grey by its own largest absolute value."""
        size = self.values.shape[-1]
        return grid(
            [tile(each) for each in self.values],
            columns=columns,
            cell=tile_side([self.values]),
            title=f"{_TITLES[self.method]} of photographs, {size} × {size} pixels",
        )


def natural_filters(
    method: Method = "ica",
    *,
    size: int = 11,
    count: int = 100,
    photographs: Sequence[Tensor] | None = None,
    patches: int = 50_000,
    seed: int = 0,
) -> NaturalFilters:
    """Learn `count` colour filters of `size` × `size` pixels from patches of photographs (3, H, W), RGB in [0, 1].

    Patches x are whitened to z and described by features w_k. `"ica"` finds the rotation whose answers are least
    Gaussian: max Σ_k (E[log cosh(w_k · z)] − c)². `"sparse"` finds features, half as many again as dimensions, of which
    few suffice: min E[½‖z − Σ_k s_k w_k‖² + λ Σ_k |s_k|], λ = 1.5. Without `photographs`, seven bundled ones are used.
    Seeded: the same call gives the same filters. Takes a few seconds.

    Raises `ImageError` for photographs too small, `ConvscopeError` for another method or numbers that don't fit each
    other, `MissingExtra` if the bundled photographs are not installed.

    >>> natural_filters(size=5, count=12, patches=2000).values.shape
    torch.Size([12, 3, 5, 5])
    """
    if method not in get_args(Method):
        raise ConvscopeError(f"no method {method!r}; {nearest(method, get_args(Method))}")
    _check_numbers(size, count, patches)
    images = [read_image(name) for name in BUNDLED] if photographs is None else list(photographs)
    generator = Generator().manual_seed(seed)
    white, back = whiten(
        _even(_sample(images, size, patches, generator)), count if method == "ica" else -(-count * 2 // 3)
    )
    features = independent(white, generator) if method == "ica" else sparse(white, count, generator)
    recipe = recipe_of(
        "natural_filters",
        {"method": method, "size": size, "count": count, "patches": patches},
        inputs=tuple(map(recall, images)),
        seed=seed,
    )
    return NaturalFilters(_in_order((features @ back).reshape(count, 3, size, size)), method, recipe)


def whiten(patches: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Patches (N, P) in their first principal components (N, D), each of variance 1, and the way back (D, P)."""
    covariance = patches.T @ patches / len(patches)
    variances, directions = torch.linalg.eigh(covariance.double())
    variances, directions = variances[-dimensions:].flip(0), directions[:, -dimensions:].flip(1)
    white = patches @ (directions / variances.sqrt()).to(patches)
    return white, (directions * variances.sqrt()).T.to(patches)


def independent(white: Tensor, generator: Generator, *, steps: int = 200, tolerance: float = 1e-4) -> Tensor:
    """Orthonormal rows (D, D) whose answers to whitened data (N, D) are as independent as can be.

    Symmetric FastICA (Hyvärinen, "Fast and robust fixed-point algorithms for independent component analysis", 1999).
    """
    dimensions = white.shape[1]
    rows = _orthonormal(torch.randn(dimensions, dimensions, generator=generator, dtype=white.dtype))
    for _ in range(steps):
        answers = torch.tanh(white @ rows.T)
        slopes = 1 - answers.square().mean(0)
        turned = _orthonormal(answers.T @ white / len(white) - slopes[:, None] * rows)
        change = (1 - (turned * rows).sum(1).abs()).max()
        rows = turned
        if change < tolerance:
            break
    return rows


def sparse(
    white: Tensor, count: int, generator: Generator, *, penalty: float = 1.5, epochs: int = 3, batch: int = 300
) -> Tensor:
    """Rows (count, D) of norm 1, few of which make up each row of whitened data (N, D).

    By Mairal and others, "Online dictionary learning for sparse coding", 2009.
    """
    features = F.normalize(torch.randn(count, white.shape[1], generator=generator, dtype=white.dtype), dim=1)
    # What the updates need of all codes so far, the older ones fading as the features they belonged to have changed.
    squares, products, fading = torch.zeros(count, count, dtype=white.dtype), torch.zeros_like(features), 0.98
    for _ in range(epochs):
        for chosen in torch.randperm(len(white), generator=generator).chunk(-(-len(white) // batch)):
            codes = sparse_codes(white[chosen], features, penalty)
            squares = fading * squares + codes.T @ codes
            products = fading * products + codes.T @ white[chosen]
            # A feature that no patch has needed yet stays as it is.
            needed = squares.diagonal().clamp_min(torch.finfo(white.dtype).tiny)
            features = F.normalize(features + (products - squares @ features) / needed[:, None], dim=1)
    return features


def sparse_codes(data: Tensor, features: Tensor, penalty: float, *, steps: int = 15) -> Tensor:
    """Codes s (N, K) that make ½‖x − s · features‖² + penalty · ‖s‖₁ small for each row x of `data` (N, D).

    FISTA (Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", 2009).
    """
    overlaps, answers = features @ features.T, data @ features.T
    curvature = torch.linalg.eigvalsh(overlaps)[-1].item()
    codes = ahead = torch.zeros_like(answers)
    momentum = 1.0
    for _ in range(steps):
        previous = codes
        downhill = torch.addmm(answers, ahead, overlaps, alpha=-1)
        codes = F.softshrink(ahead.add(downhill, alpha=1 / curvature), penalty / curvature)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = previous.lerp(codes, 1 + (momentum - 1) / following)
        momentum = following
    return codes


def _check_numbers(size: int, count: int, patches: int) -> None:
    if size < 2:
        raise ConvscopeError(f"filters of size {size}; expected 2 pixels at least")
    numbers = 3 * size**2
    if not 2 <= count < numbers:
        raise ConvscopeError(f"count={count} filters of {size} × {size} × 3; expected 2 to {numbers - 1}")
    if patches <= numbers:
        raise ConvscopeError(f"{patches} patches of {numbers} numbers each; expected more patches than numbers")


def _sample(images: Sequence[Tensor], size: int, count: int, generator: Generator) -> Tensor:
    """Patches (count, 3, size, size) in logarithms, as many from each image, each turned and mirrored at random."""
    if not images:
        raise ImageError("no photographs; expected one at least")
    shares = torch.arange(count).tensor_split(len(images))
    patches = torch.cat(
        [_patches(image, size, len(share), generator) for image, share in zip(images, shares, strict=True)]
    )
    # Photographs prefer upright edges; a filter bank without a preferred orientation is easier to read.
    ways = torch.randint(8, (len(patches),), generator=generator)
    for way in range(8):
        turned = patches[ways == way].rot90(way % 4, (2, 3))
        patches[ways == way] = turned if way < 4 else turned.flip(3)
    return patches


def _patches(image: Tensor, size: int, count: int, generator: Generator) -> Tensor:
    check_image(image, channels=3)
    if image.ndim != 3 or min(image.shape[1:]) < 2 * size:
        raise ImageError(
            f"a photograph of shape {tuple(image.shape)}; expected (3, H, W) with sides of {2 * size} pixels at least, "
            f"twice the filters' size"
        )
    # Cameras and JPEG keep colour at half the resolution only: finer than that there is none to learn.
    halved = resize(image.float(), (image.shape[1] // 2, image.shape[2] // 2))
    windows = (halved + _DARKEST).log().unfold(1, size, 1).unfold(2, size, 1)
    rows = torch.randint(windows.shape[1], (count,), generator=generator)
    columns = torch.randint(windows.shape[2], (count,), generator=generator)
    return windows[:, rows, columns].transpose(0, 1)


def _even(patches: Tensor) -> Tensor:
    """Patches (N, P) about 0 and of one contrast, so that a few strong edges don't outweigh the rest."""
    flat = patches.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    # The addend keeps a patch of noise faint.
    flat = flat / (flat.square().mean(1, keepdim=True) + _FAINTEST**2).sqrt()
    return flat - flat.mean(0)


def _orthonormal(rows: Tensor) -> Tensor:
    """The orthonormal rows closest to `rows`."""
    left, _, right = torch.linalg.svd(rows, full_matrices=False)
    closest: Tensor = left @ right
    return closest


def _in_order(features: Tensor) -> Tensor:
    """Without colour first, then coloured; the stronger ones first."""
    energy = features.square().sum((1, 2, 3))
    colour = (features - features.mean(1, keepdim=True)).square().sum((1, 2, 3))
    keys = zip((colour > _COLOURED * energy).tolist(), (-energy).tolist(), strict=True)
    order = [index for _, index in sorted((key, index) for index, key in enumerate(keys))]
    return features[order]
