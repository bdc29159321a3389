"""Image quilting: blocks of an example, sewn together along cuts that nobody sees (Efros and Freeman 2001)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.image.networkless import recipe_of
from convscope.image.provenance import recall
from convscope.progress import Steps, Watcher
from convscope.synthesis.copied import (
    Array,
    CopiedTexture,
    Places,
    Size,
    check_example,
    copied,
    output_size,
    pick,
    to_array,
)
from convscope.synthesis.windows import Windows

_LUMINANCE = (0.299, 0.587, 0.114)


def quilting(
    example: Tensor,
    *,
    size: Size | None = None,
    block: int | None = None,
    overlap: int | None = None,
    tolerance: float = 0.1,
    like: Tensor | None = None,
    alpha: float = 0.2,
    seed: int = 0,
    progress: Watcher | None = None,
) -> CopiedTexture:
    """Sew a texture of any size together from square blocks of an example (C, h, w), in [0, 1], of any channels.

    Blocks are laid row by row, each over the edges of those above and to the left. Of all blocks b of the example, one
    is drawn from those for which

        d(b) = mean over the overlap and the channels of (b − laid)²

    is within (1 + tolerance) of the least. In the overlap, the new block begins at the cut along which it differs least
    from what is laid: the path E(i, j) = e(i, j) + min(E(i−1, j−1), E(i−1, j), E(i−1, j+1)) of least sum, found by
    dynamic programming. The first block is drawn from all. The larger the block, the more of the example's order is
    kept, and the more of it is repeated word for word: what follows in the example itself often fits best.

    With `like` the texture is transferred: the picture is `like` drawn in the example's pixels. Then the least is
    sought of α d(b) + (1 − α) c(b), where c(b) is the mean over the block of the squared differences between its
    luminance and that of `like`, brought to the mean and deviation of the example's.

    Efros and Freeman, "Image quilting for texture synthesis and transfer", 2001; its transfer in one pass.

    Parameters
    ----------
    size
        Of the result, (rows, columns) or the side of a square; by default twice the example's, or that of `like`.
    block
        The side of the blocks; by default a quarter of the example's shorter side, with `like` a twelfth; 2 at least.
    overlap
        How many pixels blocks share with those above and to the left; by default a sixth of the block.
    tolerance
        Part of the least difference by which a block may be worse and still be drawn. 0 draws only from the best.
    like
        An image (C', H, W) in [0, 1]; of three channels the luminance counts, of any other number the mean.
    alpha
        α: 1 looks only for blocks that fit each other, 0 only for those like `like`. Nothing without `like`.
    seed
        Of the draws. The same seed gives the same pixels.
    progress
        Called after each block, with the image so far; returning False stops.

    Raises
    ------
    ImageError
        For an example smaller than a block or than 2 × 2, and for numbers that don't fit each other.
    Cancelled

    >>> checkers = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).float()[None]
    >>> result = quilting(checkers, size=(20, 30), block=4)
    >>> result.image.shape, bool((result.image[:, 1:] != result.image[:, :-1]).all())
    (torch.Size([1, 20, 30]), True)
    """
    check_example(example, tolerance, at_least=2, advice="take a larger example")
    shown = _shown(like, size, alpha)
    rows, columns = output_size(size, example, times=2) if shown is None else shown.shape
    block, overlap = _block(example, block, overlap, parts=4 if like is None else 12)
    blocks = Windows.of(to_array(example), block)
    wanted = None if shown is None else _Likeness.of(blocks.example, shown, block, alpha)
    quilt = _Quilt.empty(len(example), rows, columns, block, overlap)
    places = quilt.places()
    steps, draws = Steps(len(places), progress), np.random.default_rng(seed)
    for row, column in places:
        differences = quilt.differences(blocks, row, column)
        if wanted is not None:
            differences = wanted.weighed(differences, row, column)
        chosen = pick(differences.ravel(), tolerance, draws.random())
        quilt.lay(blocks.example, divmod(chosen, differences.shape[1]), (row, column))
        so_far = None if progress is None else torch.tensor(quilt.laid[:, :rows, :columns], dtype=example.dtype)
        steps.done(preview=so_far)
    source = np.ascontiguousarray(quilt.source[:rows, :columns])
    parameters = {
        "size": None if like is not None else [rows, columns],
        "block": block,
        "overlap": overlap,
        "tolerance": tolerance,
        "like": None if like is None else "image",
        "alpha": alpha,
    }
    inputs = (recall(example),) if like is None else (recall(example), recall(like))
    recipe = recipe_of("quilting", parameters, inputs=inputs, seed=seed)
    return CopiedTexture(copied(example, source), example, torch.from_numpy(source), recipe)


def least_cut(errors: Array) -> Places:
    """The column in each row of a path down `errors` (L, K) of least sum, which moves by at most one column a row.

    >>> least_cut(np.array([[3.0, 1, 9], [1, 9, 9], [9, 2, 9]])).tolist()
    [1, 0, 1]
    """
    sums = np.pad(errors, ((0, 0), (1, 1)), constant_values=np.inf)
    for row in range(1, len(sums)):
        above = sums[row - 1]
        sums[row, 1:-1] += np.minimum(np.minimum(above[:-2], above[2:]), above[1:-1])
    path = np.empty(len(sums), np.int64)
    path[-1] = sums[-1].argmin()
    for row in range(len(sums) - 2, -1, -1):
        first = path[row + 1] - 1
        path[row] = first + sums[row, first : first + 3].argmin()
    return path - 1


@dataclass(frozen=True)
class _Quilt:
    """What is laid so far, (C, H, W), and where in the example it came from, (H, W, 2); whole blocks, so larger than
    what was asked for.
    """

    laid: Array
    source: Places
    block: int
    overlap: int

    @classmethod
    def empty(cls, channels: int, rows: int, columns: int, block: int, overlap: int) -> "_Quilt":
        step = block - overlap
        sides = [overlap + step * max(1, -(-(side - overlap) // step)) for side in (rows, columns)]
        return cls(np.zeros((channels, *sides)), np.zeros((*sides, 2), np.int64), block, overlap)

    def places(self) -> list[tuple[int, int]]:
        """Where blocks begin, row by row."""
        down, across = (range(0, side - self.overlap, self.block - self.overlap) for side in self.laid.shape[1:])
        return [(row, column) for row in down for column in across]

    def differences(self, blocks: Windows, row: int, column: int) -> Array:
        """The mean squared difference of all blocks from what is laid where the next one comes."""
        overlapped = np.zeros((self.block, self.block))
        overlapped[: self.overlap if row else 0] = 1
        overlapped[:, : self.overlap if column else 0] = 1
        sums = blocks.differences(self._content(row, column), overlapped)
        return sums / max(1.0, float(overlapped.sum()) * len(self.laid))

    def lay(self, example: Array, place: tuple[int, int], at: tuple[int, int]) -> None:
        """Lay the block that begins at `place` of the example so that it begins `at` a place of the quilt."""
        (top, left), (row, column) = place, at
        content = self._content(row, column)
        new = example[:, top : top + self.block, left : left + self.block]
        errors = ((new - content) ** 2).sum(0)
        steps = np.arange(self.block)
        taken = np.ones((self.block, self.block), bool)
        if column:
            taken &= steps >= least_cut(errors[:, : self.overlap])[:, None]
        if row:
            taken &= steps[:, None] >= least_cut(errors[: self.overlap].T)
        content[:, taken] = new[:, taken]
        down, across = np.nonzero(taken)
        self.source[row + down, column + across] = np.stack([top + down, left + across], -1)

    def _content(self, row: int, column: int) -> Array:
        return self.laid[:, row : row + self.block, column : column + self.block]


@dataclass(frozen=True)
class _Likeness:
    """How unlike the picture to be followed each block is: its luminance `wanted` (H, W), and the example's blocks."""

    luminance: Windows
    wanted: Array
    alpha: float

    @classmethod
    def of(cls, example: Array, shown: Array, block: int, alpha: float) -> "_Likeness":
        luminance = _luminance(example)
        # A flat picture has no deviation to be divided by.
        spread = luminance.std() / (shown.std() or 1.0)
        wanted = luminance.mean() + (shown - shown.mean()) * spread
        # Blocks reach beyond the picture's lower and right edges.
        return cls(Windows.of(luminance[None], block), np.pad(wanted, (0, block), mode="edge"), alpha)

    def weighed(self, differences: Array, row: int, column: int) -> Array:
        """α · the differences from what is laid + (1 − α) · those from the picture."""
        block = self.luminance.side
        wanted = self.wanted[None, row : row + block, column : column + block]
        unlike = self.luminance.differences(wanted, np.ones((block, block))) / block**2
        # Where nothing is laid yet, the differences are all 0 and only the likeness counts.
        return self.alpha * differences + (1 - self.alpha) * unlike


