"""Backward rules of rectifiers: how they pass a gradient back.

With z the rectifier's input, g the gradient that arrives from above and [·] 1 where true and 0 elsewhere:

    gradient    g · [low < z < high]           the derivative (Simonyan, Vedaldi and Zisserman 2013)
    deconvnet   max(g, 0)                      no forward mask (Zeiler and Fergus 2014)
    guided      max(g, 0) · [low < z < high]   both (Springenberg et al. 2014)

low is 0; high is ∞ but for ReLU6, above which `guided` lets nothing through and `deconvnet` all that is positive.

A rule is put on *operations*: a `TorchFunctionMode` sees each call of a rectifier, from a module, a function or a
method, in place or not, and gives that call's own edge of the autograd graph the rule. What else its input feeds keeps
its ordinary derivative. Before gradients flow, the autograd graph is read: it says whether any rectifier lies between
image and target, whether a nonlinearity without a rule does, and which rectifiers and sigmoids are gates, whose
output only multiplies another signal (squeeze-excite, hard swish): those are ordinary operations.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.overrides import TorchFunctionMode

from convscope.errors import RuleError, RuleMatchedNothing
from convscope.network.ops import operation_of, writes_in_place
from convscope.network.passage import Bounds

Rule = Literal["gradient", "guided", "deconvnet"]
RULES: tuple[Rule, ...] = get_args(Rule)
Consumers = dict[Node, list[Node]]


class _Rectifier(torch.autograd.Function):
    """A rectifier whose backward pass follows a rule; `ctx.gate` turns it back into an ordinary one."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, bounds: Bounds, rule: Rule, in_place: bool) -> Tensor:
        low, high = bounds
        ctx.rule, ctx.bounds, ctx.gate = rule, bounds, False
        # The mask [low < z < high] as numbers, in one pass. The result would do as well, were it not overwritten later.
        ctx.save_for_backward(torch.ops.aten.hardtanh_backward(z.new_ones(()).expand_as(z), z, low, high))
        if not in_place:
            return z.clamp(low, high)
        ctx.mark_dirty(z)
        return z.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        (passes,) = ctx.saved_tensors
        rule = "gradient" if ctx.gate else ctx.rule
        if rule != "gradient":
            gradient = gradient.clamp(min=0)
        if rule != "deconvnet":
            gradient = gradient * passes
        return gradient, None, None, None


class _Smooth(torch.autograd.Function):
    """A nonlinearity without a rule, under `smooth="positive"`: max(g, 0) times its ordinary derivative."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, function: Callable[[Tensor], Tensor], in_place: bool) -> Tensor:
        ctx.function, ctx.gate = function, False
        ctx.save_for_backward(z.clone() if in_place else z)
        if not in_place:
            return function(z)
        ctx.mark_dirty(z)
        return function(z)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        (z,) = ctx.saved_tensors
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            result = ctx.function(z.clone())
        gradient = gradient if ctx.gate else gradient.clamp(min=0)
        return *torch.autograd.grad(result, z, gradient), None, None


class _RuleMode(TorchFunctionMode):
    def __init__(self, rule: Rule, smooth: str | None) -> None:
        super().__init__()
        self.rule = rule
        self.smooth = smooth

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = operation_of(function)
        if operation is None or not operation.activation or "out" in kwargs:
            return function(*args, **kwargs)
        call = operation.bind(args, kwargs)
        z, bounds, in_place = call["input"], operation.bounds(call), writes_in_place(function, call, kwargs)
        if bounds:
            return _Rectifier.apply(z, bounds, self.rule, in_place)  # type: ignore[no-untyped-call]
        if self.smooth == "positive":
            rest = {name: value for name, value in kwargs.items() if name != "input"}
            return _Smooth.apply(z, lambda z: function(z, *args[1:], **rest), in_place)  # type: ignore[no-untyped-call]
        return function(*args, **kwargs)


class Applied:
    """A rule in force. `check(score)` must be called before gradients are taken of `score`."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def check(self, score: Tensor) -> None:
        """Set gates back to ordinary operations.

        Raises `RuleMatchedNothing` where no rectifier lies between the image and the score, `RuleError` where a
        nonlinearity does that has no rule.
        """
        if self.rule == "gradient":
            return
        consumers = _consumers(score)
        matched = sum(self._settle(node, consumers) for node in consumers)
        if not matched:
            raise RuleMatchedNothing(
                f"rule {self.rule!r}: no rectifier lies between the image and the target, so it would be a plain "
                "gradient; ask for a later target or use rule='gradient'"
            )

    def _settle(self, node: Node, consumers: Consumers) -> bool:
        """Decide what a node of the autograd graph is; whether it follows the rule."""
        function, unruled = _own_function(node), _unruled(node)
        if function is None and unruled is None:
            return False
        if function is _Rectifier and not _is_hard_sigmoid(node):
            return True
        multiplies = _multiplies(node, consumers)
        if multiplies == "its own input":
            raise RuleError(_no_rule(self.rule, "an activation that multiplies its own input (swish, written out)"))
        if multiplies == "nothing" and unruled:
            raise RuleError(_no_rule(self.rule, unruled))
        if multiplies == "another signal" and function:
            setattr(node, "gate", True)  # noqa: B010 - the node is the function's own ctx, which the type doesn't say
        return multiplies == "nothing"


