"""Settings: the parts of an optimization, chosen by a preset and changed one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convscope.errors import ImageError, nearest
from convscope.image.recipe import JSON
from convscope.synthesis.optimizers import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from convscope.synthesis.parameterizations import PARAMETERIZATIONS, Parameterization
from convscope.synthesis.parts import part, parts, text_of
from convscope.synthesis.regularizers import REGULARIZERS, Regularizer
from convscope.synthesis.transforms import TRANSFORMS, Transform


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an image is optimized: what is changed, how the network sees it, what keeps it simple, and how it climbs.

    `views` are how many transformed images a step looks at, their gradients averaged.
    """

    parameterization: Parameterization
    transforms: tuple[Transform, ...]
    regularizers: tuple[Regularizer, ...]
    optimizer: Optimizer
    schedule: Schedule
    steps: int
    views: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "views"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ImageError(f"got {name}={value!r}, expected a whole number of at least 1")

    def parameters(self) -> dict[str, JSON]:
        """As keyword arguments that make the same settings again."""
        return {
            "parameterization": text_of(self.parameterization, PARAMETERIZATIONS),
            "transforms": [text_of(each, TRANSFORMS) for each in self.transforms],
            "regularizers": [text_of(each, REGULARIZERS) for each in self.regularizers],
            "optimizer": text_of(self.optimizer, OPTIMIZERS),
            "schedule": text_of(self.schedule, SCHEDULES),
            "steps": self.steps,
            "views": self.views,
        }


def chosen(presets: Mapping[str, Mapping[str, Any]], preset: str, given: Mapping[str, Any]) -> Settings:
    """The settings of a preset, with what is `given` (and is not None) in place of the preset's own.

    Raises ImageError for an unknown preset, PartError for parts that are not understood.
    """
    if preset not in presets:
        raise ImageError(f"no preset {preset!r}; {nearest(preset, presets)}")
    asked = {**_USUAL, **presets[preset], **{name: value for name, value in given.items() if value is not None}}
    return Settings(
        parameterization=part(asked["parameterization"], PARAMETERIZATIONS, "parameterization"),
        transforms=parts(asked["transforms"], TRANSFORMS, "transform"),
        regularizers=parts(asked["regularizers"], REGULARIZERS, "regularizer"),
        optimizer=part(asked["optimizer"], OPTIMIZERS, "optimizer"),
        schedule=part(asked["schedule"], SCHEDULES, "schedule"),
        steps=asked["steps"],
        views=asked["views"],
    )


_USUAL: dict[str, Any] = {"transforms": "", "regularizers": "", "schedule": "constant", "views": 1}
"""What a preset needn't say."""
