"""Differentiation: the gradient of a target with respect to the image, or to a layer on the way to it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from convscope.errors import LayerError, TargetError
from convscope.network import rules
from convscope.network.answers import Answers
from convscope.network.rules import Rule
from convscope.network.target import Target

# From a batch to its answers with the layers named; the output too, if the last says so.
Forward = Callable[[Tensor, Sequence[str], bool], Answers]


def image_gradient(forward: Forward, batch: Tensor, target: Target, *, rule: Rule, smooth: str | None) -> Tensor:
    """∂target / ∂batch `(N, C, H, W)` under a backward rule. Raises as `Network.gradient` does."""
    with torch.inference_mode(False), torch.enable_grad():
        batch = _followed(batch)
        with rules.applied(rule, smooth=smooth) as applied:
            answers = forward(batch, target.layers, target.needs_output)
        score = answers.score(target)
        gradient = None
        if score.requires_grad:
            applied.check(score)
            (gradient,) = torch.autograd.grad(score.sum(), batch, allow_unused=True)
        if gradient is None:
            raise TargetError(f"the target {target.text!r} doesn't depend on the image")
        return gradient


def layer_gradient(
    forward: Forward, batch: Tensor, target: Target, layer: str, *, copied: bool
) -> tuple[Tensor, Tensor]:
    """A layer's activations and ∂target / ∂layer, both `(N, …)`. Raises as `Network.layer_gradient` does.

    `copied` says whether `forward` returns copies of its layers, as it must where the network overwrites them.
    """
    with torch.inference_mode(False), torch.enable_grad():
        layers = tuple(dict.fromkeys([layer, *target.layers]))
        answers = forward(_followed(batch), layers, target.needs_output)
        if layer not in answers.layers:
            raise LayerError(f"layer {layer!r} is not run for this image: the network's path depends on what it sees")
        score, activations = answers.score(target), answers.layers[layer]
        gradient = None
        if score.requires_grad and activations.requires_grad:
            edge = _edge(activations, copied=copied)
            (gradient,) = torch.autograd.grad(score.sum(), [edge], allow_unused=True)
        if gradient is None:
            raise LayerError(f"the target {target.text!r} doesn't depend on layer {layer!r}; take one before it")
        return activations.detach(), gradient


def _followed(batch: Tensor) -> Tensor:
    return (batch.clone() if batch.is_inference() else batch.detach()).requires_grad_()


def _edge(value: Tensor, *, copied: bool) -> GradientEdge:
    """Where the gradient of a layer arrives.

    A copy was made when the layer had just been computed, and leads back to that moment: what has overwritten the
    layer since is part of the way to the target, not of the layer.
    """
    if not copied or value.grad_fn is None:
        return get_gradient_edge(value)
    node, number = value.grad_fn.next_functions[0]
    if node is None:
        raise AssertionError("a copy that requires a gradient has one to pass it to")
    return GradientEdge(node, number)
