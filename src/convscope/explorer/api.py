"""The API over HTTP. Everything is asked for by id, and nothing changes on GET."""

import re
from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, File, Query, Response, UploadFile
from torch import Tensor

from convscope import __version__
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import WRITE_HEADER
from convscope.explorer.images import Kind, Unknown
from convscope.explorer.jobs import Status
from convscope.explorer.lens import Lens
from convscope.explorer.looking import layer_shown, layers_told, predictions_told, unit_shown
from convscope.explorer.models import (
    ChannelsTold,
    FillName,
    ImagesTold,
    ImageTold,
    JobAsked,
    JobTold,
    LayerShown,
    LayerTold,
    NetworkDetails,
    NetworkTold,
    OccludedTold,
    PalettesTold,
    PredictionTold,
    ResultTold,
    Scaling,
    ScanTold,
    SessionTold,
    UnitShown,
)
from convscope.explorer.occluding import occluded_told
from convscope.explorer.saved import activations_png, driven_png
from convscope.explorer.scanned import channels_told
from convscope.explorer.sprite import palettes
from convscope.explorer.strip import opening_layer
from convscope.image.write import png_bytes, to_picture
from convscope.network.rules import Rule

_KEY = re.compile(r"[0-9a-f]{64}")
_TYPES = {"png": "image/png", "webp": "image/webp"}
# What is found by the hash of what it is made of never changes.
_FOR_EVER = {"cache-control": "private, max-age=31536000, immutable"}
_A_WHILE = {"cache-control": "private, max-age=60"}

NetworkId = Annotated[str, Query(alias="network", max_length=200)]
ImageId = Annotated[str, Query(alias="image", max_length=200)]
LayerName = Annotated[str, Query(max_length=1000)]
Top = Annotated[int, Query(ge=1, le=100)]
Cell = Annotated[int, Query(ge=8, le=256)]
Index = Annotated[int, Query(ge=0)]


def router(explorer: Explorer) -> APIRouter:
    """All of it."""
    api = APIRouter(prefix="/api")
    for part in (_things, _pictures, _looking, _saved, _occluding, _jobs, _results):
        api.include_router(part(explorer))
    return api


def _things(explorer: Explorer) -> APIRouter:
    api = APIRouter()

    @api.get("/session")
    def session() -> SessionTold:
        policy = explorer.policy
        return SessionTold(
            version=__version__, write_header=WRITE_HEADER, write_token=policy.write_token,
            upload_limit=policy.upload_limit, palettes=PalettesTold(**palettes()),
        )  # fmt: skip

    @api.get("/networks")
    def networks() -> list[NetworkTold]:
        return [NetworkTold(id=each.id, name=each.name) for each in explorer.networks.all()]

    @api.get("/networks/{id}")
    def network(id: str) -> NetworkDetails:
        lens = explorer.networks.lens(id)
        found = lens.network
        return NetworkDetails(
            id=id, name=next(each.name for each in explorer.networks.all() if each.id == id),
            input_size=found.input_size, channels=found.channels, classes=found.classes,
            labels=None if found.labels is None else list(found.labels), notes=list(found.notes),
            opening=opening_layer(lens.layers),
        )  # fmt: skip

    @api.get("/networks/{id}/layers")
    def layers(id: str) -> list[LayerTold]:
        return layers_told(explorer.networks.lens(id))

    @api.get("/scans")
    def scans() -> list[ScanTold]:
        given = [ScanTold.of(named.id, named.name, scan.header.network, scan) for named, scan in explorer.scans.all()]
        own = [ScanTold.of(each.id, each.name, each.network.name, each.scan, each) for each in explorer.growing.all()]
        return given + own

    # As long as no more pictures have been read.
    @lru_cache(maxsize=32)
    def told(id: str, layer: str, _: int) -> ChannelsTold:
        return channels_told(explorer.kinds.scan(id), layer)

    @api.get("/scans/{id}/channels")
    def channels(id: str, layer: LayerName) -> ChannelsTold:
        return told(id, layer, len(explorer.kinds.scan(id)))

    return api


