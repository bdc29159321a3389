"""Texture grown pixel by pixel from an example: non-parametric sampling (Efros and Leung 1999)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.image.networkless import recipe_of
from convscope.image.provenance import recall
from convscope.progress import Steps, Watcher
from convscope.synthesis.copied import (
    KEPT,
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

Mask = NDArray[np.bool_]

# The bell of the weights has a deviation of the window's side over this, as in the paper's own code.
_BELL = 6.4

# Pixels of the example times those to fill that are compared together: enough to make up for the cost of each call,
# few enough to stay in the processor's cache.
_TOGETHER = 1 << 16


def efros_leung(
    example: Tensor,
    *,
    size: Size | None = None,
    window: int = 15,
    tolerance: float = 0.1,
    start: Tensor | None = None,
    mask: Tensor | None = None,
    seed: int = 0,
    progress: Watcher | None = None,
) -> CopiedTexture:
    """Grow a texture, pixel by pixel, from an example (C, h, w) in [0, 1], of any channels; or fill a hole.

    A pixel takes the value of one whose surroundings look like its own. Of all windows ω of the example, one is drawn
    from those for which

        d(ω) = Σ_p g(p) k(p) ‖ω(p) − x(p)‖² / C Σ_p g(p) k(p)

    is within (1 + tolerance) of the least, and its middle is copied; p runs over the window about the pixel, k(p) is 1
    where x is known and g a Gaussian of deviation window / 6.4. It begins with 3 × 3 pixels of the example, in the
    middle of the result, and grows ring by ring: of the pixels that touch a known one, those with most known neighbours
    come first, the rest by chance. The window should be a little larger than the texture's largest regular feature:
    smaller ones lose its order, larger ones copy whole pieces.

    With a `mask`, what it marks is filled instead: a hole in the example itself, of which no window that touches the
    hole is copied, or one in another image, `start`. To extend a picture, give it with a border and mark the border.

    Efros and Leung, "Texture synthesis by non-parametric sampling", 1999. Takes time in proportion to the pixels to
    fill times those of the example, whatever the window.

    Parameters
    ----------
    size
        Of the result, (rows, columns) or the side of a square; by default one and a half times the example's. With a
        mask, that of the image.
    window
        The side of the windows, odd, 3 or more.
    tolerance
        Part of the least difference by which a window may be worse and still be drawn. 0 draws only from the best.
    start
        The image (C, H, W) whose hole is filled from the example; without it, the example.
    mask
        True where to fill: bool (H, W), or an image (C', H, W) that is more than ½ there.
    seed
        Of the order and of the draws. The same seed gives the same pixels.
    progress
        Called after each few pixels, with the image so far; returning False stops.

    Raises
    ------
    ImageError
        For an example smaller than the window, a mask of another shape or of nothing or all, a hole that leaves no
        whole window of the example, and for numbers that don't fit each other.
    Cancelled

    >>> stripes = torch.arange(12).remainder(2).float().expand(1, 12, 12)
    >>> result = efros_leung(stripes, size=(5, 20), window=5)
    >>> result.image.shape, bool((result.image[:, :, 1:] != result.image[:, :, :-1]).all())
    (torch.Size([1, 5, 20]), True)
    """
    if window < 3 or window % 2 == 0:
        raise ImageError(f"got window={window}; expected an odd number of pixels from 3 on, such as 11")
    check_example(example, tolerance, at_least=window, advice="take a larger example or a smaller window")
    image = example if start is None else start
    hole = _hole(mask, image, example, size)
    draws, known = np.random.default_rng(seed), to_array(example)
    if hole is None:
        canvas = _Canvas.seeded(known, output_size(size, example, times=1.5), window, draws)
    else:
        canvas = _Canvas.with_hole(to_array(image), hole, window)
    windows = Windows.of(known, window)
    barred = _barred(hole if start is None else None, windows)
    _grow(canvas, windows, barred, tolerance=tolerance, draws=draws, progress=progress)
    parameters = {
        "size": list(canvas.source.shape[:2]) if hole is None else None,
        "window": window,
        "tolerance": tolerance,
        "start": None if start is None else "image",
        "mask": None if mask is None else "image",
    }
    inputs = tuple(recall(each) for each in (example, start, mask) if each is not None)
    recipe = recipe_of("efros_leung", parameters, inputs=inputs, seed=seed)
    texture = copied(example, canvas.source, None if hole is None else image)
    return CopiedTexture(texture, example, torch.from_numpy(canvas.source), recipe)


@dataclass(frozen=True)
class _Canvas:
    """An image being filled: `values` (C, H, W) and what of them is `known` (H, W), both with a border of half a window
    that stays unknown, and, without it, the `source` of each pixel (H, W, 2).
    """

    values: Array
    known: Mask
    source: Places
    window: int

    @classmethod
    def with_hole(cls, image: Array, hole: Mask, window: int) -> "_Canvas":
        around = (window // 2, window // 2)
        values = np.pad(np.where(hole, 0, image), ((0, 0), around, around))
        return cls(values, np.pad(~hole, (around, around)), np.full((*hole.shape, 2), KEPT), window)

    @classmethod
    def seeded(cls, example: Array, size: tuple[int, int], window: int, draws: np.random.Generator) -> "_Canvas":
        """An unknown image with 3 × 3 pixels of the example in its middle, or as many of them as it has room for."""
        canvas = cls.with_hole(np.zeros((len(example), *size)), np.ones(size, bool), window)
        from_row, from_column = (int(draws.integers(side - 2)) for side in example.shape[1:])
        rows, columns = (np.arange(min(3, side)) for side in size)
        down, across = (part.ravel() for part in np.meshgrid(rows, columns, indexing="ij"))
        pixels = np.stack([down + max(0, size[0] - 3) // 2, across + max(0, size[1] - 3) // 2], -1)
        canvas.fill(pixels, np.stack([down + from_row, across + from_column], -1), example)
        return canvas

    def ring(self, draws: np.random.Generator) -> Places:
        """The unknown pixels (N, 2) that touch a known one, those with most known neighbours first, else by chance."""
        inner = slice(self.window // 2 - 1, 1 - self.window // 2 or None)
        neighbours = sliding_window_view(self.known[inner, inner], (3, 3)).sum((2, 3))
        pixels = np.argwhere((neighbours > 0) & ~self._unpadded(self.known))
        pixels = draws.permutation(pixels)
        return pixels[np.argsort(-neighbours[tuple(pixels.T)], kind="stable")]

    def surroundings(self, pixels: Places) -> tuple[Array, Array]:
        """What lies about pixels (N, C, window, window), and how much of it is known, (N, window, window)."""
        side = (self.window, self.window)
        rows, columns = pixels.T
        values = sliding_window_view(self.values, side, axis=(1, 2))[:, rows, columns]
        return values.swapaxes(0, 1), sliding_window_view(self.known, side)[rows, columns].astype(float)

    def fill(self, pixels: Places, places: Places, example: Array) -> None:
        """Copy to pixels (N, 2) what is at places (N, 2) of the example."""
        (rows, columns), half = pixels.T, self.window // 2
        self.values[:, rows + half, columns + half] = example[:, places[:, 0], places[:, 1]]
        self.known[rows + half, columns + half] = True
        self.source[rows, columns] = places

    def unknown(self) -> int:
        """How many pixels are still to fill."""
        return int((~self._unpadded(self.known)).sum())

    def picture(self) -> Tensor:
        """What is there so far, (C, H, W); 0 where nothing is known."""
        return torch.tensor(self._unpadded(self.values), dtype=torch.float32)

    def _unpadded(self, padded: NDArray[Any]) -> NDArray[Any]:
        half = self.window // 2
        return padded[..., half:-half, half:-half]


def _grow(
    canvas: _Canvas,
    windows: Windows,
    barred: Mask,
    *,
    tolerance: float,
    draws: np.random.Generator,
    progress: Watcher | None,
) -> None:
    """Fill what is unknown, ring by ring, from windows that are not `barred`."""
    steps, bell = Steps(canvas.unknown(), progress), _bell(canvas.window)
    together = max(1, _TOGETHER // windows.example[0].size)
    while len(ring := canvas.ring(draws)):
        chances = draws.random(len(ring))
        for some in _apart(ring, canvas.window // 2, together=together):
            values, known = canvas.surroundings(ring[some])
            weights = known * bell
            weights /= len(values[0]) * weights.sum((1, 2), keepdims=True)
            differences = windows.differences(values, weights)
            differences[:, barred] = np.inf
            chosen = [
                pick(each.ravel(), tolerance, chance) for each, chance in zip(differences, chances[some], strict=True)
            ]
            places = np.stack(np.unravel_index(chosen, windows.shape), -1) + canvas.window // 2
            canvas.fill(ring[some], places, windows.example)
            steps.done(len(some), preview=None if progress is None else canvas.picture())


def _barred(hole: Mask | None, windows: Windows) -> Mask:
    """Windows that touch the hole in the example, where there is one: what is in it must not be copied."""
    if hole is None:
        return np.zeros(windows.shape, bool)
    touched = np.asarray(sliding_window_view(hole, (windows.side, windows.side)).any((2, 3)))
    if touched.all():
        raise ImageError(
            f"each window of {windows.side} × {windows.side} pixels touches the hole, so there is nothing to copy; "
            "expected a smaller window or hole, or start= with the hole and a whole example"
        )
    return touched


def _apart(pixels: Places, reach: int, *, together: int) -> Iterator[Places]:
    """Indices of pixels (N, 2) that can be filled at once with what one after the other would give.

    That is where none lies in the window of another; each waits for those before it that lie in its own.
    """
    turns = np.zeros(pixels.max(0) + 2 * reach + 1, np.int64)
    own = np.empty(len(pixels), np.int64)
    for index, (row, column) in enumerate(pixels.tolist()):
        own[index] = turns[row : row + 2 * reach + 1, column : column + 2 * reach + 1].max() + 1
        turns[row + reach, column + reach] = own[index]
    for turn in range(1, own.max() + 1):
        indices = np.flatnonzero(own == turn)
        for first in range(0, len(indices), together):
            yield indices[first : first + together]


def _bell(window: int) -> Array:
    """A Gaussian (window, window) about its middle."""
    offsets = np.arange(window) - window // 2
    line = np.exp(-(offsets**2) / (2 * (window / _BELL) ** 2))
    return np.outer(line, line)


def _hole(mask: Tensor | None, image: Tensor, example: Tensor, size: Size | None) -> Mask | None:
    """What of the image is to be filled, checked; None without a mask."""
    if mask is None:
        if image is not example:
            raise ImageError("got start without a mask; expected mask=, true where start is to be filled")
        return None
    check_image(image)
    if image.dim() != 3 or len(image) != len(example) or not image.isfinite().all():
        raise ImageError(
            f"got start of shape {tuple(image.shape)} for an example of {len(example)} channels; "
            "expected one image (C, H, W) of as many, without NaN"
        )
    if size is not None:
        raise ImageError(f"got size={size!r} and a mask; the result has the size of the image: leave size away")
    marked = mask.detach().cpu() > 0.5
    hole: Mask = (marked.any(0) if marked.dim() == 3 else marked).numpy()
    if hole.shape != image.shape[1:]:
        raise ImageError(
            f"got a mask of shape {tuple(mask.shape)} for an image of shape {tuple(image.shape)}; "
            f"expected {tuple(image.shape[1:])}, true where to fill"
        )
    if hole.all() or not hole.any():
        what = "everything, so that nothing is known around it" if hole.all() else "nothing"
        raise ImageError(f"got a mask that marks {what}; expected one that is true where to fill and false elsewhere")
    return hole
