"""Settings: the parts of an optimization, chosen by a preset and changed one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convscope.errors import ImageError, nearest
from convscope.image.recipe import JSON
from convscope.network.network import Network
from convscope.synthesis.optimizers import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from convscope.synthesis.parameterizations import PARAMETERIZATIONS, Parameterization
from convscope.synthesis.parameterizations.natural import Shape
from convscope.synthesis.parts import PartError, part, parts, text_of
from convscope.synthesis.regularizers import REGULARIZERS, Regularizer
from convscope.synthesis.transforms import TRANSFORMS, Transform
from convscope.synthesis.transforms.crop import Crop


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

    def view(self, network: Network, shape: Shape) -> Shape:
        """The shape `(C, H, W)` of what the network sees of images of a `shape`: their own, but for a crop's.

        What a crop shows fills the network's input, whatever the image's size.
        """
        cropped = any(isinstance(each, Crop) for each in self.transforms)
        return (shape[0], *network.input_size) if cropped else shape

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


def with_part(
    presets: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any], name: str, field: str, value: JSON
) -> dict[str, Any]:
    """The keyword arguments `options` with one number of one part changed, or such a part added.

    >>> with_part({"plain": {"regularizers": "blur:2"}}, {"preset": "plain"}, "blur", "every", 8)["regularizers"]
    ['blur:2,every=8']
    """
    settings = presets[options.get("preset") or next(iter(presets))]
    options_of = {each: option for option, kinds in _KINDS.items() for each in kinds}
    if name not in options_of:
        raise PartError(f"no part {name!r} to change the {field} of; {nearest(name, options_of)}")
    option = options_of[name]
    now = options.get(option)
    now = settings.get(option, "") if now is None else now
    texts = now.split() if isinstance(now, str) else list(now)
    several = option in ("transforms", "regularizers")
    if not any(each.partition(":")[0] == name for each in texts):
        texts = [*(texts if several else []), name]
    changed = [_set(each, field, value) if each.partition(":")[0] == name else each for each in texts]
    return {**options, option: changed if several else changed[0]}


def _set(text: str, field: str, value: JSON) -> str:
    """`blur:sigma=1,every=4` with another `every`; what is given by place stays before what is given by name."""
    name, _, rest = text.partition(":")
    pieces = [piece for piece in rest.split(",") if piece and piece.partition("=")[0] != field]
    return f"{name}:" + ",".join([*pieces, f"{field}={value}"])


_KINDS: dict[str, Mapping[str, type[Any]]] = {
    "parameterization": PARAMETERIZATIONS,
    "transforms": TRANSFORMS,
    "regularizers": REGULARIZERS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}

_USUAL: dict[str, Any] = {"transforms": "", "regularizers": "", "schedule": "constant", "views": 1}
"""What a preset needn't say."""
