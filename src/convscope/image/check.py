"""Telling an image from what is none."""

from convscope.errors import ImageError


def check_image(image: object, *, channels: int | None = None) -> None:
    """Raise ImageError unless `image` is a float tensor (C, H, W) or (N, C, H, W) that has pixels.

    With `channels`, C must be that many. Values are not looked at.

    >>> import torch
    >>> check_image(torch.zeros(3, 5, 7, dtype=torch.uint8))
    Traceback (most recent call last):
    convscope.errors.ImageError: got torch.uint8, expected an image of floats in [0, 1]: convert it with .float() / 255
    """
    import torch

    expected = "expected a float tensor (C, H, W) or (N, C, H, W)"
    if not isinstance(image, torch.Tensor):
        advice = "read a file with read_image, turn an array into a tensor with torch.from_numpy"
        raise ImageError(f"got {type(image).__name__}, {expected}: {advice}")
    shape = tuple(image.shape)
    if image.ndim not in (3, 4):
        raise ImageError(
            f"got a tensor of shape {shape}, {expected}: give a grey picture its channel with .unsqueeze(0)"
        )
    if not image.is_floating_point():
        advice = "convert it with .float() / 255" if image.dtype == torch.uint8 else "convert and scale it"
        raise ImageError(f"got {image.dtype}, expected an image of floats in [0, 1]: {advice}")
    if image.numel() == 0:
        raise ImageError(f"got an image without pixels, of shape {shape}, {expected}")
    if channels is not None and shape[-3] != channels:
        advice = ": bring the channels to the front with .movedim(-1, -3)" if shape[-1] == channels else ""
        raise ImageError(f"got an image of {shape[-3]} channels, of shape {shape}, expected {channels}{advice}")
