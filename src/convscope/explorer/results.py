"""What each kind of job tells as its result, typed. Pictures are named as they are found at /api/results/KEY/NAME."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Result(BaseModel):
    """What a job tells. `recipe` is the JSON by which its picture can be made again."""

    model_config = ConfigDict(frozen=True)


class VerdictTold(Result):
    """What a map is worth, by three figures; None where one is no number."""

    word: Literal["holds", "weak", "fails"]
    deletion: float | None
    randomized: float | None
    noise: float | None


class CourseTold(Result):
    """How an answer changes while `fractions` of the pixels go or come: by the map's order, and by `random` ones."""

    fractions: list[float]
    values: list[float]
    random: list[list[float]]


class CurvesTold(Result):
    """Insertion and deletion."""

    unit: str
    insertion: CourseTold
    deletion: CourseTold


class Explained(Result):
    """A map: "map.png", of which a pixel p stands for low + (high − low) · p / 254, and "picture.png" to keep."""

    kind: Literal["explain"] = "explain"
    target: str
    method: str
    unit: str
    note: str
    rows: int
    columns: int
    low: float
    high: float
    diverging: bool
    baseline_probability: float | None
    verdict: VerdictTold | None
    curves: CurvesTold | None
    recipe: str


class PatchFound(Result):
    """One of a channel's strongest: its value, where in the layer's map that is, and its pictures by what they show.

    `image` is the whole picture's id, where it is one of those at /api/images.
    """

    value: float
    place: tuple[int, int] | None
    name: str
    image: str | None
    pictures: dict[str, str]


class PatchesFound(Result):
    """What a channel is strongest at over `images` pictures; "picture.png" shows all."""

    kind: Literal["patches"] = "patches"
    layer: str
    channel: int
    images: int
    note: str
    patches: list[PatchFound]
    recipe: str


class Preferred(Result):
    """An image that a target answers to with `value`: "picture.png"."""

    kind: Literal["preferred"] = "preferred"
    target: str
    value: float
    recipe: str


class BoxTold(Result):
    """Pixels from top and left on, up to bottom and right, which are not in it any more."""

    top: int
    left: int
    bottom: int
    right: int


class Segmented(Result):
    """An object cut out where a map of `method` is large, which is a `share` of the picture of `rows × columns` pixels.

    "outline.png", "cutout.png" with nothing around it, "mask.png", and "picture.png" with the picture beside them.
    """

    kind: Literal["segment"] = "segment"
    target: str
    method: str
    unit: str
    note: str
    rows: int
    columns: int
    share: float
    box: BoxTold
    recipe: str


class Scanned(Result):
    """A scan that has come to its end: `labelled` of its `images` have a class that the network knows."""

    kind: Literal["scan"] = "scan"
    scan: str
    images: int
    unreadable: int
    labelled: int
    layers: list[str]


class MistakeTold(Result):
    """A picture of the class `label` that was taken for `predicted`; `target` asks why that and not its own.

    `image` is its id, where it is one of those at /api/images.
    """

    image: str | None
    name: str
    label: str
    label_index: int
    label_probability: float | None
    predicted: str
    predicted_index: int
    probability: float
    target: str


class ConfusionTold(Result):
    """So many of the `images` of the class `label` were taken for `predicted`."""

    label: str
    predicted: str
    count: int
    images: int


class MistakesFound(Result):
    """Of `images` pictures whose class is known `wrong` were taken for others; the most confident errors come first.

    `total` is how many pictures there are; `top_accuracy` counts those whose class is among the `top` most probable.
    """

    kind: Literal["mistakes"] = "mistakes"
    images: int
    total: int
    wrong: int
    accuracy: float
    top: int
    top_accuracy: float
    mistakes: list[MistakeTold]
    confusions: list[ConfusionTold]
    recipe: str


Told = Annotated[
    Explained | PatchesFound | Preferred | Segmented | Scanned | MistakesFound, Field(discriminator="kind")
]
