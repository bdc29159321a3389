"""The one table of operations: what each is called, how space passes through it, its backward rule, its cost.

A network is a graph of function calls (`trace.py`); modules are only where the calls come from. So `nn.ReLU`, `F.relu`,
`torch.relu` and `Tensor.relu_` are one line here, and what is true of an operation is said once. A function that the
table doesn't hold is taken to read the whole image and to cost nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from convscope.network import passage
from convscope.network.passage import Axes, Bounds, Call, Windows


@dataclass(frozen=True)
class Operation:
    """What convscope knows of one operation.

    `signature` names the arguments, as `name`, `name=default` or, for all that follow, `*name`. `windows(call, axes)`
    says what an output reads along rows and columns, None for the whole map; `axes(call, axes)` where the two spatial
    axes lie afterwards, None where space is gone. `bounds(call)` gives the values between which a rectifier passes its
    input on, None where these arguments make it something else. `activation` marks a pointwise nonlinearity.
    `cost(call)` counts the multiply-adds for one image.
    """

    kind: str
    signature: str = "input"
    windows: Callable[[Call, Axes], Windows | None] = passage.same_windows
    axes: Callable[[Call, Axes], Axes | None] = passage.same_axes
    bounds: Callable[[Call], Bounds | None] = passage.no_bounds
    cost: Callable[[Call], int] = passage.no_cost
    activation: bool = False
    _names: tuple[tuple[str, Any], ...] = field(default=(), init=False, repr=False)
    _rest: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        pairs = [part.partition("=") for part in self.signature.split()]
        named = tuple((name, _DEFAULTS.get(text, text)) for name, _, text in pairs if not name.startswith("*"))
        object.__setattr__(self, "_names", named)
        object.__setattr__(self, "_rest", next((name[1:] for name, _, _ in pairs if name.startswith("*")), ""))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """The call with its arguments by name, defaults filled in; arguments that the signature lacks are left out."""
        bound = dict(self._names)
        bound.update(zip(bound, args, strict=False))
        if self._rest:
            rest = args[len(self._names) :]
            bound[self._rest] = rest[0] if len(rest) == 1 and isinstance(rest[0], (list, tuple)) else rest
        named = {_NUMPYS.get(name, name): value for name, value in kwargs.items()}
        bound.update((name, value) for name, value in named.items() if name in bound)
        return Call(bound)


# Torch also takes NumPy's names of arguments.
_NUMPYS = {"axis": "dim", "keepdims": "keepdim", "x2": "other"}
_DEFAULTS: dict[str, Any] = {
    "": None, "None": None, "True": True, "False": False, "0": 0, "1": 1, "-1": -1, "0.0": 0.0,
}  # fmt: skip


def operation_of(function: Callable[..., Any]) -> Operation | None:
    """The table's entry for a function, method or operator of torch; None where it has none."""
    return OPERATIONS.get(name_of(function))


_OPERATORS = {"radd": "add", "iadd": "add", "rmul": "mul", "imul": "mul", "isub": "sub", "truediv": "div"}


def name_of(function: Callable[..., Any]) -> str:
    """A function's plain name: without underscores around it; a property's own name.

    >>> import torch
    >>> name_of(torch.relu_), name_of(torch.Tensor.add_), name_of(torch.Tensor.mT.__get__)
    ('relu', 'add', 'mT')
    """
    packet = getattr(function, "overloadpacket", function)
    name: str = getattr(packet, "__name__", type(packet).__name__)
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    name = name.strip("_")
    return _OPERATORS.get(name, name)


def writes_in_place(function: Callable[..., Any], call: Call, kwargs: Mapping[str, Any]) -> bool:
    """Whether an activation was called in a form that overwrites its input."""
    name: str = getattr(function, "__name__", "")
    return bool(kwargs.get("inplace") or call.arguments.get("inplace")) or (name[-1:] == "_" and name[-2:] != "__")


_CONVOLUTION = "input weight bias=None stride=1 padding=0 dilation=1 groups=1"
_TRANSPOSED = "input weight bias=None stride=1 padding=0 output_padding=0 groups=1 dilation=1"
_MAX_POOLING = "input kernel_size stride=None padding=0 dilation=1 ceil_mode=False return_indices=False"
_AVERAGE_POOLING = (
    "input kernel_size stride=None padding=0 ceil_mode=False count_include_pad=True divisor_override=None dilation=1"
)
_RESIZE = (
    "input size=None scale_factor=None mode=nearest align_corners=None recompute_scale_factor=None antialias=False"
)
_BATCH_NORM = "input running_mean running_var weight=None bias=None training=False momentum=None eps=None"

_ACTIVATIONS = """
    clamp_max leaky_relu elu selu celu gelu silu mish softplus hardswish hardsigmoid prelu rrelu tanh sigmoid logsigmoid
    softsign tanhshrink softshrink hardshrink
""".split()

