"""How images become what a module is fed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from convscope.errors import NetworkError

ChannelOrder = Literal["RGB", "BGR"]


@dataclass(frozen=True)
class Normalization:
    """The usual normalization: channel order, then value range, then `(x - mean) / std`, channel by channel.

    `value_range` is what 0 and 1 of the image become before `mean` is subtracted; `mean` and `std` are in those units.

    >>> import torch
    >>> Normalization(value_range=(-1, 1))(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)).flatten().tolist()
    [-1.0, 0.0, 1.0]
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    value_range: tuple[float, float] = (0.0, 1.0)
    channel_order: ChannelOrder = "RGB"

    @classmethod
    def checked(
        cls,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        value_range: Sequence[float],
        channel_order: ChannelOrder,
        *,
        channels: int,
    ) -> "Normalization":
        """One for images of so many channels. Raises NetworkError for numbers that don't fit them."""
        for what, numbers in (("mean", mean), ("std", std)):
            if numbers is not None and len(numbers) not in (1, channels):
                raise NetworkError(f"{what} has {len(numbers)} numbers for {channels} channels")
        if std is not None and 0 in std:
            raise NetworkError(f"std={tuple(std)} holds a 0; the image is divided by it")
        if len(value_range) != 2 or value_range[0] == value_range[1]:
            raise NetworkError(
                f"value_range={tuple(value_range)}; expected what 0 and 1 become, as (-1, 1) or (0, 255)"
            )
        if channel_order not in get_args(ChannelOrder) or (channel_order == "BGR" and channels != 3):
            raise NetworkError(
                f"channel_order={channel_order!r} for {channels} channels; expected RGB, or BGR for three"
            )
        low, high = value_range
        return cls(tuple(mean) if mean else None, tuple(std) if std else None, (low, high), channel_order)

    def __call__(self, batch: Tensor) -> Tensor:
        """A batch `(N, C, H, W)` in [0, 1] as the module is fed it; never the batch itself."""
        low, high = self.value_range
        fed = batch.flip(-3) if self.channel_order == "BGR" else batch
        fed = fed * (high - low)
        if low:
            fed += low
        if self.mean is not None:
            fed -= fed.new_tensor(self.mean)[:, None, None]
        if self.std is not None:
            fed /= fed.new_tensor(self.std)[:, None, None]
        return fed
