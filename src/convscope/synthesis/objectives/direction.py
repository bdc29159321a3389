"""A direction among a layer's channels."""

import torch
from torch import Tensor

from convscope.synthesis.objectives.objective import Objective, Seen


def direction(layer: str, vector: Tensor, *, power: float = 0.0) -> Objective:
    """Mean over places of (a · v) · max(0.1, cos(a, v))^power, a the channels `(C,)` at a place (Olah et al. 2018).

    With a `power` the activation must point that way, not only reach far along it.
    """

    def value(seen: Seen) -> Tensor:
        channels = seen.layer(layer).flatten(2) if seen.layer(layer).dim() > 2 else seen.layer(layer)[..., None]
        along = torch.einsum("ncp,c->np", channels, vector.to(channels))
        if not power:
            return along.mean(dim=1)
        cosine = along / (channels.norm(dim=1) * vector.norm()).clamp(min=1e-8)
        return torch.mean(along * cosine.clamp(min=0.1) ** power, dim=1)

    return Objective(f"a direction of {layer}", value, (layer,))
