"""What those who write a film to a container have in common."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from convscope.errors import ImageError
from convscope.image.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a film is written; see `write_film`."""

    frames_per_second: Fraction
    loop: bool
    quality: int
    recipe: Recipe | None


Size: TypeAlias = tuple[int, int]
Add: TypeAlias = Callable[[Image.Image], None]
"""Writes one more frame, an RGB or grey picture."""
Sink: TypeAlias = Callable[[Path, Size, Encoding], AbstractContextManager[Add]]
"""Begins a file for frames of so many rows and columns, and makes it whole in the end."""


def check_sides(size: Size, most: int, container: str) -> None:
    """Raise ImageError if a side is longer than the container can say."""
    if max(size) > most:
        reason = f"{container} has at most {most}: make them smaller"
        raise ImageError(f"frames have {size[0]} rows and {size[1]} columns, and {reason}")
