"""Choosing where to compute."""

import torch

from convscope.errors import NetworkError


def find_device(name: str = "auto") -> torch.device:
    """The device of that name; for "auto" a CUDA device if there is one, else Apple's (MPS), else the processor.

    Raises NetworkError for a device that is not here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise NetworkError(f"device {name!r} can't be used here ({first}); try 'auto' or 'cpu'") from error
    return device
