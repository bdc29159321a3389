"""How a picture comes to a network: read with its channels and window, then brought to the size of its input."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convscope.image.check import check_image
from convscope.image.provenance import remember, remembered
from convscope.image.read import read_image
from convscope.image.recipe import JSON
from convscope.image.resize import CROP_FRACTION, Fit, Interpolation, Size, fit_image

_LUMINANCE = (0.299, 0.587, 0.114)
# A picture is read no smaller than so many times what it is scaled to, so that antialiasing decides what it shows.
_SPARE = 2


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Rows and columns of the input, and the options of `Network` that say how a picture is brought to them.

    >>> Preparation(input_size=(224, 224)).read("chelsea").shape
    torch.Size([3, 224, 224])
    """

    input_size: Size
    channels: int = 3
    fit: Fit = "crop"
    crop_fraction: float = CROP_FRACTION
    interpolation: Interpolation = "bicubic"
    window: tuple[float, float] | None = None

    def open(self, path: str | os.PathLike[str], *, page: int = 0) -> Tensor:
        """The picture at `path`, or a bundled photograph, with these channels and this window; of its own size."""
        return read_image(path, channels=self.channels, page=page, window=self.window)

    def read(self, path: str | os.PathLike[str], *, page: int = 0) -> Tensor:
        """The same brought to the input size."""
        return self.prepare(self.open(path, page=page))

    def prepare(self, image: Tensor) -> Tensor:
        """An image or batch in [0, 1] of any size brought to the input size, as `fit` says.

        One that has the input size already is returned as it is. Colours are made grey where there is one channel.
        Raises ImageError for what is no image, or has other channels.
        """
        check_image(image)
        prepared = image
        if self.channels == 1 and image.shape[-3] == 3:
            weights = torch.tensor(_LUMINANCE, dtype=image.dtype, device=image.device)
            prepared = (prepared * weights[:, None, None]).sum(dim=-3, keepdim=True)
        check_image(prepared, channels=self.channels)
        if tuple(prepared.shape[-2:]) != self.input_size:
            prepared = fit_image(
                prepared,
                self.input_size,
                fit=self.fit,
                crop_fraction=self.crop_fraction,
                interpolation=self.interpolation,
            )
        if prepared is not image and (origin := remembered(image)) is not None and origin.name is not None:
            remember(prepared, replace(origin, prepared=True))
        return prepared

    @property
    def at_least(self) -> Size:
        """Rows and columns down to which a picture may be read smaller than it is: twice what it is scaled to.

        >>> Preparation(input_size=(224, 224)).at_least
        (512, 512)
        """
        rows, columns = self.input_size
        fraction = self.crop_fraction if self.fit == "crop" else 1
        return round(_SPARE * rows / fraction), round(_SPARE * columns / fraction)

    def to_json(self) -> dict[str, JSON]:
        """As `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Preparation":
        """That of which `to_json` was written, also when it went through JSON text, which knows no tuples."""
        window = fields["window"]
        sizes = {"input_size": tuple(fields["input_size"]), "window": None if window is None else tuple(window)}
        return cls(**{**fields, **sizes})
