"""Diversity: the images of a batch unlike each other."""

import torch
from torch import Tensor

from convscope.synthesis.objectives.gram import gram
from convscope.synthesis.objectives.objective import Objective, Seen


def diversity(layer: str) -> Objective:
    """−mean cosine of an image's Gram matrix with those of the others of its batch (Olah et al. 2017); 0 if alone."""

    def value(seen: Seen) -> Tensor:
        activations = seen.layer(layer)
        matrices = gram(activations if activations.dim() > 2 else activations[..., None]).flatten(1)
        flat = torch.nn.functional.normalize(matrices, dim=1)
        likeness = flat @ flat.T
        others = max(1, len(flat) - 1)
        return -(likeness.sum(dim=1) - likeness.diagonal()) / others

    return Objective(f"diversity at {layer}", value, (layer,))
