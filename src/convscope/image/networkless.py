"""Recipes of what is made without a network."""

from collections.abc import Mapping

import torch

from convscope import __version__
from convscope.image.recipe import JSON, Input, Recipe


def recipe_of(
    method: str, parameters: Mapping[str, JSON], *, inputs: tuple[Input, ...] = (), seed: int | None = None
) -> Recipe:
    """The recipe of a result of `method`, made here and now without a network."""
    return Recipe(
        method=method,
        parameters=parameters,
        network=None,
        weights=None,
        inputs=inputs,
        engine=f"torch {torch.__version__}",
        threads=torch.get_num_threads(),
        seed=seed,
        version=__version__,
    )
