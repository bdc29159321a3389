"""Random small networks in double precision, of whatever convolutional networks are built from; each of them runs."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from tests.random_pieces import CHANNELS, LOCAL, PIECES, Function, Shape, Sketch, convolution
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[int, int]]

KINDS = frozenset("""
    convolution|grouped|depthwise|dilated|strided|padded|padding more than half|padding same|asymmetric kernel
    kernel 1 stride 2|reflecting|functional convolution|transposed|output padding|pad|pad reflect|pad replicate|crop
    batch norm|functional batch norm|group norm|relu|relu6|silu|sigmoid|leaky relu|prelu|gelu|hardswish|in place
    max pooling|ceil mode|dilated pooling|padded pooling|average pooling|pads not counted|divisor|adaptive pooling
    adaptive max pooling|add|add in place|multiply|subtract|gate|gate in place|concatenation|pooled branch|split|slice
    skip|scalar|scalar in place|channel offset|upsampling|smooth upsampling|softmax|local response norm
    global mean|global max|flatten|hidden layer|dense output
""".replace("\n", "|").replace("    ", "").strip("|").split("|"))  # fmt: skip


class RandomNetwork(nn.Module):
    """Stages one after another, some of which also see the output of an earlier one, and a head.

    `kinds` says what it is made of, of `KINDS`.
    """

    def __init__(self, stages: list[nn.Module], skips: dict[int, int], head: nn.Module, kinds: frozenset[str]) -> None:
        super().__init__()
        self.stages, self.head = nn.ModuleList(stages), head
        self.skips, self.kinds = skips, kinds

    def forward(self, x: Tensor) -> Any:
        seen: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in self.skips:
                x = _with_skip(x, seen[self.skips[index]])
            seen.append(x)
        return self.head(x)


def _with_skip(x: Tensor, early: Tensor) -> Tensor:
    """Added where the shapes agree; otherwise brought to the size and put beside it."""
    if early.shape == x.shape:
        return x + early
    return torch.cat([x, F.adaptive_avg_pool2d(early, (x.shape[2], x.shape[3]))], 1)


def head(sketch: Sketch, shape: Shape) -> nn.Module:
    """Global pooling or flattening before a linear layer, or maps."""
    channels, rows, columns = shape
    kinds = ("global mean", "global mean", "dense output", "global max", "flatten")
    kind = sketch.one_of(*(kinds[:3] if sketch.local else kinds))
    sketch.note(kind)
    if kind == "dense output":
        return nn.Conv2d(channels, 3, 1)
    pools: dict[str, list[nn.Module]] = {
        "global mean": [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if sketch.flag() else [Function("mean", _mean)],
        "global max": [Function("amax", lambda x: x.amax((2, 3)))],
        "flatten": [nn.Flatten()],
    }
    width = channels * rows * columns if kind == "flatten" else channels
    hidden = [nn.Linear(width, 5), nn.ReLU()] if sketch.flag("hidden layer") else []
    return nn.Sequential(*pools[kind], *hidden, nn.Linear(5 if hidden else width, 3))


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


@st.composite
def modules(
    draw: Callable[[st.SearchStrategy[Any]], Any], *, least: int = 8, most: int = 40, local: bool = False
) -> Made:
    """A random network in evaluation mode and double precision, and the size of its images, of three channels.

    It returns three numbers an image, or for a dense output three maps. See `Sketch` for `local`.
    """
    sketch = Sketch(draw, local)
    size = sketch.pair(least, most)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(sketch.integer(0, 2**16))
        x = torch.rand(1, 3, *size)
        stages: list[nn.Module] = []
        skips: dict[int, int] = {}
        seen: list[Tensor] = []
        for index in range(sketch.integer(2, 8)):
            piece = convolution if index == 0 or x.shape[1] > CHANNELS else sketch.one_of(*(LOCAL if local else PIECES))
            stages.append(piece(sketch, (x.shape[1], x.shape[2], x.shape[3])).eval())
            with warnings.catch_warnings(action="ignore"):  # torch says once that padding "same" may copy
                x = stages[-1](x.clone())
            early = [at for at, each in enumerate(seen) if not local or each.shape == x.shape]
            if early and sketch.now_and_then():
                skips[index] = sketch.one_of(*early)
                x = _with_skip(x, seen[skips[index]])
                sketch.note("skip")
            seen.append(x)
        last = head(sketch, (x.shape[1], x.shape[2], x.shape[3]))
        module = RandomNetwork(stages, skips, last, frozenset(sketch.kinds)).eval().double()
    return module, size