_POINTWISE = """
    neg abs pow sqrt rsqrt exp log square reciprocal sin cos sign round floor ceil positive masked_fill float half
    double bfloat16 to type type_as cpu cuda contiguous clone detach data requires_grad alias dropout alpha_dropout
    dropout1d dropout2d feature_dropout feature_alpha_dropout local_response_norm channel_shuffle
"""


def _table() -> dict[str, Operation]:
    """One line an operation; several names share a line where torch has several for the same thing."""
    table: dict[str, Operation] = {}

    def define(names: str, kind: str, signature: str = "input", **facts: Any) -> None:
        table.update(dict.fromkeys(names.split(), Operation(kind, signature, **facts)))

    p = passage
    whole: dict[str, Any] = {"windows": p.whole_map, "axes": p.no_axes}

    define("conv2d", "convolution", _CONVOLUTION, windows=p.convolution_windows, cost=p.convolution_cost)
    define("conv1d conv3d", "convolution", _CONVOLUTION, cost=p.convolution_cost, **whole)
    define(
        "conv_transpose2d", "transposed convolution", _TRANSPOSED, windows=p.transposed_windows, cost=p.transposed_cost
    )
    define("linear", "linear", "input weight bias=None", axes=p.last_is_channels, cost=p.linear_cost)
    define("matmul bmm mm", "matrix product", "input other", cost=p.product_cost, **whole)
    define("scaled_dot_product_attention", "attention", "query key value", cost=p.attention_cost, **whole)
    define(
        "multi_head_attention_forward",
        "attention",
        "query key value embed_dim_to_check",
        cost=p.multi_head_cost,
        **whole,
    )

    define("max_pool2d max_pool2d_with_indices", "max pooling", _MAX_POOLING, windows=p.pooling_windows)
    define("avg_pool2d", "average pooling", _AVERAGE_POOLING, windows=p.pooling_windows)
    define("adaptive_avg_pool2d", "average pooling", "input output_size", windows=p.adaptive_windows)
    define("adaptive_max_pool2d adaptive_max_pool2d_with_indices", "max pooling", windows=p.adaptive_windows)
    define("interpolate upsample", "resize", _RESIZE, windows=p.resize_windows)
    define("pad", "padding", "input pad mode=constant", windows=p.padded_windows)
    define("pixel_shuffle", "pixel shuffle", "input upscale_factor", windows=p.shuffled_windows)
    define("pixel_unshuffle", "pixel unshuffle", "input downscale_factor", windows=p.unshuffled_windows)

    define("relu", "relu", "input inplace=False", bounds=p.relu_bounds, activation=True)
    define("relu6", "relu6", "input inplace=False", bounds=p.relu6_bounds, activation=True)
    define(
        "hardtanh", "hardtanh", "input min_val=-1 max_val=1 inplace=False", bounds=p.hardtanh_bounds, activation=True
    )
    define("clamp clip clamp_min", "clamp", "input min=None max=None", bounds=p.clamp_bounds, activation=True)
    define("threshold", "threshold", "input threshold value inplace=False", bounds=p.threshold_bounds, activation=True)
    for name in _ACTIVATIONS:
        define(name, name.replace("_", " "), activation=True)

    define("batch_norm", "batch norm", _BATCH_NORM)
    define("layer_norm rms_norm", "layer norm", "input normalized_shape", axes=p.last_are_normalized)
    define("group_norm", "group norm", windows=p.whole_map)
    define("instance_norm", "instance norm", windows=p.whole_map)
    define("normalize", "normalize", "input p=None dim=1", axes=p.unless_along)
    define("softmax log_softmax softmin", "softmax", "input dim=None", axes=p.unless_along)
    define(_POINTWISE, "pointwise")
    define("dropout dropout2d", "dropout")

    define("add", "add", "input other", axes=p.broadcast_axes)
    define("sub rsub", "subtract", "input other", axes=p.broadcast_axes)
    define("mul", "multiply", "input other", axes=p.broadcast_axes)
    define("div", "divide", "input other", axes=p.broadcast_axes)
    define("maximum minimum where", "select", "input other", axes=p.broadcast_axes)
    define("cat concat concatenate", "concatenation", "tensors dim=0", axes=p.unless_along)
    define("stack", "stack", "tensors dim=0", axes=p.stacked_axes)
    define("chunk split tensor_split", "split", "input sections dim=0", axes=p.unless_along)
    define("glu", "gated linear unit", "input dim=-1", axes=p.unless_along)

    define("mean sum amax amin logsumexp", "reduction", "input dim=None keepdim=False", axes=p.reduced_axes)
    define("var std", "reduction", "input dim=None unbiased=True keepdim=False", axes=p.reduced_axes)
    define("view reshape flatten unflatten squeeze unsqueeze view_as reshape_as", "reshape", axes=p.reshaped_axes)
    define("permute", "permute", "input *dims", axes=p.permuted_axes)
    define("transpose swapaxes swapdims", "transpose", "input dim0 dim1", axes=p.transposed_axes)
    define("expand expand_as broadcast_to", "expand", axes=p.broadcast_axes)
    define("getitem", "index", "input index", windows=p.indexed_windows, axes=p.indexed_axes)
    return table


OPERATIONS = _table()
