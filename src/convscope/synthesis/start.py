"""Where a climb starts: how large, and from what."""

import torch
from torch import Tensor

from convscope.errors import ImageError
from convscope.image.check import check_image
from convscope.image.resize import resize
from convscope.network.network import Network
from convscope.synthesis.optimize import neutral
from convscope.synthesis.parameterizations.natural import Shape
from convscope.synthesis.settings import Settings

STARTS = ("noise", "zero")


def image_shape(
    network: Network, size: int | tuple[int, int] | None, start: str | Tensor, *, enlarged: int = 1
) -> Shape:
    """The shape `(C, H, W)` of the images: the `size` asked for, that of the start, or the network's input `enlarged`.

    Raises ImageError for a size or a start that is none.
    """
    if isinstance(start, str):
        if start not in STARTS:
            raise ImageError(f"no start {start!r}; expected {', '.join(STARTS)}, or an image")
    else:
        check_image(start, channels=network.channels)
    if isinstance(start, str):
        own = network.input_size[0] * enlarged, network.input_size[1] * enlarged
    else:
        own = start.shape[-2], start.shape[-1]
    rows, columns = own if size is None else (size, size) if isinstance(size, int) else size
    if min(rows, columns) < 1:
        raise ImageError(f"got a size of {rows} × {columns}, expected at least 1 × 1")
    return network.channels, rows, columns


def started(
    network: Network,
    start: str | Tensor,
    settings: Settings,
    shape: Shape,
    random: list[torch.Generator],
    chunk: slice = slice(None),
) -> Tensor:
    """The parameters of so many images as there are random numbers; of a batch of starts, those of the `chunk`."""
    form, count = settings.parameterization, len(random)
    if isinstance(start, str) and start == "noise":
        return form.noise(shape, random).to(network.device, network.dtype)
    if isinstance(start, str):
        images = neutral(network).expand(count, *shape)
    else:
        images = start[None].expand(count, *start.shape) if start.dim() == 3 else start[chunk]
        if len(images) != count:
            raise ImageError(f"got {len(start)} images to start from, expected one, or one for each image to be made")
        images = images if tuple(images.shape[1:]) == shape else resize(images, shape[1:])
    return form.start(images.to(network.device, network.dtype))


def draws(seed: int, count: int) -> list[torch.Generator]:
    """Random numbers for each image: the third of seed 0 is the first of seed 2."""
    return [torch.Generator().manual_seed(seed + index) for index in range(count)]
