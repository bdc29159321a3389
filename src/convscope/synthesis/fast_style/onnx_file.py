"""A style network as an ONNX file that needs nothing else: any size of image, any style or blend of its own.

It is written call by call, not exported: so it can say the same in the ways that ONNX Runtime is fastest at.

- A convolution of an image made twice as large sees each pixel four times. So it is four convolutions of the small
  image, of kernels 2 × 2 whose weights are sums of its own (4/9 of the multiplications), and their results interleaved.
- The last convolution has three channels only, which fill a fifth of a vector. It is taken apart into one along rows,
  for each row of the kernel by itself, which has many, and the sum of its results, each some rows further down.
"""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convscope import __version__
from convscope.errors import MissingExtra
from convscope.synthesis.fast_style.conditional_norm import ConditionalNorm
from convscope.synthesis.fast_style.style_network import MULTIPLE, SMALLEST, StyleNetwork

_OPSET, _FORMAT = 17, 8
"""Old enough for any ONNX Runtime of the last years."""
_END = 2**31
# As `ConditionalNorm` has it.
_EPSILON = 1e-5
_HALVES = (((0,), (1, 2)), ((0, 1), (2,)))
"""Rows of a kernel of 3 that fall on the same row of the small image: at even places and at odd ones."""


def onnx_model(network: StyleNetwork) -> bytes:
    """The file. Inputs `image` `(N, 3, H, W)` in [0, 1] and `mix` `(1, styles)`; output `stylized` like `image`.

    The metadata has the names of the styles, in the order of `mix`. Raises MissingExtra.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise MissingExtra("writing ONNX files", extra="onnx") from None
    written = _Calls()
    outcome = written.network(network)
    written.call("Identity", outcome, named="stylized")
    number = onnx.TensorProto.FLOAT
    images: list[str | int | None] = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, outputs, **options) for kind, inputs, outputs, options in written.calls],
        "style",
        [
            helper.make_tensor_value_info("image", number, images),
            helper.make_tensor_value_info("mix", number, [1, len(network.styles)]),
        ],
        [helper.make_tensor_value_info("stylized", number, images)],
        [onnx.numpy_helper.from_array(each, name) for name, each in written.constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_FORMAT,
        producer_name="convscope", producer_version=__version__,
    )  # fmt: skip
    helper.set_model_props(model, {"styles": json.dumps(network.styles, ensure_ascii=False)})
    onnx.checker.check_model(model)
    serialized: bytes = model.SerializeToString()
    return serialized


class _Calls:
    """The calls of a graph in their order, and its constants; each call returns the name of its result."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], list[str], dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}

    def call(self, kind: str, *inputs: str, named: str | None = None, **options: Any) -> str:
        name = named or f"{kind.lower()}_{len(self.calls)}"
        self.calls.append((kind, list(inputs), [name], options))
        return name

    def integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def tensor(self, value: Tensor) -> str:
        return self._constant(value.detach().cpu().float().contiguous().numpy())

    def _constant(self, value: "np.ndarray[Any, Any]") -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = value
        return name

    # The network, as its forward is

    def network(self, network: Any) -> str:
        image, size = self._enlarged("image")
        features = self.call("Sub", image, self.tensor(torch.tensor(0.5)))
        for number, layer in enumerate(network.down):
            features = self.call("Relu", self._convolved(features, layer, 2 if number else 1))
        for block in network.blocks:
            inside = self.call("Relu", self._convolved(features, block.first))
            features = self.call("Add", features, self._convolved(inside, block.second))
        half, whole, last = network.up
        features = self.call("Relu", self._of_twice(features, half))
        features = self.call("Relu", self._of_twice(features, whole))
        made = self.call("Sigmoid", self._by_rows(features, last))
        return self.call("Slice", made, self.integers(0, 0), size, self.integers(2, 3))

    def _enlarged(self, image: str) -> tuple[str, str]:
        """The image with its last pixels repeated until the network takes its size; and its own size."""
        size = self.call("Slice", self.call("Shape", image), self.integers(2), self.integers(4))
        multiple = self.integers(MULTIPLE)
        whole = self.call("Div", self.call("Add", size, self.integers(MULTIPLE - 1)), multiple)
        wanted = self.call("Max", self.call("Mul", whole, multiple), self.integers(SMALLEST))
        borders = self.call("Concat", self.integers(*[0] * 6), self.call("Sub", wanted, size), axis=0)
        return self.call("Pad", image, borders, mode="edge"), size

    def _convolved(self, features: str, layer: Any, stride: int = 1) -> str:
        weight, norm = _parts(layer)
        seen = self._bordered(features, weight.shape[-1] // 2, "reflect")
        return self._normalized(self._convolution(seen, weight, stride), norm)

    def _of_twice(self, features: str, layer: Any) -> str:
        """The layer, of features made twice as large."""
        weight, norm = _parts(layer)
        channels = len(weight)
        kernels = [_summed(weight, rows, columns) for rows in _HALVES for columns in _HALVES]
        # Beyond the border of what is twice as large, mirrored, lies the same small pixel again.
        made = self._convolution(self._bordered(features, 1, "edge"), torch.cat(kernels))
        parts = []
        for number in range(4):
            row, column = divmod(number, 2)
            first = (number * channels, row, column)
            behind = ((number + 1) * channels, row - 1 or _END, column - 1 or _END)
            parts.append(
                self.call("Slice", made, self.integers(*first), self.integers(*behind), self.integers(1, 2, 3))
            )
        woven = self.call("DepthToSpace", self.call("Concat", *parts, axis=1), blocksize=2, mode="DCR")
        return self._normalized(woven, norm)

    def _by_rows(self, features: str, layer: Any) -> str:
        """The layer, its kernel row by row."""
        weight, norm = _parts(layer)
        channels, inputs, side, _ = weight.shape
        rows = weight.permute(2, 0, 1, 3).reshape(side * channels, inputs, 1, side)
        made = self._convolution(self._bordered(features, side // 2, "reflect"), rows)
        parts = [
            self.call(
                "Slice", made, self.integers(row * channels, row),
                self.integers((row + 1) * channels, row - side + 1 or _END), self.integers(1, 2),
            )
            for row in range(side)
        ]  # fmt: skip
        return self._normalized(self.call("Sum", *parts), norm)

    def _bordered(self, features: str, border: int, mode: str) -> str:
        return self.call("Pad", features, self.integers(*[0, 0, border, border] * 2), mode=mode)

    def _convolution(self, features: str, weight: Tensor, stride: int = 1) -> str:
        return self.call(
            "Conv", features, self.tensor(weight), kernel_shape=list(weight.shape[2:]), strides=[stride] * 2
        )

    def _normalized(self, features: str, norm: ConditionalNorm) -> str:
        scale, shift = (self.call("MatMul", "mix", self.tensor(each)) for each in (norm.gamma, norm.beta))
        if norm.norm == "instance":
            flat = self.integers(-1)
            scale, shift = self.call("Reshape", scale, flat), self.call("Reshape", shift, flat)
            return self.call("InstanceNormalization", features, scale, shift, epsilon=_EPSILON)
        factor = (norm.running_variance + _EPSILON).rsqrt()
        channels = self.integers(1, -1, 1, 1)
        centred = self.call("Sub", features, self.tensor(norm.running_mean[:, None, None]))
        scale = self.call("Reshape", self.call("Mul", scale, self.tensor(factor)), channels)
        return self.call("Add", self.call("Mul", centred, scale), self.call("Reshape", shift, channels))


def _parts(layer: Any) -> tuple[Tensor, ConditionalNorm]:
    """The weight of its convolution, and what comes after."""
    return layer.convolution.weight, layer.norm


def _summed(weight: Tensor, rows: tuple[tuple[int, ...], ...], columns: tuple[tuple[int, ...], ...]) -> Tensor:
    """A kernel of 2 × 2 whose weights are sums of the given rows and columns of one of 3 × 3."""
    by_rows = torch.stack([weight[:, :, list(each)].sum(dim=2) for each in rows], dim=2)
    return torch.stack([by_rows[..., list(each)].sum(dim=3) for each in columns], dim=3)
