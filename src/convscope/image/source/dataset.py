"""Pictures of a torch Dataset."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.image.pillow import read_opened
from convscope.image.preparation import Preparation
from convscope.image.read import PIXEL_LIMIT
from convscope.image.resize import Size
from convscope.image.samples import Wanted
from convscope.image.source.labelling import Class
from convscope.image.source.source import Entry, Source

_IMAGE_KEYS = ("image", "img", "pixel_values", "picture")
_LABEL_KEYS = ("label", "labels", "target", "class")
# Interpolation overshoots a little; what was normalized goes far beyond.
_TOLERANCE = 1e-3


class Indexed(Protocol):
    """What a map-style Dataset has."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class DatasetSource(Source):
    """The items of a map-style torch Dataset, called by their numbers.

    An item is an image, or begins with an image and its class, or is a mapping of `image` and `label`. An image is a
    float tensor (C, H, W) in [0, 1], one of uint8, or a picture of Pillow; a class is a number, its name in
    `dataset.classes` if there are these, or a name. Where the data set has `targets`, they are its classes.
    """

    root = "the data set"

    def __init__(self, dataset: Indexed) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ImageError(
                f"got {type(dataset).__name__}, expected a Dataset with a length and numbered items: make a list of it"
            )
        self._dataset = dataset
        names = getattr(dataset, "classes", None)
        self._names = [str(name) for name in names] if isinstance(names, (list, tuple)) else None
        self._entries: list[Entry] | None = None

    def entries(self) -> Sequence[Entry]:
        """Raises ImageError if there is nothing. Without `targets` the classes are only told by `item`."""
        if self._entries is None:
            count = len(self._dataset)
            if count == 0:
                raise ImageError("the data set is empty; expected one item at least")
            targets = getattr(self._dataset, "targets", None)
            classes: list[Class] = [(None, None)] * count
            if isinstance(targets, (Sequence, Tensor)) and len(targets) == count:
                classes = [self._class(each) for each in targets]
            if any(each != (None, None) for each in classes):
                self.labels_from = "the data set"
            width = len(str(count - 1))
            self._entries = [Entry(f"{at:0{width}d}", *each) for at, each in enumerate(classes)]
        return self._entries

    def bytes(self, name: str) -> bytes:
        raise ImageError("an item of a data set has no file")

    def where(self, name: str) -> str:
        return f"item {int(name)} of {self.root}"

    def open(self, name: str, preparation: Preparation, *, at_least: Size | None = None) -> tuple[Tensor, Size]:
        return self.item(name, preparation)[:2]

    def item(self, name: str, preparation: Preparation) -> tuple[Tensor, Size, Class]:
        """The same as `open`, and the class that the item tells. Raises whatever the data set raises, too."""
        given, told = _parts(self._dataset[int(name)])
        image = as_image(given, preparation)
        return image, (image.shape[-2], image.shape[-1]), self._class(told)

    def _class(self, told: object) -> Class:
        if isinstance(told, Tensor) or hasattr(told, "item"):
            told = told.item() if getattr(told, "ndim", 0) == 0 else None
        if isinstance(told, str):
            return told, None
        if not isinstance(told, int) or isinstance(told, bool):
            return None, None
        return (self._names[told] if self._names and 0 <= told < len(self._names) else None), told


def _parts(item: Any) -> tuple[Any, Any]:
    """The image and the class in an item; None where it tells no class."""
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        return image, next((item[key] for key in _LABEL_KEYS if key in item), None)
    if isinstance(item, (tuple, list)):
        return (item[0] if item else None), (item[1] if len(item) > 1 else None)
    return item, None


def as_image(given: Any, preparation: Preparation) -> Tensor:
    """A tensor of floats or uint8, or a picture of Pillow, as an image. Raises ImageError for anything else."""
    if isinstance(given, Image.Image):
        wanted = Wanted(channels=preparation.channels, window=preparation.window, pixel_limit=PIXEL_LIMIT)
        return torch.from_numpy(read_opened(given, wanted))
    if not isinstance(given, Tensor):
        raise ImageError(f"got an item of {type(given).__name__}, expected a tensor (C, H, W) or a picture of Pillow")
    image = given.detach().cpu()
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    image = image[None] if image.ndim == 2 else image
    check_image(image)
    if image.ndim == 4:
        raise ImageError(f"got a batch of shape {tuple(image.shape)}, expected an image (C, H, W)")
    low, high = float(image.min()), float(image.max())
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        raise ImageError(
            f"its values go from {low:.4g} to {high:.4g}, expected 0 to 1: leave normalization to the network"
        )
    return image.float().clamp(0, 1).expand(3 if image.shape[0] == 1 and preparation.channels == 3 else -1, -1, -1)
