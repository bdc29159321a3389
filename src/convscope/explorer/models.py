"""What the server is asked and answers, typed, so that the client's types come from its OpenAPI."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from convscope.explorer import results
from convscope.explorer.growing import GrowingScan
from convscope.explorer.images import Item
from convscope.explorer.jobs import State, Status
from convscope.network.rules import Rule
from convscope.scanning.stored import Scan

Scaling = Literal["own", "shared"]
FillName = Literal["gray", "mean", "zero"]
Id = Annotated[str, Field(max_length=200)]
Words = Annotated[str, Field(max_length=1000)]


class Told(BaseModel):
    """What the server answers."""

    model_config = ConfigDict(frozen=True)


class ErrorTold(Told):
    """What went wrong: got, expected, what to do."""

    error: str


class PalettesTold(Told):
    """The colours of maps and sprites, as "#rrggbb": place p of 255 stands for low + (high − low) · p / 254.

    `diverging` is for scales about 0, `invalid` for what is not a number or not known yet.
    """

    sequential: list[str]
    diverging: list[str]
    invalid: str


class SessionTold(Told):
    """What a page needs beside its cookie: the header with which it uploads, the colours of all maps."""

    version: str
    write_header: str
    write_token: str
    upload_limit: int
    palettes: PalettesTold


class NetworkTold(Told):
    """A network that can be asked for."""

    id: str
    name: str


class NetworkDetails(NetworkTold):
    """The same, loaded; `opening` is the layer at which a page opens."""

    input_size: tuple[int, int]
    channels: int
    classes: int | None
    labels: list[str] | None
    notes: list[str]
    opening: str


class LayerTold(Told):
    """A layer; `sees` are the rows and columns of its receptive field, None where that is the whole image.

    `stage` is the container by which the strip folds it, `aliases` are other names that it can be asked for by.
    """

    name: str
    kind: str
    shape: list[int]
    channels: int
    parameters: int
    multiply_adds: int
    sees: tuple[int, int] | None
    stage: str
    aliases: list[str]


class ImageTold(Told):
    """A picture by its id."""

    id: str
    kind: Literal["sample", "file", "upload"]
    name: str
    label: str | None

    @classmethod
    def of(cls, item: Item) -> "ImageTold":
        return cls(id=item.id, kind=item.kind, name=item.name, label=item.label)


class ImagesTold(Told):
    """Some of all `total` pictures."""

    total: int
    images: list[ImageTold]


class PredictionTold(Told):
    """A class and its probability."""

    index: int
    label: str
    probability: float | None


class LayerShown(Told):
    """How the sprite of a layer is to be read: cells of `rows × columns` pixels, `across` in a line.

    A pixel p of channel c stands for lows[c] + (highs[c] − lows[c]) · p / 254. `order` are channels by their largest
    activation, the strongest first; `places` is where that is.
    """

    layer: str
    shape: list[int]
    rows: int
    columns: int
    across: int
    diverging: bool
    lows: list[float]
    highs: list[float]
    largest: list[float | None]
    places: list[tuple[int, int]]
    order: list[int]


class MapShown(Told):
    """A map as a PNG of as many pixels, in the address itself; a pixel stands for low + (high − low) · p / 254."""

    png: str
    rows: int
    columns: int
    low: float
    high: float
    diverging: bool
    unit: str


class HistogramTold(Told):
    """How many values lie between an edge and the next."""

    edges: list[float]
    counts: list[int]


class UsualTold(Told):
    """What a channel does over the images of a scan: of its largest value in each."""

    images: int
    mean: float
    spread: float
    largest: float
    share: float
    histogram: HistogramTold


class UnitShown(Told):
    """One channel for an image: its map, the histogram of its values, what of the image drives it, and what is usual.

    `place` is where it is strongest, or the unit that was asked for. Where a rule can't be followed `driven` is None
    and `driven_error` says why. `driven_of` is the layer whose unit is asked: of a rectifier with a ceiling, what goes
    into it.
    """

    layer: str
    channel: int
    place: tuple[int, int]
    value: float | None
    field: tuple[int, int, int, int] | None
    activation: MapShown
    histogram: HistogramTold
    driven: MapShown | None
    driven_error: str | None
    driven_of: str
    usual: UsualTold | None


class OccludedTold(Told):
    """The answer with a rectangle covered, and without."""

    predictions: list[PredictionTold]
    target: str
    unit: str
    score: float
    baseline: float
    probability: float | None
    baseline_probability: float | None


class ScanTold(Told):
    """A scan that can be asked for, of `images` pictures so far, of `total`, and whether more are being read now.

    `own` is one that the Explorer makes of its own pictures, by the job `scan`. `names` are all names of its layers.
    """

    id: str
    name: str
    network: str
    images: int
    layers: list[str]
    total: int
    growing: bool
    own: bool
    names: list[str]

    @classmethod
    def of(cls, id: str, name: str, network: str, scan: Scan | None, own: GrowingScan | None = None) -> "ScanTold":
        layers = {} if scan is None else scan.layers
        images = 0 if scan is None else len(scan)
        return cls(
            id=id, name=name, network=network, images=images, layers=list(layers),
            total=images if own is None else own.total, growing=own is not None and own.growing, own=own is not None,
            names=list(dict.fromkeys(name for each in layers.values() for name in (each.name, *each.called))),
        )  # fmt: skip


class ChannelsTold(Told):
    """What each channel of a layer usually does over `images` pictures; one entry a channel.

    `mean`, `spread` and `largest` are of its largest value in each picture, `share` is that of the pictures in which it
    is above 0. `selectivity`, by which channels can be sorted, is `measured` by "classes", how much it prefers one
    class to the others, in [0, 1] (`prefers` which, `chance` by chance); or without classes by "spread", how many
    standard deviations its largest value lies above the mean. It is None for a channel that never changes. `states`
    are "dead", "saturated" or empty.
    """

    layer: str
    images: int
    measured: Literal["classes", "spread"]
    selectivity: list[float | None]
    prefers: list[str | None]
    chance: list[float | None]
    mean: list[float]
    spread: list[float]
    largest: list[float]
    share: list[float]
    states: list[Literal["", "dead", "saturated"]]
    notes: list[str]


class Asked(BaseModel):
    """What the server is asked; a field that it doesn't know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    page: Id | None = None
    kept: bool = False
    """Only what was made before, if it is still there: else the answer is null, and no work begins."""

    def fields(self) -> dict[str, Any]:
        """What the result depends on."""
        return self.model_dump(exclude={"page", "kept"})


