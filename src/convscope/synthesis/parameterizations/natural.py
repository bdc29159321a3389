"""What natural images have in common: how their colours go together, and how strong each frequency is.

The numbers were measured on 259 photographs of ImageNet's classes by `benchmarks/natural_statistics.py`.
"""

from functools import cache

import torch
from torch import Tensor

Shape = tuple[int, int, int]

# Uncorrelated axes of colour, a column each (lightness, red against blue, magenta against green), and the standard
# deviations of values in [0, 1] along them.
_AXES = ((0.5679, 0.7497, 0.3397), (0.5841, -0.0762, -0.8081), (0.5799, -0.6574, 0.4812))
_DEVIATIONS = (0.4502, 0.1385, 0.0695)

# Along each axis, the amplitude a · f^-b of an orthonormal Fourier transform at f cycles a pixel.
_AMPLITUDES = (0.0276, 1.249), (0.0066, 1.303), (0.0035, 1.272)


@cache
def _to_colours(*, scaled: bool) -> Tensor:
    axes = torch.tensor(_AXES, dtype=torch.float64)
    deviations = torch.tensor(_DEVIATIONS, dtype=torch.float64)
    return axes * deviations / deviations.max() if scaled else axes


def colours(planes: Tensor, *, scaled: bool = True) -> Tensor:
    """Uncorrelated planes `(N, 3, H, W)` as colours; `scaled`, a plane varies as much as it does in photographs.

    With other than three channels they are the channels themselves.
    """
    return planes if planes.shape[1] != 3 else _mixed(planes, _to_colours(scaled=scaled))


def planes(colours: Tensor, *, scaled: bool = True) -> Tensor:
    """The inverse of `colours`."""
    return colours if colours.shape[1] != 3 else _mixed(colours, torch.linalg.inv(_to_colours(scaled=scaled)))


def _mixed(values: Tensor, matrix: Tensor) -> Tensor:
    return torch.einsum("dc,nchw->ndhw", matrix.to(values), values)


def frequencies(rows: int, columns: int) -> Tensor:
    """Cycles a pixel of each place of `rfft2`, `(rows, columns // 2 + 1)`; the mean's is one cycle a picture."""
    radius = torch.hypot(
        torch.fft.fftfreq(rows, dtype=torch.float64)[:, None], torch.fft.rfftfreq(columns, dtype=torch.float64)
    )
    return radius.clamp(min=1 / max(rows, columns))


def amplitudes(shape: Shape) -> Tensor:
    """How strong photographs are at each frequency, `(C, H, W // 2 + 1)` along the axes; 0 for the mean."""
    channels, rows, columns = shape
    axes = _AMPLITUDES if channels == 3 else _AMPLITUDES[:1] * channels
    found = torch.stack([factor * frequencies(rows, columns) ** -power for factor, power in axes])
    found[:, 0, 0] = 0
    return found


def logit(images: Tensor) -> Tensor:
    """What a sigmoid brings to `images` in [0, 1], as near to the ends as eight bits tell."""
    return images.clamp(0.5 / 255, 1 - 0.5 / 255).logit()
