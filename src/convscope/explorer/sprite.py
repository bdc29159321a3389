"""Maps as small pictures of palette colours: all channels of a layer in one, fast enough for each frame of a camera."""

import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.render.colours import INVALID, Scale

LEVELS = 254
"""Steps of the scale: a pixel p stands for low + (high − low) · p / 254, and 255 for what is not a number."""

_QUICK = 1


@dataclass(frozen=True)
class Sprite:
    """Every channel as a cell of `rows × columns` pixels, `across` in a line, without gaps, row by row.

    `lows` and `highs` are the ends of each channel's scale.
    """

    png: bytes
    rows: int
    columns: int
    across: int
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    diverging: bool


def sprite(maps: Tensor, *, shared: bool, cell: int = 64) -> Sprite:
    """Maps `(C, h, w)` as one PNG; those with more than `cell` rows or columns are averaged down to that.

    `shared`: all on one scale; else each on its own. If any value is negative, all are blue to red about 0.
    """
    count, height, width = maps.shape
    small = maps
    if max(height, width) > cell:
        factor = cell / max(height, width)
        small = F.interpolate(maps[None], (max(1, round(height * factor)), max(1, round(width * factor))), mode="area")
        small = small[0]
    values: NDArray[np.float32] = small.numpy()
    known = np.isfinite(values)
    plain = np.where(known, values, 0)
    diverging = bool((plain < 0).any())
    ends = np.abs(plain).max(axis=(1, 2)) if diverging else plain.max(axis=(1, 2))
    if shared:
        ends = np.full_like(ends, ends.max())
    ends = np.where(ends > np.finfo(np.float32).tiny, ends, 1).astype(np.float32)[:, None, None]
    position = (plain / ends + 1) / 2 if diverging else plain / ends
    levels = np.where(known, np.rint(np.clip(position, 0, 1) * LEVELS), 255).astype(np.uint8)
    rows, columns = levels.shape[1:]
    across = min(count, max(1, round(math.sqrt(count * rows / columns))))
    down = math.ceil(count / across)
    # Cells without a channel look like nothing at all: like 0.
    cells = np.full((down * across, rows, columns), LEVELS // 2 if diverging else 0, np.uint8)
    cells[:count] = levels
    sheet = cells.reshape(down, across, rows, columns).swapaxes(1, 2).reshape(down * rows, across * columns)
    highs = tuple(float(each) for each in ends.ravel())
    lows = tuple(-each for each in highs) if diverging else (0.0,) * count
    return Sprite(_png(sheet, diverging), rows, columns, across, lows, highs, diverging)


def map_png(values: Tensor, scale: Scale, *, clear: bool = False) -> bytes:
    """One map `(h, w)` as a PNG of as many pixels, by a scale: a page enlarges it and reads the values from it.

    With `clear`, what is not a number is not to be seen.
    """
    array = values.detach().float().cpu().numpy()
    known = np.isfinite(array)
    position = np.clip((np.where(known, array, 0) - scale.low) / (scale.high - scale.low), 0, 1)
    levels = np.where(known, np.rint(position * LEVELS), 255).astype(np.uint8)
    return _png(levels, scale.diverging, clear=clear)


def _png(levels: NDArray[np.uint8], diverging: bool, *, clear: bool = False) -> bytes:
    picture = Image.fromarray(levels, "L")
    picture.putpalette(_PALETTES[diverging])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=_QUICK, **({"transparency": LEVELS + 1} if clear else {}))
    return buffer.getvalue()


def _palette(scale: Scale) -> bytes:
    """The colours of a scale in so many steps, and last that of what is not a number."""
    colours = scale.colour(np.linspace(scale.low, scale.high, LEVELS + 1))
    return colours.tobytes() + bytes(INVALID)


def palettes() -> dict[str, Any]:
    """The colours of both scales, 255 each, and that of what is not a number, as "#rrggbb"."""
    sequential, diverging = (_hexadecimal(_PALETTES[each])[:-1] for each in (False, True))
    return {"sequential": sequential, "diverging": diverging, "invalid": _hexadecimal(bytes(INVALID))[0]}


def _hexadecimal(palette: bytes) -> list[str]:
    return [f"#{palette[at : at + 3].hex()}" for at in range(0, len(palette), 3)]


_PALETTES = {False: _palette(Scale(0.0, 1.0)), True: _palette(Scale(-1.0, 1.0))}