class MapAsked(Asked):
    """A map of what a target looks at in an image, by a method."""

    network: Id
    image: Id
    target: Words
    method: Words
    smooth: Literal["positive"] | None = None
    layer: Words | None = None
    window: Annotated[int, Field(ge=1)] | None = None
    stride: Annotated[int, Field(ge=1)] | None = None
    fill: FillName = "gray"
    seed: int = 0


class ExplainAsked(MapAsked):
    """A map of what a target looks at in an image, by a method; with its verdict and curves if they are wanted."""

    kind: Literal["explain"]
    verdict: bool = False
    faithfulness: bool = False


class SegmentAsked(MapAsked):
    """The object that a map points to, cut out of the `photograph`, or of the picture as the network is given it."""

    kind: Literal["segment"]
    method: Words = "grad-cam"
    photograph: bool = True


class ScanAsked(Asked):
    """A pass of a network over all pictures of the folder, without one over the samples; with these layers, too.

    It is done in the background, goes on where it was stopped, and can be used meanwhile (GET /api/scans).
    """

    kind: Literal["scan"]
    network: Id
    layers: Annotated[list[Words], Field(max_length=64)] = []


class MistakesAsked(Asked):
    """The `limit` most confident errors of a network over the folder's pictures, by the classes that it tells.

    All are scanned first, in the background; with `partial` only those count that were scanned already. `scan` names
    another scan of this network to look at.
    """

    kind: Literal["mistakes"]
    network: Id
    scan: Id | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    partial: bool = False


class PatchesAsked(Asked):
    """What a channel is strongest at over a scan, with projections."""

    kind: Literal["patches"]
    scan: Id
    layer: Words
    channel: Annotated[int, Field(ge=0)]
    k: Annotated[int, Field(ge=1, le=64)] = 9
    projections: list[Rule] = []
    smooth: Literal["positive"] | None = None
    cell: Annotated[int, Field(ge=8, le=256)] = 72


class PreferredAsked(Asked):
    """An image that a target answers to most."""

    kind: Literal["preferred"]
    network: Id
    target: Words
    preset: Words = "lucid"
    steps: Annotated[int, Field(ge=1, le=4096)] | None = None
    seed: int = 0


JobAsked = Annotated[
    ExplainAsked | PatchesAsked | PreferredAsked | SegmentAsked | ScanAsked | MistakesAsked,
    Field(discriminator="kind"),
]


class PreviewTold(Told):
    """How to read the map at /api/jobs/ID/preview: a pixel p stands for low + (high − low) · p / 254.

    Pixels that are not known yet are transparent (255).
    """

    rows: int
    columns: int
    low: float
    high: float
    diverging: bool
    unit: str


class JobTold(Told):
    """How a job stands; once its state is "done", its result is at /api/results/KEY.

    Where what it has shown last is a map, `preview` says how to read it; the n-th that it shows has `previews` = n.
    """

    id: str
    kind: str
    key: str
    state: State
    done: int
    total: int
    seconds: float
    previews: int
    preview: PreviewTold | None
    error: str | None

    @classmethod
    def of(cls, status: Status) -> "JobTold":
        preview = None if status.preview is None else PreviewTold(**vars(status.preview))
        return cls(**{**vars(status), "preview": preview})


class ResultTold(Told):
    """A result: what it tells, and the names of its pictures, each at /api/results/KEY/NAME."""

    told: results.Told
    pictures: list[str]


class CameraAsked(BaseModel):
    """What is to be seen of the next frames."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Id
    layer: Words | None = None
    scale: Scaling = "own"
    cell: Annotated[int, Field(ge=8, le=256)] = 64
    top: Annotated[int, Field(ge=1, le=20)] = 5


class FrameTold(Told):
    """What is said of a frame: the one that came as number `frame`; `dropped` older ones were passed over so far."""

    frame: int
    dropped: int
    milliseconds: float
    predictions: list[PredictionTold]
    shown: LayerShown | None
    error: str | None = None
