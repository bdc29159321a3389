"""The job `segment`: an object cut out where a map is large."""

from importlib.util import find_spec

from torch import Tensor

from convscope.attribution.methods import METHODS, check_method
from convscope.attribution.segment import Segmentation, segment
from convscope.errors import MissingExtra
from convscope.explorer.cache import Outcome, key_of
from convscope.explorer.images import Images
from convscope.explorer.lens import Lens
from convscope.explorer.making import Prepared, download, outcome
from convscope.explorer.models import SegmentAsked
from convscope.explorer.results import BoxTold, Segmented
from convscope.image.provenance import recall
from convscope.progress import Progress, Watcher


def segment_prepared(asked: SegmentAsked, lens: Lens, images: Images, options: dict[str, object]) -> Prepared:
    """The work, for the method of that name with these options. Raises MissingExtra where OpenCV is missing."""
    check_method(asked.method)
    if find_spec("cv2") is None:
        raise MissingExtra("cutting out objects", extra="segment")
    network, target = lens.network, lens.target(asked.target)
    image = images.prepared(asked.image, network)
    fields = asked.fields()
    fields |= {"weights": network.weights_sha256, "image": recall(image).sha256}

    def work(watcher: Watcher) -> Outcome:
        def watch(progress: Progress) -> bool | None:
            return watcher(Progress(progress.done, progress.total + 1, progress.seconds, progress.preview))

        why = METHODS[asked.method](network, image, target, progress=watch, **options)
        shown: Tensor = images.read(asked.image, network) if asked.photograph else image
        made = segment(shown, why, network=network if asked.photograph else None, seed=asked.seed)
        styles = {"outline": "outline", "cutout": "cutout", "mask": "mask", "picture": "beside"}
        pictures = {f"{name}.png": download(made, style=style) for name, style in styles.items()}
        told = Segmented(
            target=why.target, method=asked.method, unit=why.unit, note=why.note,
            rows=made.mask.shape[0], columns=made.mask.shape[1], share=float(made.mask.double().mean()),
            box=_box(made), recipe=made.recipe.with_picture(style="beside").to_json(),
        )  # fmt: skip
        return outcome(told, pictures)

    return Prepared(key_of("segment", fields), work)


def _box(made: Segmentation) -> BoxTold:
    top, left, bottom, right = made.box
    return BoxTold(top=top, left=left, bottom=bottom, right=right)
