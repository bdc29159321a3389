"""A map of numbers laid over the photograph it is about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.errors import ImageError
from convscope.image.viewable import viewable
from convscope.render.colours import Scale, to_array
from convscope.render.heatmap import resample, to_map
from convscope.render.legend import LEGEND_MINIMUM, colour_bar, with_legend

_COLOUR_KEPT = 0.35
_DIMMED = 0.85
# Below 1, so that the middle of the scale is not mistaken for a tint of the photograph.
_GROWTH = 0.75
_LUMA = np.array([0.2126, 0.7152, 0.0722])


def overlay(
    image: Any,
    values: Any,
    *,
    scale: Scale | None = None,
    strength: float = 0.6,
    smooth: bool = True,
    legend: str | None = None,
) -> Image.Image:
    """Lay a map (h, w) over an image (C, H, W) in [0, 1]; where the map says nothing, the photograph shows.

    The photograph is paler and darker beneath, so that colour means the map. Opacity grows with the magnitude, from
    none at 0 to `strength` (0 to 1) at the scale's ends and wherever a value isn't finite. The map is brought to the
    image's size, between its pixels straight lines, or squares unless `smooth`. `legend` names the unit and adds a
    colour bar. Raises `ImageError` for other shapes or strengths.

    >>> overlay(np.zeros((3, 60, 80)), [[0.0, 1.0]]).size
    (80, 60)
    """
    if not 0 <= strength <= 1:
        raise ImageError(f"strength {strength}; expected 0 (only the photograph) to 1 (opaque at the scale's ends)")
    photograph = _to_rgb(image)
    array = to_map(values)
    used = scale or Scale.of(array)
    position = resample(used.position(array), photograph.shape[:2], smooth=smooth)
    opacity = (strength * _magnitude(position, diverging=used.diverging) ** _GROWTH)[..., None]
    mixed = (1 - opacity) * _subdued(photograph) + opacity * used.paint(position)
    picture = Image.fromarray(np.rint(mixed).astype(np.uint8))
    if legend is None:
        return picture
    return with_legend(picture, colour_bar(used, max(picture.width, LEGEND_MINIMUM), unit=legend, values=array))


def _to_rgb(image: Any) -> NDArray[np.float64]:
    """An image (C, H, W) in [0, 1] as (H, W, 3) in [0, 255], as `viewable` shows it."""
    array = to_array(image)
    if array.ndim != 3 or array.size == 0:
        raise ImageError(f"an image of shape {array.shape}; expected (channels, height, width), one image of a batch")
    seen = np.broadcast_to(viewable(array), (3, *array.shape[1:]))
    return np.clip(np.nan_to_num(seen), 0, 1).transpose(1, 2, 0) * 255


def _subdued(photograph: NDArray[np.float64]) -> NDArray[np.float64]:
    grey = (photograph @ _LUMA)[..., None]
    return np.asarray(_DIMMED * (_COLOUR_KEPT * photograph + (1 - _COLOUR_KEPT) * grey))


def _magnitude(position: NDArray[np.float64], *, diverging: bool) -> NDArray[np.float64]:
    """How far a position lies from zero's place on the scale, in [0, 1]; 1 where it is NaN."""
    far = np.abs(2 * position - 1) if diverging else position
    return np.nan_to_num(far, nan=1.0)
