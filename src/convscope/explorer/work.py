"""The kinds of jobs: each request as work for the queue, under the key by which its result is found again."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.faithfulness import Course, Faithfulness, faithfulness
from convscope.attribution.methods import METHODS, check_method
from convscope.attribution.occluded import SoFar
from convscope.attribution.occlusion import Occlusion
from convscope.attribution.verdict import Verdict, verdict
from convscope.errors import ConvscopeError
from convscope.explorer.cache import Outcome, key_of
from convscope.explorer.growing import Growing
from convscope.explorer.images import Images
from convscope.explorer.jobs import Drawn, Reading
from convscope.explorer.making import Prepared, download, finite, outcome, png
from convscope.explorer.mistaken import mistakes_prepared
from convscope.explorer.models import (
    ExplainAsked,
    JobAsked,
    MapAsked,
    MistakesAsked,
    PatchesAsked,
    PreferredAsked,
    ScanAsked,
    SegmentAsked,
)
from convscope.explorer.networks import Networks, Scans
from convscope.explorer.results import (
    CourseTold,
    CurvesTold,
    Explained,
    PatchesFound,
    PatchFound,
    Preferred,
    VerdictTold,
)
from convscope.explorer.scanned import scan_prepared
from convscope.explorer.segmenting import segment_prepared
from convscope.explorer.sprite import map_png
from convscope.image.provenance import recall
from convscope.image.write import to_picture
from convscope.plates.explanation import usual_style
from convscope.progress import Watcher, part_of
from convscope.render.colours import Scale
from convscope.scanning.stored import Scan
from convscope.synthesis.maximize import maximize

_CLIP = 99.5
_BY_RULES = ("guided", "deconvnet", "guided-grad-cam")
_BY_LAYER = ("grad-cam", "guided-grad-cam")


class Kinds:
    """Makes work of requests, with the things that they name by id."""

    def __init__(self, images: Images, networks: Networks, scans: Scans, *, growing: Growing | None = None) -> None:
        self._images, self._networks, self._scans = images, networks, scans
        self._growing = growing or Growing(images, networks, None)

    def scan(self, id: str) -> Scan:
        """A scan that was given, or one of the Explorer's own. Raises Unknown, ConvscopeError where it is empty."""
        found = self.find_scan(id)
        if found is None:
            raise ConvscopeError("nothing has been scanned yet; ask again when the first pictures have")
        return found

    def find_scan(self, id: str) -> Scan | None:
        """The same; None where it is empty."""
        own = next((each for each in self._growing.all() if each.id == id), None)
        return self._scans.scan(id) if own is None else own.scan

    def prepared(self, asked: JobAsked) -> Prepared:
        """The work for a request. Raises Unknown and what is wrong with the request."""
        match asked:
            case ExplainAsked():
                return self._explain(asked)
            case PatchesAsked():
                return self._patches(asked)
            case PreferredAsked():
                return self._preferred(asked)
            case SegmentAsked():
                return segment_prepared(asked, self._networks.lens(asked.network), self._images, _options(asked))
            case ScanAsked():
                return scan_prepared(asked, self._growing.of(asked.network))
            case MistakesAsked():
                lens = self._networks.lens(asked.network)
                given = None if asked.scan is None else self.scan(asked.scan)
                return mistakes_prepared(asked, lens, self._images, self._growing, given)

    def _explain(self, asked: ExplainAsked) -> Prepared:
        check_method(asked.method)
        lens = self._networks.lens(asked.network)
        network, target = lens.network, lens.target(asked.target)
        image = self._images.prepared(asked.image, network)
        fields = asked.fields()
        # Of the pixels that are looked at, whatever has become of the file since they were read.
        fields |= {"weights": network.weights_sha256, "image": recall(image).sha256}
        options = _options(asked)
        parts = 1 + asked.verdict + asked.faithfulness

        def work(watcher: Watcher) -> Outcome:
            made = METHODS[asked.method](network, image, target, progress=part_of(watcher, 0, parts), **options)
            judged, curves = None, None
            if asked.verdict:
                judged = verdict(network, made, seed=asked.seed, progress=part_of(watcher, 1, parts))
            if asked.faithfulness:
                curves = faithfulness(
                    network, image, made, seed=asked.seed, progress=part_of(watcher, parts - 1, parts)
                )
            style = usual_style(made)
            pictures = {
                "map.png": map_png(made.heatmap, _scale(made.heatmap)),
                "picture.png": download(made, style=style),
            }
            return outcome(_told(made, asked, judged, curves), pictures)

        return Prepared(key_of("explain", fields), work, _draw)

    def _patches(self, asked: PatchesAsked) -> Prepared:
        scan = self.scan(asked.scan)
        found = scan.top_patches(
            asked.layer, channel=asked.channel, k=asked.k, projections=asked.projections, smooth=asked.smooth
        )
        fields = asked.fields() | {"weights": scan.header.weights, "images": len(scan)}

        def work(watcher: Watcher) -> Outcome:
            (tiles,) = found.tiles(cell=asked.cell, progress=watcher)
            pictures: dict[str, bytes] = {}
            told: list[PatchFound] = []
            for at, (tile, patch) in enumerate(zip(tiles, found.rows[0], strict=True)):
                drawn: dict[str, Image.Image] = {"photograph": tile.photograph}
                drawn.update(tile.projections.items())
                names = {rule: f"{at}-{rule}.png" for rule in drawn}
                pictures |= {names[rule]: png(picture) for rule, picture in drawn.items()}
                called = scan.images.names[scan.images.row(patch.image)]
                name, image = called.rpartition("/")[2], self._images.id_at(scan.source.path(called))
                told.append(PatchFound(value=patch.value, place=patch.place, name=name, image=image, pictures=names))
            pictures["picture.png"] = download(found, cell=asked.cell)
            return outcome(
                PatchesFound(
                    layer=found.layer, channel=asked.channel, images=len(scan), note=found.note, patches=told,
                    recipe=found.recipe.to_json(),
                ),
                pictures,
            )  # fmt: skip

        return Prepared(key_of("patches", fields), work)

    def _preferred(self, asked: PreferredAsked) -> Prepared:
        lens = self._networks.lens(asked.network)
        network, target = lens.network, lens.target(asked.target)
        fields = asked.fields() | {"weights": network.weights_sha256}

        def work(watcher: Watcher) -> Outcome:
            made = maximize(network, target, preset=asked.preset, steps=asked.steps, seed=asked.seed, progress=watcher)
            told = Preferred(target=target.text, value=float(made.values[-1, 0]), recipe=made.recipe.to_json())
            return outcome(told, {"picture.png": download(made)})

        return Prepared(key_of("preferred", fields), work, _draw)


