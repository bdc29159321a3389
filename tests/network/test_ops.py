"""The table of operations, line by line: each on a small call of torch's own, against what autograd says it reads."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from convscope.network.ops import OPERATIONS, Operation, name_of, operation_of, writes_in_place
from convscope.network.passage import Axes, Bounds, Call, Windows
from convscope.network.trace import tensors_in

DRAWS = 16
"""Images in a batch, so that each place of a window is once its largest."""


@dataclass(frozen=True)
class Case:
    """One call, and where the two spatial axes of its input lie. No two axes are of one length."""

    function: Callable[[Tensor], Any]
    shape: tuple[int, ...] = (DRAWS, 4, 13, 10)
    axes: Axes = (2, 3)


class Calls(TorchFunctionMode):
    """Notes the call that the image goes into, as the graph and the rules meet it."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = image
        self.noted: list[tuple[Operation, Call, bool]] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        takes_image = any(each is self.image for each in tensors_in((args, kwargs)))
        result = function(*args, **kwargs)
        operation = operation_of(function)
        if takes_image and operation is not None:
            call = operation.bind(args, kwargs)
            shapes = tuple(self.image.shape), tuple(next(tensors_in(result)).shape)
            in_place = writes_in_place(function, call, kwargs)
            self.noted.append((operation, replace(call, input=shapes[0], output=shapes[1]), in_place))
        return result


def called(function: Callable[[Tensor], Any], image: Tensor) -> tuple[Operation, Call, Tensor]:
    """The operation that the function calls, the call, and (the first tensor of) what it returns."""
    with Calls(image) as calls:
        result = function(image)
    ((operation, call, _),) = calls.noted
    return operation, call, next(tensors_in(result))


def passage(case: Case) -> tuple[Tensor, Tensor, Windows | None, Axes | None]:
    """An image, what the call makes of it, and what the table says of that."""
    image = torch.rand(case.shape, dtype=torch.float64, requires_grad=True)
    operation, call, output = called(case.function, image)
    return image, output, operation.windows(call, case.axes), operation.axes(call, case.axes)


Span = tuple[int, int] | None


def spans_read(image: Tensor, axis: int, output: Tensor, output_axis: int) -> list[Span]:
    """First and last place along an axis of the image that each place along an axis of the output depends on."""
    others = [each for each in range(image.dim()) if each != axis]
    spans: list[Span] = []
    for place in range(output.shape[output_axis]):
        (gradient,) = torch.autograd.grad(output.select(output_axis, place).sum(), image, retain_graph=True)
        places = gradient.abs().sum(others).nonzero().flatten().tolist()
        spans.append((places[0], places[-1]) if places else None)
    return spans


def spans_told(windows: Windows, which: int, count: int, length: int) -> list[Span]:
    """The same as the table tells it."""
    told = (windows[which].reads(place, place) for place in range(count))
    within = ((max(first, 0), min(last, length - 1)) for first, last in told)
    return [(first, last) if first <= last else None for first, last in within]


def weights(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64) + 0.1


# --- Windows and axes ---