def _pictures(explorer: Explorer) -> APIRouter:
    api = APIRouter(prefix="/images")
    images = explorer.images

    @api.get("")
    def listed(
        kind: Kind | None = None, start: Index = 0, count: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> ImagesTold:
        found = images.all(kind)
        return ImagesTold(total=len(found), images=[ImageTold.of(each) for each in found[start : start + count]])

    @api.post("", status_code=201)
    def upload(file: Annotated[UploadFile, File()]) -> ImageTold:
        return ImageTold.of(images.add(file.file.read(), file.filename or ""))

    @api.get("/{id}")
    def image(id: str) -> ImageTold:
        return ImageTold.of(images.item(id))

    @api.get("/{id}/thumbnail", response_class=Response)
    def thumbnail(id: str, side: Annotated[int, Query(ge=16, le=1024)] = 128) -> Response:
        return Response(images.thumbnail(id, side), media_type="image/webp", headers=_A_WHILE)

    return api


def _looking(explorer: Explorer) -> APIRouter:
    api = APIRouter()

    # A layer is asked for twice, once to be read and once to be seen.
    @lru_cache(maxsize=16)
    def drawn(network: str, image: str, layer: str, scale: Scaling, cell: int) -> tuple[LayerShown, bytes]:
        lens, pixels = _both(explorer, network, image)
        return layer_shown(layer, lens.maps(image, pixels, layer), shared=scale == "shared", cell=cell)

    @api.get("/prepared", response_class=Response)
    def prepared(network: NetworkId, image: ImageId) -> Response:
        _, pixels = _both(explorer, network, image)
        return Response(png_bytes(to_picture(pixels)), media_type="image/png", headers=_A_WHILE)

    @api.get("/predictions")
    def predictions(network: NetworkId, image: ImageId, top: Top = 5) -> list[PredictionTold]:
        lens, pixels = _both(explorer, network, image)
        return predictions_told(lens.predictions(lens.answers(image, pixels), top))

    @api.get("/layer")
    def layer(
        network: NetworkId, image: ImageId, layer: LayerName, scale: Scaling = "own", cell: Cell = 64
    ) -> LayerShown:
        return drawn(network, image, layer, scale, cell)[0]

    @api.get("/sprite", response_class=Response)
    def sprite(
        network: NetworkId, image: ImageId, layer: LayerName, scale: Scaling = "own", cell: Cell = 64
    ) -> Response:
        return Response(drawn(network, image, layer, scale, cell)[1], media_type="image/png", headers=_A_WHILE)

    @api.get("/unit")
    def unit(
        network: NetworkId,
        image: ImageId,
        layer: LayerName,
        channel: Index,
        row: Index | None = None,
        column: Index | None = None,
        rule: Rule = "gradient",
        scan: Annotated[str | None, Query(max_length=200)] = None,
    ) -> UnitShown:
        lens, pixels = _both(explorer, network, image)
        place = None if row is None or column is None else (row, column)
        usual = None if scan is None else explorer.kinds.find_scan(scan)
        return unit_shown(lens, image, pixels, layer, channel, place=place, rule=rule, scan=usual)

    return api


def _saved(explorer: Explorer) -> APIRouter:
    api = APIRouter(prefix="/saved")

    @api.get("/activations", response_class=Response)
    def saved_activations(network: NetworkId, image: ImageId, layer: LayerName, scale: Scaling = "own") -> Response:
        lens, pixels = _both(explorer, network, image)
        png = activations_png(lens, pixels, layer, shared=scale == "shared")
        return Response(png, media_type="image/png", headers=_A_WHILE)

    @api.get("/driven", response_class=Response)
    def saved_driven(
        network: NetworkId,
        image: ImageId,
        target: Annotated[str, Query(max_length=1000)],
        rule: Rule = "gradient",
    ) -> Response:
        lens, pixels = _both(explorer, network, image)
        return Response(driven_png(lens, pixels, target, rule), media_type="image/png", headers=_A_WHILE)

    return api


def _occluding(explorer: Explorer) -> APIRouter:
    api = APIRouter()

    @api.get("/occluded")
    def occluded(
        network: NetworkId,
        image: ImageId,
        top: Index,
        left: Index,
        height: Annotated[int, Query(ge=1)],
        width: Annotated[int, Query(ge=1)],
        fill: FillName = "gray",
        target: Annotated[str | None, Query(max_length=1000)] = None,
        count: Top = 5,
    ) -> OccludedTold:
        lens, pixels = _both(explorer, network, image)
        return occluded_told(lens, image, pixels, (top, left, top + height, left + width), fill, target, count)

    return api


def _jobs(explorer: Explorer) -> APIRouter:
    api = APIRouter()
    jobs = explorer.jobs

    @api.post("/jobs", status_code=202)
    def submit(asked: JobAsked) -> JobTold | None:
        if asked.page is not None and asked.page not in explorer.pages:
            raise Unknown("there is no such page; open /api/events first, which tells its id")
        made = explorer.kinds.prepared(asked)
        if asked.kept and (made.anew or made.key not in jobs.cache):
            return None
        return JobTold.of(
            jobs.submit(
                asked.kind, made.key, made.work, draw=made.draw, owner=asked.page, behind=made.behind, anew=made.anew
            )
        )

    @api.get("/jobs")
    def listed() -> list[JobTold]:
        return [JobTold.of(each) for each in jobs.all()]

    @api.get("/jobs/{id}")
    def job(id: str) -> JobTold:
        return _told(jobs.status(id))

    @api.delete("/jobs/{id}")
    def cancel(id: str, page: Annotated[str | None, Query(max_length=200)] = None) -> JobTold:
        return _told(jobs.cancel(id, page))

    @api.get("/jobs/{id}/preview", response_class=Response)
    def preview(id: str) -> Response:
        drawn = jobs.preview(id)
        if drawn is None:
            raise Unknown("there is nothing to be seen of this job now")
        return Response(drawn.png, media_type="image/png", headers={"cache-control": "no-store"})

    return api


def _results(explorer: Explorer) -> APIRouter:
    api = APIRouter(prefix="/results")
    cache = explorer.jobs.cache

    @api.get("/{key}")
    def result(key: str) -> ResultTold:
        found = cache.get(key) if _KEY.fullmatch(key) else None
        if found is None:
            raise Unknown("there is no such result any more; ask for it again")
        return ResultTold.model_validate({"told": found.told, "pictures": list(found.pictures)})

    @api.get("/{key}/{name}", response_class=Response)
    def picture(key: str, name: str) -> Response:
        found = cache.get(key) if _KEY.fullmatch(key) else None
        if found is None or name not in found.pictures:
            raise Unknown("there is no such picture any more; ask for the result again")
        kind = _TYPES[name.rpartition(".")[2]]
        return Response(found.pictures[name], media_type=kind, headers=_FOR_EVER)

    return api


def _both(explorer: Explorer, network: str, image: str) -> tuple[Lens, Tensor]:
    """A network, and a picture as it comes to that. Raises Unknown, NetworkError, ImageError."""
    lens = explorer.networks.lens(network)
    return lens, explorer.images.prepared(image, lens.network)


def _told(status: Status | None) -> JobTold:
    if status is None:
        raise Unknown("there is no such job any more")
    return JobTold.of(status)
