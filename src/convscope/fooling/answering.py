"""A network under attack: its class scores and their gradients, counted."""

from collections.abc import Callable

import torch
from torch import Tensor

from convscope.errors import StepFailed
from convscope.fooling.wanted import class_scores
from convscope.network.differentiable import Differentiable
from convscope.network.network import Network


class Answering:
    """Answers to `count` images of one `shape` `(C, H, W)`.

    `queries` and `gradients` `(count,)` are how many forward and backward passes each of them has had.
    """

    def __init__(self, network: Network, shape: tuple[int, int, int], count: int) -> None:
        self._run = Differentiable(network, shape)
        self.queries = torch.zeros(count, dtype=torch.long)
        self.gradients = torch.zeros(count, dtype=torch.long)

    def scores(self, images: Tensor, at: Tensor) -> Tensor:
        """Logits `(n, K)` of images that are numbers `at` `(n,)` of all."""
        self._count(self.queries, at, 1)
        with torch.no_grad():
            return class_scores(self._run(images))

    def gradient(self, images: Tensor, at: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Their logits, and the gradient of `value` of the logits, `(n,)`, in the images' shape."""
        scores, (gradient,) = self._differentiated(images, at, lambda seen: value(seen)[None])
        return scores, gradient

    def several_gradients(
        self, images: Tensor, at: Tensor, values: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Their logits, and the gradients of several values of these `(m, n)`, as `(m, n, C, H, W)`, of one pass."""
        scores, gradients = self._differentiated(images, at, values)
        return scores, torch.stack(gradients)

    def _differentiated(
        self, images: Tensor, at: Tensor, values: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        self._count(self.queries, at, 1)
        with torch.inference_mode(False), torch.enable_grad():
            # Cloned, since what was made in inference mode can't be followed.
            own = images.clone(memory_format=torch.channels_last).requires_grad_()
            scores = class_scores(self._run(own))
            rows = values(scores)
            known = rows.requires_grad
            gradients = [
                _gradient(row, own, last=number == len(rows) - 1) if known else torch.zeros_like(own)
                for number, row in enumerate(rows)
            ]
        self._count(self.gradients, at, len(rows))
        if not all(bool(each.isfinite().all()) for each in gradients):
            raise StepFailed("the network's gradient is not finite here; look at its weights and its normalization")
        return scores.detach(), gradients

    @staticmethod
    def _count(counts: Tensor, at: Tensor, more: int) -> None:
        """An image may be there more than once."""
        counts.index_add_(0, at, torch.full_like(at, more))


def _gradient(value: Tensor, images: Tensor, *, last: bool) -> Tensor:
    (found,) = torch.autograd.grad(
        value.sum(), images, retain_graph=not last, allow_unused=True, materialize_grads=True
    )
    return found