SPATIAL = {
    "convolution": Case(lambda x: F.conv2d(x, weights(2, 4, 3, 5))),
    "convolution, strided": Case(lambda x: F.conv2d(x, weights(2, 4, 3, 2), stride=(2, 3), padding=(1, 0))),
    "convolution, dilated": Case(lambda x: F.conv2d(x, weights(4, 1, 3, 2), None, 1, 0, (3, 2), groups=4)),
    "convolution, same": Case(lambda x: F.conv2d(x, weights(2, 4, 5, 3), padding="same")),
    "convolution, valid": Case(lambda x: F.conv2d(x, weights(2, 4, 4, 3), padding="valid")),
    "max pooling": Case(lambda x: F.max_pool2d(x, 3)),
    "max pooling, strided": Case(lambda x: F.max_pool2d(x, (3, 2), stride=(2, 1), padding=1)),
    "max pooling, dilated": Case(lambda x: F.max_pool2d(x, 2, 2, dilation=3)),
    "max pooling, rounded up": Case(lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    "max pooling with its places": Case(lambda x: F.max_pool2d(x, 2, return_indices=True)),
    "average pooling": Case(lambda x: F.avg_pool2d(x, (2, 3))),
    "average pooling, padded": Case(lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True)),
    "adaptive pooling by whole steps": Case(lambda x: F.adaptive_avg_pool2d(x, (1, 5))),
    "resize, nearest": Case(lambda x: F.interpolate(x, scale_factor=2)),
    "resize, nearest, smaller": Case(lambda x: F.interpolate(x, size=(4, 5)), (DRAWS, 4, 12, 10)),
    "pad": Case(lambda x: F.pad(x, (1, 2, 3, 0))),
    "pad all dimensions": Case(lambda x: F.pad(x, (1, 2, 3, 0, 1, 1, 0, 0))),
    "crop by padding": Case(lambda x: F.pad(x, (-1, 0, -2, -3))),
    "pixel shuffle": Case(lambda x: F.pixel_shuffle(x, 2)),
    "pixel unshuffle": Case(lambda x: F.pixel_unshuffle(x, 2), (DRAWS, 4, 12, 10)),
    "slices": Case(lambda x: x[:, :, 2:9, ::3]),
    "slices behind an ellipsis": Case(lambda x: x[..., 1:-1, 2:]),
    "slices beside a channel": Case(lambda x: x[:, 1, ::4]),
    "batch norm": Case(lambda x: F.batch_norm(x, weights(4), weights(4), weights(4), weights(4))),
    "relu": Case(F.relu),
    "silu": Case(F.silu),
    "dropout": Case(lambda x: F.dropout(x, training=False)),
    "square": Case(torch.square),
    "add": Case(lambda x: x + weights(4, 1, 1)),
    "subtract from": Case(lambda x: 1 - x),
    "multiply": Case(lambda x: x * weights(1, 4, 13, 10)),
    "divide": Case(lambda x: x / 3),
    "broadcast": Case(lambda x: x * weights(5, 1, 1, 1, 1)),
    "expand": Case(lambda x: x.expand(2, -1, -1, -1, -1)),
    "concatenation": Case(lambda x: torch.cat([x, weights(DRAWS, 2, 13, 10)], 1)),
    "stack in front": Case(lambda x: torch.stack([x, x], 1)),
    "stack between": Case(lambda x: torch.stack([x, x], 3)),
    "stack behind": Case(lambda x: torch.stack([x, x], -1)),
    "split": Case(lambda x: torch.split(x, 2, 1)),
    "chunk": Case(lambda x: x.chunk(2, dim=1)),
    "gated linear unit": Case(lambda x: F.glu(x, 1)),
    "softmax over channels": Case(lambda x: F.softmax(x, dim=1)),
    "normalize": Case(F.normalize),
    "mean over channels": Case(lambda x: x.mean(1)),
    "mean over channels, kept": Case(lambda x: x.mean(1, keepdim=True)),
    "mean over images and channels": Case(lambda x: x.mean((0, -3))),
    "largest channel": Case(lambda x: x.amax(dim=1)),
    "deviation over channels": Case(lambda x: x.std(1)),
    "permute": Case(lambda x: x.permute(0, 2, 3, 1)),
    "permute by a tuple": Case(lambda x: x.permute((3, 1, 0, 2))),
    "transpose": Case(lambda x: x.transpose(1, -1)),
    "transpose both": Case(lambda x: x.transpose(2, 3)),
    "view in groups": Case(lambda x: x.view(-1, 2, 2, 13, 10)),
    "unsqueeze": Case(lambda x: x.unsqueeze(2)),
    "squeeze": Case(lambda x: x.squeeze(1), (DRAWS, 1, 13, 10)),
    "flatten images and channels": Case(lambda x: x.flatten(0, 1)),
    "linear, along channels": Case(lambda x: F.linear(x, weights(7, 4)), (DRAWS, 13, 10, 4), (1, 2)),
    "layer norm along channels": Case(lambda x: F.layer_norm(x, (4,)), (DRAWS, 13, 10, 4), (1, 2)),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_windows_and_axes_are_what_is_read(name: str) -> None:
    image, output, windows, axes = passage(SPATIAL[name])
    assert windows is not None
    assert axes is not None
    for which, (axis, output_axis) in enumerate(zip(SPATIAL[name].axes, axes, strict=True)):
        read = spans_read(image, axis, output, output_axis)
        assert spans_told(windows, which, output.shape[output_axis], image.shape[axis]) == read


# What reads between the pixels, or more of them than a window can tell.
COVERED = {
    "convolution, dilated and padded": Case(lambda x: F.conv2d(x, weights(2, 4, 3, 2), padding=2, dilation=(3, 2))),
    "convolution, dilated, same": Case(lambda x: F.conv2d(x, weights(2, 4, 4, 3), padding="same", dilation=2)),
    "transposed convolution": Case(lambda x: F.conv_transpose2d(x, weights(4, 2, 4, 3), stride=2, padding=1)),
    "transposed convolution, dilated": Case(
        lambda x: F.conv_transpose2d(x, weights(4, 2, 3, 2), stride=(3, 2), dilation=2, output_padding=1)
    ),
    "adaptive average pooling": Case(lambda x: F.adaptive_avg_pool2d(x, (5, 7))),
    "adaptive max pooling": Case(lambda x: F.adaptive_max_pool2d(x, (6, 3))),
    "adaptive pooling to more": Case(lambda x: F.adaptive_avg_pool2d(x, (20, 17))),
    "resize, bilinear": Case(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "resize, bilinear, smaller": Case(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear")),
    "resize, corners aligned": Case(lambda x: F.interpolate(x, size=(25, 28), mode="bilinear", align_corners=True)),
    "resize, bicubic": Case(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic")),
    "resize, nearest, to an odd size": Case(lambda x: F.interpolate(x, size=(7, 15))),
    "resize, nearest, by an odd factor": Case(lambda x: F.interpolate(x, scale_factor=1.3)),
    "resize, bilinear, by an odd factor": Case(lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear")),
    "resize, antialiased": Case(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", antialias=True)),
    "resize, nearest exact": Case(lambda x: F.interpolate(x, size=(5, 7), mode="nearest-exact")),
    "pad by reflection": Case(lambda x: F.pad(x, (3, 2, 4, 3), mode="reflect")),
    "pad by repetition": Case(lambda x: F.pad(x, (3, 2, 4, 3), mode="replicate")),
    "pad in a circle": Case(lambda x: F.pad(x, (3, 2, 4, 3), mode="circular")),
    "expand a single row": Case(lambda x: x.expand(-1, -1, 6, -1), (DRAWS, 4, 1, 10)),
    "a single row beside others": Case(lambda x: x + weights(6, 10), (DRAWS, 4, 1, 10)),
    "concatenation of rows, axis by another name": Case(
        lambda x: torch.cat([weights(DRAWS, 4, 3, 10), x], axis=2)  # type: ignore[call-arg]
    ),
    "mean over rows, axis by another name": Case(lambda x: x.mean(axis=2)),  # type: ignore[call-overload]
    "deviation over channels, unbiased": Case(lambda x: x.std(1, True)),
    "mean over channels, kept by another name": Case(
        lambda x: x.mean(1, keepdims=True)  # type: ignore[call-overload]
    ),
    "rows from the last": Case(lambda x: x.flip(2)),
}


@pytest.mark.parametrize("name", COVERED)
def test_windows_leave_nothing_out_that_is_read(name: str) -> None:
    case = COVERED[name]
    image = torch.rand(case.shape, dtype=torch.float64, requires_grad=True)
    with Calls(image) as calls:
        output = next(tensors_in(case.function(image)))
    if not calls.noted:
        return  # what the table doesn't hold counts as reading everything
    ((operation, call, _),) = calls.noted
    windows, axes = operation.windows(call, case.axes), operation.axes(call, case.axes)
    if windows is None or axes is None:
        return
    for which, (axis, output_axis) in enumerate(zip(case.axes, axes, strict=True)):
        read = spans_read(image, axis, output, output_axis)
        told = spans_told(windows, which, output.shape[output_axis], image.shape[axis])
        for here, there in zip(read, told, strict=True):
            assert here is None or (there is not None and there[0] <= here[0] and here[1] <= there[1])


WHOLE = {
    "global average pooling": Case(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "global max pooling": Case(lambda x: F.adaptive_max_pool2d(x, (1, 1))),
    "instance norm": Case(F.instance_norm),
    "group norm": Case(lambda x: F.group_norm(x, 2)),
    "layer norm over the map": Case(lambda x: F.layer_norm(x, (4, 13, 10))),
    "softmax over rows": Case(lambda x: F.softmax(x, dim=-2)),
    "mean over all": Case(lambda x: x.mean()),
    "mean over the map": Case(lambda x: x.mean((2, 3))),
    "mean over rows": Case(lambda x: x.mean(2, keepdim=True)),
    "flatten": Case(lambda x: x.flatten(1)),
    "linear along columns": Case(lambda x: F.linear(x, weights(7, 10))),
    "matrix product": Case(lambda x: x @ weights(10, 3)),
    "attention": Case(lambda x: F.scaled_dot_product_attention(x, weights(DRAWS, 4, 7, 10), weights(DRAWS, 4, 7, 10))),
    "a row": Case(lambda x: x[:, :, 3]),
    "rows by a list": Case(lambda x: x[:, :, [3, 1]]),
    "concatenation of rows": Case(lambda x: torch.cat([x, x], 2)),
    "split of rows": Case(lambda x: torch.split(x, 5, dim=2)),
    "gated linear unit over columns": Case(F.glu),
}


@pytest.mark.parametrize("name", WHOLE)
def test_space_is_gone_or_everything_is_seen(name: str) -> None:
    _, _, windows, axes = passage(WHOLE[name])
    assert windows is None or axes is None


# --- Rectifiers ---

RECTIFIERS: dict[str, tuple[Callable[[Tensor], Tensor], Bounds | None]] = {
    "relu": (F.relu, (0, math.inf)),
    "relu as a module": (nn.ReLU(), (0, math.inf)),
    "relu as a method": (lambda z: z.relu(), (0, math.inf)),
    "relu6": (F.relu6, (0, 6)),
    "hardtanh from 0": (lambda z: F.hardtanh(z, 0, 2.5), (0, 2.5)),
    "relu6 as a module": (nn.ReLU6(), (0, 6)),
    "clamp": (lambda z: z.clamp(min=0), (0, math.inf)),
    "clamp, both": (lambda z: torch.clamp(z, 0, 3), (0, 3)),
    "clip": (lambda z: z.clip(0.0), (0, math.inf)),
    "clamp_min": (lambda z: z.clamp_min(0), (0, math.inf)),
    "threshold": (lambda z: F.threshold(z, 0, 0), (0, math.inf)),
    "hardtanh": (F.hardtanh, None),
    "clamp from below 0": (lambda z: z.clamp(-1, 1), None),
    "clamp from above 0": (lambda z: z.clamp(min=1), None),
    "clamp above only": (lambda z: z.clamp(max=6), None),
    "clamp_max": (lambda z: z.clamp_max(0), None),
    "clamp by a tensor": (lambda z: z.clamp(min=torch.ones(())), None),
    "threshold elsewhere": (lambda z: F.threshold(z, 0.1, 0), None),
    "threshold to another value": (lambda z: F.threshold(z, 0, -1), None),
    "leaky relu": (F.leaky_relu, None),
    "elu": (F.elu, None),
    "gelu": (F.gelu, None),
    "silu": (F.silu, None),
    "softplus": (F.softplus, None),
    "sigmoid": (torch.sigmoid, None),
    "tanh": (torch.tanh, None),
    "hard swish": (F.hardswish, None),
}


@pytest.mark.parametrize("name", RECTIFIERS)
def test_bounds_are_where_the_derivative_is_one(name: str) -> None:
    function, expected = RECTIFIERS[name]
    z = torch.linspace(-8, 8, 33, dtype=torch.float64)[:, None, None, None] + 0.01
    z.requires_grad_()
    operation, call, output = called(function, z)
    assert operation.activation
    assert operation.bounds(call) == expected
    (slope,) = torch.autograd.grad(output.sum(), z)
    if expected:
        low, high = expected
        assert torch.equal(slope, ((z > low) & (z < high)).double())
        assert torch.equal(output, z.clamp(low, high))
    else:
        assert not torch.equal(output, z.clamp(min=0))


def test_no_other_operation_has_bounds() -> None:
    for operation in set(OPERATIONS.values()):
        if not operation.activation:
            assert operation.bounds(Call({})) is None


IN_PLACE: dict[str, tuple[Callable[[Tensor], Any], bool]] = {
    "relu": (F.relu, False),
    "by name": (torch.relu_, True),
    "as a method": (lambda z: z.clamp_(min=0), True),
    "by keyword": (lambda z: F.relu6(z, inplace=True), True),
    "by place": (lambda z: F.hardtanh(z, 0, 6, True), True),
    "as a module": (nn.SiLU(inplace=True), True),
    "not as a module": (nn.ReLU(), False),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_activations_in_place_are_known(name: str) -> None:
    function, expected = IN_PLACE[name]
    z = torch.full((1, 1, 1, 1), -3.0)
    with Calls(z) as calls:
        function(z)
    assert calls.noted[0][2] is expected
    assert (z.item() != -3) is expected


# --- Costs, against torch's own count ---

IMAGE = torch.rand(1, 4, 13, 10, dtype=torch.float64)
KEY, VALUE = torch.rand(1, 4, 7, 10, dtype=torch.float64), torch.rand(1, 4, 7, 6, dtype=torch.float64)

COSTS: dict[str, Callable[[], Tensor]] = {
    "convolution": lambda: F.conv2d(IMAGE, weights(6, 4, 3, 2), stride=(2, 1), padding=1),
    "grouped convolution": lambda: F.conv2d(IMAGE, weights(6, 2, 3, 3), groups=2),
    "transposed convolution": lambda: F.conv_transpose2d(IMAGE, weights(4, 3, 2, 2), stride=2),
    "linear": lambda: F.linear(IMAGE[..., 0], weights(5, 13)),
    "matrix product": lambda: IMAGE @ weights(1, 4, 10, 3),
    "attention": lambda: F.scaled_dot_product_attention(IMAGE, KEY, VALUE),
}
# Torch doesn't count its fused attention on a CPU.
WRITTEN_OUT = {"attention": lambda: (IMAGE @ KEY.transpose(-1, -2)).softmax(-1) @ VALUE}


class Costs(TorchFunctionMode):
    """Adds up what the table says."""

    total = 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **kwargs or {})
        operation = operation_of(function)
        if operation is not None:
            call = operation.bind(args, kwargs or {})
            first, made = next(tensors_in(args)), next(tensors_in(result))
            self.total += operation.cost(replace(call, input=tuple(first.shape), output=tuple(made.shape)))
        return result


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_what_torch_counts(name: str) -> None:
    with FlopCounterMode(display=False) as counter:
        WRITTEN_OUT.get(name, COSTS[name])()
    with Costs() as costs:
        COSTS[name]()
    assert costs.total > 0
    assert 2 * costs.total == counter.get_total_flops()


# --- Names and arguments ---


def test_names_are_those_of_the_function_however_it_is_called() -> None:
    x = torch.rand(2, 2)
    adds: list[Callable[..., Any]] = [torch.add, torch.Tensor.add, torch.Tensor.add_, torch.Tensor.__add__]
    more: list[Callable[..., Any]] = [torch.Tensor.__radd__, torch.Tensor.__iadd__, torch.ops.aten.add.Tensor]
    assert {name_of(each) for each in adds + more} == {"add"}
    assert {name_of(each) for each in (torch.Tensor.__truediv__, torch.div, torch.Tensor.div_)} == {"div"}
    assert name_of(torch.Tensor.__getitem__) == "getitem"
    assert operation_of(torch.linalg.svd) is None
    assert operation_of(type(x).relu_) is operation_of(F.relu) is OPERATIONS["relu"]


def test_arguments_are_bound_by_place_name_and_default() -> None:
    convolution = OPERATIONS["conv2d"]
    by_place = convolution.bind((1, 2, None, 3), {"groups": 4})
    by_name = convolution.bind((), {"input": 1, "weight": 2, "stride": 3, "groups": 4})
    assert by_place == by_name
    assert (by_place["stride"], by_place["padding"], by_place["groups"]) == (3, 0, 4)
    assert "unheard" not in convolution.bind((1, 2), {"unheard": 5}).arguments


def test_the_rest_of_the_arguments_may_come_as_one_tuple() -> None:
    permute = OPERATIONS["permute"]
    assert permute.bind((1, 0, 2, 1), {})["dims"] == permute.bind((1, (0, 2, 1)), {})["dims"] == (0, 2, 1)
    assert permute.bind((1,), {"dims": (0, 2, 1)})["dims"] == (0, 2, 1)
