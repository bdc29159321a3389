"""Being like a second picture: DeepDream's guide."""

import torch
from torch import Tensor

from convscope.synthesis.objectives.objective import Objective, Seen

# Places matched at a time: all of a large picture against all of a guide would be gigabytes.
_PLACES = 4096


def guided(layer: str, guide: Tensor) -> Objective:
    """Mean over places of a · g, with g the guide's vector there that a already goes along with most.

    a are the channels `(C,)` at a place and g is among the places of the `guide`, the layer's maps `(C, h, w)` of
    another picture: g = argmax over its places of a · g. So each place is drawn to the part of the guide that it is
    most like already; which part that is counts as given, and the gradient at a place is g itself (Mordvintsev et al.
    2015).
    """
    vectors = guide.flatten(1)

    def value(seen: Seen) -> Tensor:
        channels = seen.layer(layer).flatten(2)
        known = vectors.to(channels)
        best = torch.cat([_best(part, known) for part in torch.split(channels.detach(), _PLACES, dim=2)], dim=1)
        wanted = known.t()[best].transpose(1, 2)
        return (channels * wanted).sum(dim=1).mean(dim=1)

    return Objective(f"{layer} as in a guide", value, (layer,))


def _best(channels: Tensor, vectors: Tensor) -> Tensor:
    """Of places `(N, C, P)`, which of the vectors `(C, Q)` has the largest product with each: `(N, P)`."""
    return torch.einsum("ncp,cq->npq", channels, vectors).argmax(dim=2)
