"""A network under attack: its class scores and their gradients, counted; and the classes it answers in the end."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from convscope.errors import StepFailed
from convscope.fooling.wanted import class_scores
from convscope.network.answers import Answers
from convscope.network.differentiable import Differentiable
from convscope.network.network import Network

_CLOSE = 0.01
"""Of the largest score: two classes nearer to each other might change places by another order of sums. Far more than
that ever moves them; where half the digits of the network's numbers are more, these."""


class Answering:
    """Answers to `count` images of one `shape` `(C, H, W)`.

    `queries` and `gradients` `(count,)` are how many forward and backward passes each of them has had.
    """

    def __init__(self, network: Network, shape: tuple[int, int, int], count: int) -> None:
        self._network = network
        self._run = Differentiable(network, shape)
        self.queries = torch.zeros(count, dtype=torch.long)
        self.gradients = torch.zeros(count, dtype=torch.long)

    def scores(self, images: Tensor, at: Tensor) -> Tensor:
        """Logits `(n, K)` of images that are numbers `at` `(n,)` of all."""
        self._count(self.queries, at, 1)
        with torch.no_grad():
            return class_scores(self._run(images))

    def classes(self, images: Tensor) -> Tensor:
        """What `Network.predict` answers to each of the images by itself, `(n,)` on the processor; not counted.

        They go through the network together, whose arithmetic then differs in the last digits from that of an image
        alone. So an image is asked about alone where two classes are too near each other to be told apart.
        """
        with torch.no_grad():
            answers = self._run(images)
            found, sure = answers.probabilities.argmax(dim=1).cpu(), _sure(answers)
        for place in (~sure).nonzero()[:, 0].tolist():
            found[place] = self._network.predict(images[place], top=1)[0].index
        return found

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


def _sure(answers: Answers) -> Tensor:
    """Whether the first class is far ahead, `(n,)`: by its logit, and by its probability, which may be 1 of several."""
    if answers.logits.dim() > 2:
        return torch.zeros(answers.count, dtype=torch.bool)

    def ahead(values: Tensor) -> Tensor:
        close = max(_CLOSE, math.sqrt(torch.finfo(values.dtype).eps)) * values.abs().amax(dim=1)
        best = values.topk(2, dim=1).values
        return best[:, 0] - best[:, 1] > close

    return (ahead(answers.logits) & ahead(answers.probabilities)).cpu()


def _gradient(value: Tensor, images: Tensor, *, last: bool) -> Tensor:
    (found,) = torch.autograd.grad(
        value.sum(), images, retain_graph=not last, allow_unused=True, materialize_grads=True
    )
    return found
