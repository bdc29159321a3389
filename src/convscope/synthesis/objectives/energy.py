"""The energy of a layer: DeepDream's objective."""

from torch import Tensor

from convscope.synthesis.objectives.objective import Objective, Seen


def energy(layer: str) -> Objective:
    """½ · mean a² over a layer: its gradient is the activation itself, so that it asks for more of what is there.

    Mordvintsev et al. (2015). At a rectified layer that only boosts; at a signed one it also drives down what is
    negative.
    """

    def value(seen: Seen) -> Tensor:
        return seen.layer(layer).flatten(1).square().mean(dim=1) / 2

    return Objective(f"energy of {layer}", value, (layer,))