@contextmanager
def applied(rule: Rule, *, smooth: str | None = None) -> Iterator[Applied]:
    """Run what is inside with `rule` on every rectifier that this thread calls.

    Raises
    ------
    RuleError
        `rule` or `smooth` is none of those known.
    """
    if rule not in RULES:
        raise RuleError(f"unknown rule {rule!r}; expected one of {', '.join(RULES)}")
    if smooth not in (None, "positive"):
        raise RuleError(f"unknown smooth={smooth!r}; expected None or 'positive'")
    if rule == "gradient":
        yield Applied(rule)
    else:
        with _RuleMode(rule, smooth):
            yield Applied(rule)


# Reading the autograd graph ------------------------------------------------------------------------------------------

# Autograd's names of nonlinearities that pass gradients by a mask or a slope and for which no rule is defined.
_UNRULED = re.compile(
    r"(Relu|Threshold|Hardtanh|Clamp\w*|LeakyRelu|PreluKernel|RreluWithNoise|Elu|Celu|Gelu|Silu|Mish|Softplus|Hardswish"
    r"|Hardsigmoid|Softshrink|Hardshrink|LogSigmoid|Sigmoid|Tanh|Maximum|Minimum|Where|Abs|\w*Lstm\w*|\w*Rnn\w*"
    r"|\w*Gru\w*)Backward\d*"
)
# What a gate's value may go through on its way to the product: reshaping, shifting, scaling, averaging.
_PASSES_ON = re.compile(
    r"(View|UnsafeView|ReshapeAlias|Squeeze|Unsqueeze|Expand|Permute|Transpose|T|Clone|Alias|ToCopy|Slice|Select|Split|"
    r"Div|Add|Sub|Rsub|Mul|Mean|Sum|Stack|AsStrided)Backward\d*"
)
Multiplies = Literal["nothing", "another signal", "its own input"]


def _consumers(score: Tensor) -> Consumers:
    """Every node between the score and the image, with the nodes that take its result."""
    consumers: Consumers = {}
    if score.grad_fn is None:
        return consumers
    consumers[score.grad_fn] = []
    waiting = [score.grad_fn]
    while waiting:
        node = waiting.pop()
        for below, _ in node.next_functions:
            if below is None:
                continue
            if below not in consumers:
                consumers[below] = []
                waiting.append(below)
            consumers[below].append(node)
    return consumers


def _own_function(node: Node) -> type | None:
    function: type | None = getattr(node, "_forward_cls", None)
    return function if function in (_Rectifier, _Smooth) else None


def _unruled(node: Node) -> str | None:
    """The name of the nonlinearity without a rule that the node is the derivative of."""
    if _own_function(node) is not None:
        return None
    if hasattr(node, "_forward_cls"):
        return f"the custom autograd function {type(node).__name__.removesuffix('Backward')}"
    name = node.name()
    if "DifferentiableGraph" in name or name.startswith("ReluBackward"):
        return "TorchScript or compiled code, whose rectifiers can't be seen"
    return name.partition("Backward")[0] if _UNRULED.fullmatch(name) else None


def _is_hard_sigmoid(node: Node) -> bool:
    """Whether a rectifier is cut off above and takes its input shifted by a constant: relu6(x + 3)."""
    _, high = getattr(node, "bounds", (0.0, math.inf))
    below = node.next_functions[0][0]
    return math.isfinite(high) and below is not None and below.name().startswith("AddBackward") and _sources(below) == 1


def _sources(node: Node) -> int:
    return sum(below is not None for below, _ in node.next_functions)


def _multiplies(node: Node, consumers: Consumers) -> Multiplies:
    """What the nonlinearity's result does nothing but multiply; the score itself counts as another signal."""
    waiting, seen, own = [node], {node}, _origins(node)
    while waiting:
        current = waiting.pop()
        for consumer in consumers[current]:
            if consumer.name().startswith("MulBackward") and _sources(consumer) == 2:
                if any(below in own for below, _ in consumer.next_functions if below is not current):
                    return "its own input"
            elif not _PASSES_ON.fullmatch(consumer.name()) or (
                _sources(consumer) > 1 and "Stack" not in consumer.name()
            ):
                return "nothing"
            elif consumer not in seen:
                seen.add(consumer)
                waiting.append(consumer)
    return "another signal"


def _origins(node: Node) -> set[Node]:
    """The nodes that the nonlinearity's input comes from by shifting, scaling and reshaping alone."""
    origins: set[Node] = set()
    waiting = [node]
    while waiting:
        for below, _ in waiting.pop().next_functions:
            if below is not None and below not in origins:
                origins.add(below)
                if _PASSES_ON.fullmatch(below.name()) and _sources(below) == 1:
                    waiting.append(below)
    return origins


def _no_rule(rule: str, name: str) -> str:
    return (
        f"rule {rule!r} is not defined for {name}, which lies between the image and the target; use rule='gradient', "
        "or smooth='positive' to keep positive gradients and ordinary derivatives there"
    )
