"""Where a tensor came from: a side table from images to the files they were read from."""

import hashlib
from collections.abc import MutableMapping
from threading import Lock

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from convscope.image.recipe import Input

_origins: MutableMapping[Tensor, tuple[Input, int | str]] = WeakTensorKeyDictionary()
_lock = Lock()


def remember(tensor: Tensor, origin: Input) -> Tensor:
    """Note that `tensor`, as it now is, came from `origin`; returns the same tensor."""
    state = _state(tensor)
    with _lock:
        _origins[tensor] = (origin, state)
    return tensor


def recall(tensor: Tensor) -> Input:
    """The Input that `tensor` was remembered with; a nameless one with its checksum if there is none.

    A tensor changed in place since then is forgotten. A change that PyTorch can't see, through a NumPy array on the
    same memory, goes unnoticed.

    >>> image = remember(torch.zeros(3, 2, 2), Input("black.png", "9f86d081"))
    >>> recall(image).name
    'black.png'
    >>> print(recall(image.add_(1)).name)
    None
    """
    return remembered(tensor) or Input(None, checksum(tensor))


def remembered(tensor: Tensor) -> Input | None:
    """The Input that `tensor` was remembered with, if it has not changed since; costs no look at its values."""
    with _lock:
        known = _origins.get(tensor)
    return known[0] if known is not None and known[1] == _state(tensor) else None


def checksum(tensor: Tensor) -> str:
    """SHA-256, in hexadecimal, of a tensor's type, shape and values, wherever it lies and however it is laid out.

    >>> checksum(torch.zeros(2, 3)) == checksum(torch.zeros(3, 2).T)
    True
    >>> checksum(torch.zeros(2, 3)) == checksum(torch.zeros(3, 2))
    False
    """
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
    # Through uint8, since NumPy has no bfloat16; flat, since a tensor without dimensions has no bytes to view.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _state(tensor: Tensor) -> int | str:
    """Differs after a change in place: the version counter, or where there is none the checksum."""
    return checksum(tensor) if tensor.is_inference() else int(tensor._version)