def _options(asked: MapAsked) -> dict[str, Any]:
    """Those of the request that its method takes."""
    options: dict[str, Any] = {}
    if asked.method in _BY_RULES:
        options["smooth"] = asked.smooth
    if asked.method in _BY_LAYER:
        options["layer"] = asked.layer
    if asked.method == "occlusion":
        sizes = {"window": asked.window, "stride": asked.stride}
        options |= {name: size for name, size in sizes.items() if size is not None}
        # Torch's engine, so that the map comes out the same wherever it is made again.
        options |= {"fill": asked.fill, "engine": "torch"}
    return options


def _told(made: Attribution, asked: ExplainAsked, judged: Verdict | None, curves: Faithfulness | None) -> Explained:
    values = made.heatmap
    scale = _scale(values)
    before = made.baseline_probability if isinstance(made, Occlusion) else None
    return Explained(
        target=made.target, method=asked.method, unit=made.unit, note=made.note,
        rows=values.shape[0], columns=values.shape[1], low=scale.low, high=scale.high, diverging=scale.diverging,
        baseline_probability=None if before is None else float(before),
        verdict=None if judged is None else VerdictTold(
            word=judged.word, deletion=finite(judged.deletion), randomized=finite(judged.randomized),
            noise=finite(judged.noise),
        ),
        curves=None if curves is None else CurvesTold(
            unit=curves.unit, insertion=_course(curves.insertion), deletion=_course(curves.deletion)
        ),
        recipe=made.recipe.to_json(),
    )  # fmt: skip


def _course(course: Course) -> CourseTold:
    return CourseTold(fractions=course.fractions.tolist(), values=course.values.tolist(), random=course.random.tolist())


def _scale(values: Tensor) -> Scale:
    return Scale.of(values, percentile=_CLIP)


def _draw(preview: Any) -> Drawn | None:
    """What a step shows: a map, one of which not all is known yet, or images that are being made."""
    if isinstance(preview, (Attribution, SoFar)):
        values = preview.heatmap
        scale = _scale(values)
        reading = Reading(values.shape[0], values.shape[1], scale.low, scale.high, scale.diverging, preview.unit)
        return Drawn(map_png(values, scale, clear=True), reading)
    if not isinstance(preview, Tensor):
        return None
    image = preview[0] if preview.dim() == 4 else preview
    return Drawn(png(to_picture(image.clamp(0, 1)))) if not torch.isnan(image).any() else None
