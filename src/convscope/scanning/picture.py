"""One picture of a source, read and brought to a network's input."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError
from convscope.image.check import check_image
from convscope.image.preparation import Preparation
from convscope.image.resize import Size
from convscope.image.source.dataset import DatasetSource
from convscope.image.sources import Entry, Source

Loader: TypeAlias = Callable[[str], Tensor]
"""A network's own: path → image."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What reading an entry brought: the picture, or the reason why there is none.

    `image` is float32 (C, H, W) as the network takes it, `thumbnail` uint8 (3, side, side) the whole picture, averaged
    over areas, `size` the rows and columns of the picture in its file, upright.
    """

    entry: Entry
    image: Tensor | None
    thumbnail: Tensor | None
    size: Size
    reason: str | None = None


def unread(entry: Entry, reason: str) -> Reading:
    """The reading of what can't be read."""
    return Reading(entry, None, None, (0, 0), reason)


def read_entry(
    source: Source, entry: Entry, preparation: Preparation, *, thumbnail: int, loader: Loader | None = None
) -> Reading:
    """Read an entry, with `loader` instead of the source's own way; whatever goes wrong becomes the reason."""
    try:
        picture, size, entry = _opened(source, entry, preparation, loader)
        image = preparation.prepare(picture).float()
        return Reading(entry, image, thumbnail_of(picture, thumbnail), size)
    except ConvscopeError as error:
        return unread(entry, str(error))
    except MemoryError:
        return unread(entry, "it takes more memory than there is")
    except Exception as error:  # a user's loader or data set may raise anything
        return unread(entry, f"{type(error).__name__}: {' '.join(str(error).split())}")


def _opened(
    source: Source, entry: Entry, preparation: Preparation, loader: Loader | None
) -> tuple[Tensor, Size, Entry]:
    """The picture, its size in the file, and the entry with the class that only the item tells."""
    if loader is not None:
        if (path := source.path(entry.name)) is None:
            raise ImageError("it is no file on this machine; expected one, which the network's loader can open")
        picture = loader(str(path))
        check_image(picture)
    elif isinstance(source, DatasetSource):
        picture, size, (label, index) = source.item(entry.name, preparation)
        if (label, index) != (None, None):
            entry = replace(entry, label=label, index=index)
        return picture, size, entry
    else:
        return *source.open(entry.name, preparation, at_least=preparation.at_least), entry
    if picture.ndim != 3:
        raise ImageError(f"the network's loader gave {tuple(picture.shape)}, expected an image (C, H, W)")
    return picture, (picture.shape[1], picture.shape[2]), entry


def thumbnail_of(picture: Tensor, side: int) -> Tensor:
    """A picture (C, H, W) in [0, 1] averaged over areas to (3, side, side) levels 0 … 255, uint8.

    Other than three channels become one, their mean, repeated.

    >>> thumbnail_of(torch.ones(1, 100, 50), 32).shape
    torch.Size([3, 32, 32])
    """
    small = F.adaptive_avg_pool2d(picture.detach().cpu().float(), side)
    coloured = small if len(small) == 3 else small.mean(dim=0, keepdim=True).expand(3, -1, -1)
    return (coloured.clamp(0, 1) * 255).round().to(torch.uint8)
