"""Images of any number of channels, made such that they can be looked at."""

from typing import TYPE_CHECKING, TypeVar

from convscope.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_Image = TypeVar("_Image", "Tensor", "NDArray[np.float64]")


def viewable(image: _Image) -> _Image:
    """An image (…, C, H, W), tensor or array, as one of colours (…, 3, H, W) or grey (…, 1, H, W).

    One channel is grey and three are colours, as they are; of two the mean is grey; of four or more the first three
    are taken for red, green and blue, whatever they are. Raises ImageError if there are no channels.

    >>> import torch
    >>> viewable(torch.zeros(12, 5, 7)).shape
    torch.Size([3, 5, 7])
    """
    if image.ndim < 3 or image.shape[-3] < 1:
        raise ImageError(f"got an image of shape {tuple(image.shape)}, expected (C, H, W) or (N, C, H, W)")
    channels = image.shape[-3]
    if channels == 2:
        return (image[..., :1, :, :] + image[..., 1:, :, :]) / 2
    return image[..., :3, :, :] if channels > 3 else image
