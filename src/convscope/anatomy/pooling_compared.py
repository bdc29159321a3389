"""Max and average pooling of the same map, side by side."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from convscope.anatomy.arithmetic import Arithmetic, Pair, pooling
from convscope.anatomy.matrix import captioned, matrix, side_by_side
from convscope.anatomy.sliding_product import Matrix
from convscope.errors import ImageError
from convscope.image.networkless import recipe_of
from convscope.image.recipe import Recipe
from convscope.render.colours import Scale
from convscope.render.grid import stack, title_strip
from convscope.render.heatmap import heatmap
from convscope.render.legend import colour_bar
from convscope.render.result import Pictured

MAP = (
    (1, 3, 0, 0, 0, 0),
    (2, 9, 0, 0, 0, 8),
    (0, 0, 4, 4, 0, 0),
    (0, 0, 4, 4, 0, 0),
    (7, 0, 1, 2, 5, 5),
    (0, 0, 3, 4, 5, 9),
)

_READABLE = 12
_CELL = 36
_SIDE = 260


@dataclass(frozen=True)
class PoolingCompared(Pictured):
    """A map (H, W) and what is left of it: the `largest` and the `mean` (rows, columns) of each window.

    `sizes` are the numbers behind: how large, and which pixels go unseen.
    """

    map: Tensor
    largest: Tensor
    mean: Tensor
    sizes: Arithmetic
    recipe: Recipe

    def picture(self) -> Image.Image:
        """The three on one scale; with their numbers where the map has 12 rows and columns at most."""
        parts = {"the map": self.map, f"largest of {self._window}": self.largest, f"mean of {self._window}": self.mean}
        scale = Scale.of(torch.cat([each.flatten() for each in parts.values()]))
        pictures = [
            captioned(
                _numbers(values, scale) if self._readable else heatmap(values, scale=scale, size=self._size), name
            )
            for name, values in parts.items()
        ]
        return stack(
            title_strip("Pooling: the largest of each window, or its mean"),
            side_by_side(pictures),
            colour_bar(scale, 240),
        )

    @property
    def _window(self) -> str:
        return f"{self.sizes.rows.kernel} × {self.sizes.columns.kernel}"

    @property
    def _readable(self) -> bool:
        return max(self.map.shape) <= _READABLE

    @property
    def _size(self) -> tuple[int, int]:
        """Of all three alike, so that a place stays in its place."""
        factor = max(1, round(_SIDE / max(self.map.shape)))
        return self.map.shape[0] * factor, self.map.shape[1] * factor


def pooling_compared(map: Matrix | None = None, kernel: Pair = 2, *, stride: Pair | None = None) -> PoolingCompared:
    """Pool one map (H, W) twice: max[i, j] and mean[i, j] of each window of `kernel` pixels, `stride` apart.

    The largest says *whether* something was there and how strongly; the mean fades what fills only a part of the
    window. Neither learns anything (see `pooling` for the sizes). `map` is any channel of an activation, by default a
    worked 6 × 6 example; its float type is kept. Raises `ImageError` for another shape, `LayerError` where the kernel
    doesn't fit.

    >>> result = pooling_compared([[1, 3, 0, 0], [2, 9, 0, 8]])
    >>> result.largest.tolist(), result.mean.tolist()
    ([[9.0, 8.0]], [[3.75, 2.0]])
    """
    values = torch.as_tensor(MAP if map is None else map).detach()
    if not values.is_floating_point():
        values = values.float()
    if values.ndim != 2 or values.numel() == 0:
        raise ImageError(f"a map of shape {tuple(values.shape)}; expected (rows, columns): one channel of one image")
    sizes = pooling(tuple(values.shape), kernel, stride=stride, channels=1)
    window = sizes.rows.kernel, sizes.columns.kernel
    strides = sizes.rows.stride, sizes.columns.stride
    parameters = {"map": values.tolist(), "kernel": window, "stride": strides}
    recipe = recipe_of("pooling_compared", parameters)
    return PoolingCompared(
        values,
        F.max_pool2d(values[None], window, strides)[0],
        F.avg_pool2d(values[None], window, strides)[0],
        sizes,
        recipe,
    )


def _numbers(values: Tensor, scale: Scale) -> Image.Image:
    return matrix(values, cell=_CELL, colours=torch.from_numpy(scale.colour(values)))
