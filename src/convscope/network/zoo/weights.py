"""Weights files: read without running any code of theirs, and found inside checkpoints."""

import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from convscope.errors import WeightsError, nearest

# What training scripts call the weights, the likeliest first: trained weights before their moving averages.
STATE_NAMES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "ema",
    "ema_state_dict",
    "model_ema",
    "state_dict_ema",
    "params_ema",
)
# Their moments have the shapes of weights, but aren't.
NOT_WEIGHTS = re.compile("optim|sched|scaler|loss|criterion", re.IGNORECASE)
# A file can hold a mapping that holds itself.
DEEPEST = 4

ZIP_MAGIC = b"PK\x03\x04"
# The number by which torch.save marked its files before it wrote archives, as pickle protocol 2 spells it.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state_dict(path: str | Path, *, key: str | None = None) -> dict[str, Tensor]:
    """The weights in a safetensors file or a file of `torch.save`, told apart by content, not by name.

    Nothing in the file is ever run: what needs more than tensors and plain containers is refused. Inside a training
    checkpoint the weights are looked for under the usual names.

    Parameters
    ----------
    key
        Where in the checkpoint the weights are, such as `"generator"` or `"ema.state_dict"`; or what the names of
        the wanted weights begin with.

    Raises
    ------
    WeightsError
        The file can't be read, would run code, or holds no weights, or several and no `key` was given.
    """
    path = Path(path)
    content = _read(path)
    found = dict(_state_dicts(content)) if isinstance(content, Mapping) else {}
    if not found:
        held = "no tensors by name" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise WeightsError(f"{path.name} holds {held}; expected a state dict: names and their tensors")
    if key is not None:
        return _under(found, key, path.name)
    if len(found) == 1:
        return next(iter(found.values()))
    for name in STATE_NAMES:
        inside = [each for each in found if each.split(".")[0] == name]
        if len(inside) == 1:
            return found[inside[0]]
    raise WeightsError(
        f"{path.name} holds several sets of weights; name one as the weights key: {', '.join(filter(None, found))}"
    )


def _under(found: Mapping[str, dict[str, Tensor]], key: str, file: str) -> dict[str, Tensor]:
    inside = [name for name in found if name.startswith(f"{key}.")]
    if key in found or len(inside) == 1:
        return found[key] if key in found else found[inside[0]]
    for state in found.values():
        beginning = {name.removeprefix(f"{key}."): value for name, value in state.items() if name.startswith(f"{key}.")}
        if beginning:
            return beginning
    beginnings = {name.split(".")[0] for state in found.values() for name in state}
    known = inside or [name for name in (*found, *sorted(beginnings)) if name]
    raise WeightsError(f"{file} has no one set of weights under {key!r}; {nearest(key, known)}")


def _state_dicts(content: Mapping[Any, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each mapping with tensors by name, with its dotted path in the checkpoint."""
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    # A number alone, such as the epoch, is no weight.
    if any(value.ndim for value in tensors.values()):
        yield ".".join(path), tensors
    for key, value in content.items():
        if isinstance(value, Mapping) and not NOT_WEIGHTS.search(str(key)) and len(path) < DEEPEST:
            yield from _state_dicts(value, (*path, str(key)))


def _read(path: Path) -> object:
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if _is_safetensors(start, path.stat().st_size):
            return safetensors.torch.load_file(path)
        return _read_torch(path, start)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror or error}") from error
    except UnpicklingError as error:
        raise _refusal(path, str(error)) from error
    except WeightsError:
        raise
    except Exception as error:  # the readers of damaged files raise whatever they stumble over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path.name} is damaged or cut short ({reason}); get it again") from error


def _is_safetensors(start: bytes, size: int) -> bool:
    return len(start) > 8 and start[8:9] == b"{" and struct.unpack("<Q", start[:8])[0] <= size


def _read_torch(path: Path, start: bytes) -> object:
    members = _members(path) if start.startswith(ZIP_MAGIC) else set()
    if "constants.pkl" in members:
        raise WeightsError(
            f"{path.name} is a TorchScript archive, a program with its weights; expected the weights alone: "
            f'torch.save(torch.jit.load("{path.name}").state_dict(), "{path.stem}-weights.pth")'
        )
    if "data.pkl" not in members and not start.startswith(LEGACY_MAGIC):
        raise WeightsError(f"{path.name} is {_nature(start)}; expected a safetensors file or one of torch.save")
    with warnings.catch_warnings():
        # It warns of pickle protocols that it then either reads or refuses, which says it all.
        warnings.simplefilter("ignore", UserWarning)
        # Of a path, it would believe the suffix.
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)


def _members(path: Path) -> set[str]:
    """The files in an archive of torch.save, without the folder that holds them all."""
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2] for name in archive.namelist()}


def _nature(start: bytes) -> str:
    if not start:
        return "empty"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it stands for (git lfs pull fetches that)"
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras writes them"
    if start.startswith(b"\x80"):
        return "a pickle that torch.save didn't write"
    return "not a file of weights"


def _refusal(path: Path, message: str) -> WeightsError:
    refused = re.search(r"GLOBAL (\S+)", message)
    unsupported = re.search(r"Unsupported [^\n]*", message)
    if refused:
        reason = f"holds an object of class {refused[1]}, and to read that would run code from the file"
    else:
        reason = f"is pickled in a way that can't be read safely ({unsupported[0] if unsupported else message})"
    return WeightsError(
        f"{path.name} {reason}; expected tensors only. Whoever trusts the file converts it once, in Python with torch "
        "(instead of its state_dict, a whole model's .state_dict()):\n"
        # With a semicolon, since the command line joins the two.
        f'    state = torch.load("{path.name}", weights_only=False)["state_dict"];\n'
        f'    torch.save(state, "{path.stem}-weights.pth")'
    )
