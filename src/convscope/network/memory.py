"""Memory: what a forward and backward pass will need, and what there is, known before it runs out."""

import math
from pathlib import Path

import torch

from convscope.errors import NetworkError
from convscope.network.engine import lean
from convscope.network.network import Network
from convscope.network.trace import tensors_in

# What is there must not be taken to the last byte: the machine has other work, and the estimate is one.
_SHARE = 0.9
# A new size is tried first, without gradients: about as much as passes of so many.
_TRACED = 2
_CGROUP = Path("/sys/fs/cgroup")


def bytes_needed(network: Network, shape: tuple[int, int, int], count: int, *, layers: tuple[str, ...] = ()) -> int:
    """About what passes forward and back of `count` images of `shape` `(C, H, W)` hold at once, weights left out.

    Up to `layers`, or through the whole network without any. It is what every call on the way returns, measured at the
    network's input size and taken to grow with the image's area; 0 where the network can't be traced.
    """
    seen = (network.channels, *network.input_size)
    traced = network.graph(seen)
    if traced is None:
        return 0
    fed = network.feed(torch.zeros(1, *seen))
    graph = lean(traced, fed)
    names = [network.layers[name].name for name in layers]
    with torch.no_grad():
        values = graph.values(fed)
    run = (index for index in graph.order((0,), names, whole=not names) if not graph.constant[index])
    held = sum(each.numel() * each.element_size() for index in run for each in tensors_in(values[index]))
    return math.ceil(held * count * math.prod(shape) / math.prod(seen))


def bytes_free(device: torch.device) -> int | None:
    """What may still be taken on a device, as far as the system tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    return min((each for each in (_system_free(), _group_free()) if each is not None), default=None)


def check_memory(
    network: Network,
    shape: tuple[int, int, int],
    count: int,
    *,
    layers: tuple[str, ...] = (),
    beside: int = 0,
    window: tuple[int, int] | None = None,
) -> None:
    """Raise NetworkError where passes over `count` images of `shape` would need more memory than is free.

    `beside` are bytes that are held all along, such as an optimizer's; `window` is what a pass sees of larger images.
    """
    seen = (shape[0], *(window or shape[1:]))
    passes = bytes_needed(network, seen, max(count, _TRACED), layers=layers)
    free = bytes_free(network.device)
    if free is not None and passes + beside > _SHARE * free:
        rows, columns = shape[1:]
        fixed, growing = (0, passes + beside) if window is None else (passes, beside)
        smaller = math.sqrt(max(_SHARE * free - fixed, 0) / growing) if growing else 0
        raise NetworkError(
            f"{count} of {rows} × {columns} through {network.name} need about {_gibibytes(passes + beside)} and "
            f"{_gibibytes(free)} are free; take fewer at once, or at most {int(rows * smaller)} × "
            f"{int(columns * smaller)}"
        )


def _system_free() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return next(found, None)


def _group_free() -> int | None:
    """Of a container's share."""
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return None if limit == "max" else int(limit) - int(used)
    except (OSError, ValueError):
        return None


def _gibibytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