def _luminance(image: Array) -> Array:
    weights = np.array(_LUMINANCE) if len(image) == 3 else np.full(len(image), 1 / len(image))
    luminance: Array = np.tensordot(weights, image, 1)
    return luminance


def _shown(like: Tensor | None, size: Size | None, alpha: float) -> Array | None:
    """The luminance of the picture to be followed."""
    if not 0 <= alpha <= 1:
        raise ImageError(
            f"got alpha={alpha}; expected 0 (as like the picture as can be) to 1 (only the texture counts)"
        )
    if like is None:
        return None
    check_image(like)
    if like.dim() != 3 or not like.isfinite().all():
        raise ImageError(f"got like={tuple(like.shape)}; expected one image (C, H, W) in [0, 1], without NaN")
    if size is not None:
        raise ImageError(
            f"got size={size!r} and like; the result has the size of like: resize that, and leave size away"
        )
    return _luminance(to_array(like))


def _block(example: Tensor, block: int | None, overlap: int | None, *, parts: int) -> tuple[int, int]:
    """The sides of the blocks, by default so many to the example's shorter side, and of their overlap, checked."""
    shorter = min(example.shape[1:])
    side = max(2, shorter // parts) if block is None else block
    if not 2 <= side <= shorter:
        raise ImageError(
            f"got block={side} for an example of {example.shape[1]} × {example.shape[2]} pixels; "
            f"expected 2 to {shorter}: a smaller block, or a larger example"
        )
    shared = max(1, side // 6) if overlap is None else overlap
    if not 1 <= shared < side:
        raise ImageError(f"got overlap={shared} for blocks of {side} pixels; expected 1 to {side - 1}")
    return side, shared
