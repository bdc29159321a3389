"""What all kinds of jobs are made with: their parts, and pictures as they are kept."""

import io
import math
from dataclasses import dataclass
from typing import Any

from PIL import Image

from convscope.explorer.cache import Outcome
from convscope.explorer.jobs import Draw, Work
from convscope.explorer.results import Result
from convscope.image.write import png_bytes
from convscope.render.result import Pictured


@dataclass(frozen=True)
class Prepared:
    """The `key` by which a result is found again, the `work` that makes it, and how `draw` shows its previews.

    It is done in the background if it stands `behind` the others, and whatever was kept by that key if `anew`.
    """

    key: str
    work: Work
    draw: Draw | None = None
    behind: bool = False
    anew: bool = False


def outcome(told: Result, pictures: dict[str, bytes] | None = None) -> Outcome:
    """A result to be kept."""
    return Outcome(told.model_dump(mode="json"), pictures or {})


def png(picture: Image.Image) -> bytes:
    """A picture as PNG, quickly."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def download(made: Pictured, **options: Any) -> bytes:
    """The picture as it is saved, with its recipe inside."""
    return png_bytes(made.picture(**options), made.recipe.with_picture(**options))


def finite(value: float) -> float | None:
    """What JSON can hold; None for what it can't."""
    return float(value) if math.isfinite(value) else None
