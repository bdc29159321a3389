"""The occluder in hand: what a network answers with one rectangle of the image covered."""

from torch import Tensor

from convscope.attribution.occluder import Box
from convscope.errors import ImageError
from convscope.explorer.lens import Lens
from convscope.explorer.looking import predictions_told
from convscope.explorer.models import FillName, OccludedTold


def occluded_told(
    lens: Lens, id: str, image: Tensor, box: Box, fill: FillName, target: str | None, count: int
) -> OccludedTold:
    """The answer with and without `box` (top, left, bottom, right, cut off at the border) covered.

    One pass: for a single place, finding out what it can change takes longer than running it all. Without a target it
    is the class that is most probable without the occluder. Raises ImageError where the box lies outside.
    """
    rows, columns = image.shape[-2:]
    top, left, bottom, right = box[0], box[1], min(box[2], rows), min(box[3], columns)
    if top >= bottom or left >= right:
        raise ImageError(f"the rectangle begins at row {top}, column {left}; the image has {rows}×{columns} pixels")
    clean = lens.answers(id, image)
    if target is None:
        target = f"class:{lens.predictions(clean, 1)[0].index}"
    asked = lens.target(target)
    if asked.layers:
        clean = lens.look_at(image, asked)
    covered = lens.covered(image, (top, left, bottom, right), fill, asked)
    probability, before = covered.probability(asked), clean.probability(asked)
    return OccludedTold(
        predictions=[] if lens.network.classes is None else predictions_told(lens.predictions(covered, count)),
        target=asked.text, unit=asked.unit, score=float(covered.score(asked)), baseline=float(clean.score(asked)),
        probability=None if probability is None else float(probability),
        baseline_probability=None if before is None else float(before),
    )  # fmt: skip
