"""The pieces of random networks: convolutions, pools, activations, branches, each drawn to fit what goes in."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Shape = tuple[int, int, int]
Mode = Literal["zeros", "reflect"]
T = TypeVar("T")

CHANNELS = 12
_LONGEST = 48


class Function(nn.Module):
    """A function as a stage; what it needs of weights are `parameters`."""

    def __init__(self, name: str, function: Callable[..., Tensor], *parameters: Tensor) -> None:
        super().__init__()
        self.name, self.function = name, function
        self.weights = nn.ParameterList([nn.Parameter(each, requires_grad=False) for each in parameters])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.function(x, *self.weights)
        return result

    def extra_repr(self) -> str:
        return self.name


class Join(nn.Module):
    """What a branch makes of the input, joined with the input itself or with what another makes of it."""

    def __init__(self, how: str, branch: nn.Module, other: nn.Module | None = None) -> None:
        super().__init__()
        self.how, self.branch, self.other = how, branch, other or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.branch(x)
        other: Tensor = self.other(x)
        if self.how == "concatenation":
            return torch.cat([other, branch], 1)
        if self.how == "add in place":
            branch += other
            return branch
        if self.how == "gate in place":
            return other.mul_(branch)
        joins: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "add": torch.add,
            "multiply": torch.mul,
            "gate": torch.mul,
            "subtract": torch.sub,
        }
        return joins[self.how](other, branch)

    def extra_repr(self) -> str:
        return self.how


class Split(nn.Module):
    """Some of the channels go through a branch and come back beside the others."""

    def __init__(self, branch: nn.Module, *, by: str) -> None:
        super().__init__()
        self.branch, self.by = branch, by

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        one, other = x.chunk(2, 1) if self.by == "split" else (x[:, :half], x[:, half:])
        return torch.cat([self.branch(one), other], 1)

    def extra_repr(self) -> str:
        return self.by


# Drawing -------------------------------------------------------------------------------------------------------------


@dataclass
class Sketch:
    """A network while it is drawn: what was drawn so far, by kind.

    One that is `local` has no call, before its head, that reads all of a map or moves its places otherwise than a
    window does.
    """

    draw: Callable[[st.SearchStrategy[Any]], Any]
    local: bool = False
    kinds: set[str] = field(default_factory=set)

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, max(low, high))))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.integer(low, high), self.integer(low, high)

    def one_of(self, *options: T) -> T:
        chosen: T = self.draw(st.sampled_from(options))
        return chosen

    def stride(self) -> tuple[int, int]:
        """Often 1, so that maps stay large enough for a window to change a part of them only."""
        return self.one_of((1, 1), (1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (3, 2))

    def now_and_then(self) -> bool:
        """Yes once in four times."""
        return self.one_of(1, 2, 3, 4) == 4

    def flag(self, kind: str = "") -> bool:
        """Yes or no; yes is noted as a kind."""
        chosen = bool(self.draw(st.booleans()))
        self.note(kind, chosen)
        return chosen

    def note(self, kind: str, is_so: bool = True) -> None:
        if kind and is_so:
            self.kinds.add(kind)


def convolution(sketch: Sketch, shape: Shape) -> nn.Module:
    channels, *lengths = shape
    grouping = sketch.one_of("", "", "grouped", "depthwise")
    groups = {"": 1, "grouped": _divisor(sketch, channels), "depthwise": channels}[grouping]
    filters = groups * sketch.integer(1, max(1, min(6, CHANNELS // groups)))
    sketch.note("convolution")
    sketch.note("depthwise" if groups == channels else "grouped", groups > 1)
    options: dict[str, Any] = {"groups": groups, "bias": sketch.flag(), "dilation": sketch.pair(1, 2)}
    mode: Mode = "zeros" if sketch.local else sketch.one_of("zeros", "zeros", "reflect")
    kernel = (sketch.integer(1, 5), sketch.integer(1, 5))
    if sketch.now_and_then():
        kernel, options["dilation"], options["stride"], options["padding"] = (1, 1), (1, 1), (2, 2), (0, 0)
        sketch.note("kernel 1 stride 2")
    else:
        kernel = tuple(min(k, 1 + (n - 1) // d) for k, n, d in zip(kernel, lengths, options["dilation"], strict=True))
        options |= _sliding(sketch, lengths, kernel, options["dilation"], mode)
    sketch.note("dilated", any(d > 1 and k > 1 for d, k in zip(options["dilation"], kernel, strict=True)))
    sketch.note("strided", max(options["stride"]) > 1)
    sketch.note("asymmetric kernel", kernel[0] != kernel[1])
    sketch.note("reflecting", mode == "reflect" and options["padding"] not in ((0, 0), "same"))
    layer = nn.Conv2d(channels, filters, kernel, padding_mode=mode, **options)
    if mode == "reflect" or not sketch.flag("functional convolution"):
        return layer
    del options["bias"]
    weights = [each.detach().clone() for each in layer.parameters()]
    return Function(f"conv2d {tuple(layer.weight.shape)} {options}", lambda x, *w: F.conv2d(x, *w, **options), *weights)


def _sliding(
    sketch: Sketch, lengths: list[int], kernel: tuple[int, int], dilation: tuple[int, int], mode: str
) -> dict[str, Any]:
    """Stride and padding of a kernel that fits."""
    if sketch.now_and_then():
        sketch.note("padding same")
        fits = mode == "zeros" or all(d * (k - 1) < n for d, k, n in zip(dilation, kernel, lengths, strict=True))
        return {"padding": "same" if fits else (0, 0), "stride": (1, 1)}
    most = [min(k, n - 1) if mode == "reflect" else k for k, n in zip(kernel, lengths, strict=True)]
    padding = sketch.integer(0, most[0]), sketch.integer(0, most[1])
    sketch.note("padded", max(padding) > 0)
    sketch.note("padding more than half", any(p > k // 2 for p, k in zip(padding, kernel, strict=True)))
    return {"padding": padding, "stride": sketch.stride()}


def _divisor(sketch: Sketch, channels: int) -> int:
    return sketch.one_of(*(each for each in range(1, channels + 1) if channels % each == 0))


def same_convolution(sketch: Sketch, channels: int, filters: int) -> nn.Module:
    """A convolution that keeps the size, perhaps followed by something pointwise."""
    kernel = sketch.one_of(1, 3, 5), sketch.one_of(1, 3, 5)
    layer = nn.Conv2d(channels, filters, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
    if not sketch.flag():
        return layer
    between = sketch.one_of(batch_norm, activation)(sketch, (filters, 1, 1))
    return nn.Sequential(layer, between)


def transposed(sketch: Sketch, shape: Shape) -> nn.Module:
    channels, *lengths = shape
    stride = sketch.pair(1, 2 if max(lengths) * 2 <= _LONGEST else 1)
    kernel, groups = sketch.pair(1, 4), _divisor(sketch, channels)
    padding = tuple(
        sketch.integer(0, min(k - 1, (n - 1) * s // 2)) for k, n, s in zip(kernel, lengths, stride, strict=True)
    )
    extra = tuple(sketch.integer(0, s - 1) for s in stride)
    sketch.note("transposed")
    sketch.note("output padding", max(extra) > 0)
    filters = groups * sketch.integer(1, max(1, 6 // groups))
    return nn.ConvTranspose2d(channels, filters, kernel, stride, padding, extra, groups)  # type: ignore[arg-type]


def padding(sketch: Sketch, shape: Shape) -> nn.Module:
    _, rows, columns = shape
    mode = "constant" if sketch.local else sketch.one_of("constant", "reflect", "replicate")
    least = -1 if mode == "constant" and min(rows, columns) > 4 and not sketch.local else 0
    across, down = (3, 3) if mode == "constant" else (min(3, columns - 1), min(3, rows - 1))
    sizes = [*sketch.pair(least, across), *sketch.pair(least, down)]
    sketch.note("crop", min(sizes) < 0)
    sketch.note("pad" if mode == "constant" else f"pad {mode}", max(sizes) > 0)
    value = sketch.one_of(0.0, 0.7) if mode == "constant" else None
    return Function(f"pad {sizes} {mode} {value}", lambda x: F.pad(x, sizes, mode=mode, value=value))


def batch_norm(sketch: Sketch, shape: Shape) -> nn.Module:
    channels = shape[0]
    layer = nn.BatchNorm2d(channels, affine=sketch.flag())
    layer.running_mean = torch.randn(channels) * 0.3
    layer.running_var = torch.rand(channels) + 0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1, 1.5)
    sketch.note("batch norm")
    if not sketch.flag("functional batch norm"):
        return layer
    mean, variance = layer.running_mean, layer.running_var
    return Function("batch_norm", F.batch_norm, mean, variance)


def group_norm(sketch: Sketch, shape: Shape) -> nn.Module:
    if math.prod(shape) == 1:
        return convolution(sketch, shape)
    sketch.note("group norm")
    return nn.GroupNorm(1 if shape[1:] == (1, 1) else _divisor(sketch, shape[0]), shape[0])


_ACTIVATIONS: dict[str, tuple[Callable[..., Any], ...]] = {
    "relu": (nn.ReLU, F.relu, torch.relu_),
    "relu6": (nn.ReLU6, F.relu6, lambda x: F.relu6(x, inplace=True)),
    "silu": (nn.SiLU, F.silu, lambda x: F.silu(x, inplace=True)),
    "sigmoid": (nn.Sigmoid, torch.sigmoid, torch.sigmoid_),
    "leaky relu": (lambda inplace=False: nn.LeakyReLU(0.2, inplace), F.leaky_relu, F.leaky_relu_),
    "gelu": (nn.GELU, F.gelu, F.gelu),
    "hardswish": (nn.Hardswish, F.hardswish, lambda x: F.hardswish(x, inplace=True)),
}


def activation(sketch: Sketch, shape: Shape) -> nn.Module:
    kind = sketch.one_of(*_ACTIVATIONS, "prelu")
    sketch.note(kind)
    if kind == "prelu":
        return nn.PReLU(sketch.one_of(1, shape[0]))
    module, function, in_place = _ACTIVATIONS[kind]
    form = sketch.one_of("module", "function", "in place", "module in place")
    if form == "function":
        return Function(kind, function)
    if kind in ("sigmoid", "gelu"):
        form = "in place" if kind == "sigmoid" and form != "module" else "module"
    sketch.note("in place", "in place" in form)
    if form == "in place":
        return Function(f"{kind}_", in_place)
    made: nn.Module = module(inplace=True) if form == "module in place" else module()
    return made


def max_pooling(sketch: Sketch, shape: Shape) -> nn.Module:
    lengths = shape[1:]
    dilation = sketch.pair(1, 2)
    kernel = tuple(min(sketch.integer(1, 3), 1 + (n - 1) // d) for n, d in zip(lengths, dilation, strict=True))
    around = tuple(sketch.integer(0, k // 2) for k in kernel)
    sketch.note("max pooling")
    sketch.note("dilated pooling", any(d > 1 and k > 1 for d, k in zip(dilation, kernel, strict=True)))
    sketch.note("padded pooling", max(around) > 0)
    return nn.MaxPool2d(kernel, sketch.stride(), around, dilation, ceil_mode=sketch.flag("ceil mode"))


def average_pooling(sketch: Sketch, shape: Shape) -> nn.Module:
    kernel = tuple(min(sketch.integer(1, 3), n) for n in shape[1:])
    around = tuple(sketch.integer(0, k // 2) for k in kernel)
    sketch.note("average pooling")
    sketch.note("padded pooling", max(around) > 0)
    return nn.AvgPool2d(
        kernel,  # type: ignore[arg-type]
        sketch.stride(),
        around,  # type: ignore[arg-type]
        ceil_mode=sketch.flag("ceil mode"),
        count_include_pad=not sketch.flag("pads not counted"),
        divisor_override=3 if sketch.flag("divisor") else None,
    )


def adaptive_pooling(sketch: Sketch, shape: Shape) -> nn.Module:
    size = sketch.integer(1, min(9, shape[1])), sketch.integer(1, min(9, shape[2]))
    if sketch.flag("adaptive max pooling"):
        return nn.AdaptiveMaxPool2d(size)
    sketch.note("adaptive pooling")
    return nn.AdaptiveAvgPool2d(size)


def residual(sketch: Sketch, shape: Shape) -> nn.Module:
    how = sketch.one_of("add", "add in place", "multiply", "subtract")
    sketch.note(how)
    other = same_convolution(sketch, shape[0], shape[0]) if sketch.flag() else None
    return Join(how, same_convolution(sketch, shape[0], shape[0]), other)


def gated(sketch: Sketch, shape: Shape) -> nn.Module:
    """Squeeze and excite."""
    channels, how = shape[0], sketch.one_of("gate", "gate", "gate in place")
    squeeze = nn.AdaptiveAvgPool2d(1) if sketch.flag() else Function("mean", lambda x: x.mean((2, 3), keepdim=True))
    excite = [nn.Conv2d(channels, 3, 1), nn.ReLU(), nn.Conv2d(3, channels, 1)]
    sketch.note(how)
    gate = nn.Sequential(squeeze, *excite, nn.Sigmoid() if sketch.flag() else nn.Hardsigmoid())
    return Join(how, gate, same_convolution(sketch, channels, channels) if how == "gate in place" else None)


def concatenation(sketch: Sketch, shape: Shape) -> nn.Module:
    channels = shape[0]
    sketch.note("concatenation")
    other: nn.Module | None = None
    if sketch.flag("pooled branch"):
        pool = sketch.one_of(nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1))
        other = nn.Sequential(pool, nn.Conv2d(channels, 2, 1))
    return Join("concatenation", same_convolution(sketch, channels, sketch.integer(1, 4)), other)


def split(sketch: Sketch, shape: Shape) -> nn.Module:
    if shape[0] < 2:
        return convolution(sketch, shape)
    by = sketch.one_of("split", "slice")
    sketch.note(by)
    half = math.ceil(shape[0] / 2) if by == "split" else shape[0] // 2
    return Split(same_convolution(sketch, half, sketch.integer(1, 4)), by=by)


def scalar(sketch: Sketch, shape: Shape) -> nn.Module:
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "x + 0.5": lambda x: x + 0.5,
        "1 - x": lambda x: 1 - x,
        "2 * x": lambda x: 2 * x,
        "x / 3": lambda x: x / 3,
        "-x": lambda x: -x,
        "x.add_(0.5)": lambda x: x.add_(0.5),
        "x.mul_(2)": lambda x: x.mul_(2),
    }
    if sketch.now_and_then():
        sketch.note("channel offset")
        return Function("x + offset", torch.add, torch.randn(shape[0], 1, 1))
    name = sketch.one_of(*functions)
    sketch.note("scalar in place" if "_" in name else "scalar")
    return Function(name, functions[name])


def upsampling(sketch: Sketch, shape: Shape) -> nn.Module:
    if max(shape[1:]) * 2 > _LONGEST:
        return average_pooling(sketch, shape)
    sketch.note("upsampling")
    mode, factor = sketch.one_of("nearest", "bilinear", "bicubic"), sketch.one_of(1.5, 2.0)
    options: dict[str, Any] = {"mode": mode, "scale_factor": factor}
    if mode != "nearest":
        sketch.note("smooth upsampling")
        options["align_corners"] = sketch.flag()
    return Function(f"interpolate {options}", lambda x: F.interpolate(x, **options))


def softmax(sketch: Sketch, shape: Shape) -> nn.Module:
    sketch.note("softmax")
    return nn.Softmax(dim=1) if sketch.flag() else Function("softmax", lambda x: torch.softmax(x, 1))


def local_response_norm(sketch: Sketch, shape: Shape) -> nn.Module:
    sketch.note("local response norm")
    return nn.LocalResponseNorm(sketch.integer(1, 5), alpha=0.5)


LOCAL = [
    *[convolution] * 5, padding, batch_norm, batch_norm, *[activation] * 3, max_pooling, max_pooling, average_pooling,
    residual, residual, concatenation, split, split, scalar, softmax, local_response_norm,
]  # fmt: skip
PIECES = [
    *LOCAL, transposed, padding, group_norm, activation, adaptive_pooling, gated, scalar, upsampling,
]  # fmt: skip
