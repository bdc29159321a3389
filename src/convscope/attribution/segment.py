"""Objects without labels: GrabCut, started where an attribution is large (Simonyan, Vedaldi and Zisserman 2013)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction
from convscope.attribution.seeds import Seeds, seeds, smoothed
from convscope.errors import ImageError, MissingExtra, nearest
from convscope.image.check import check_image
from convscope.image.provenance import recall
from convscope.image.recipe import Recipe
from convscope.image.resize import resize
from convscope.image.viewable import viewable
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.render.grid import grid
from convscope.render.result import Pictured

Style = Literal["outline", "cutout", "mask", "beside"]
Box = tuple[int, int, int, int]

_LARGEST = 448
"""Pixels of the longer side above which GrabCut works on a reduced picture: its time grows faster than their number."""

_GUESSED = 0.5
"""The share of the map that GrabCut takes for the object at first, where it is not sure."""

_LINE = (255, 64, 0)
_FINEST_LINE = 200
"""Pixels of the longer side for each pixel of the outline's width."""


@dataclass(frozen=True)
class Segmentation(Pictured):
    """An object cut out: `mask`, true where it is, `(H, W)` as its `image` `(C, H, W)`, with the batch in front."""

    mask: Tensor
    image: Tensor
    recipe: Recipe

    @property
    def boxes(self) -> list[Box]:
        """For each image the smallest box around the object: top, left, bottom, right, the last two exclusive."""
        return [_box(mask) for mask in self.mask.reshape(-1, *self.mask.shape[-2:])]

    @property
    def box(self) -> Box:
        """The smallest box around the object: top, left, bottom, right, the last two exclusive."""
        if self.mask.dim() == 3:
            raise ImageError(f"a batch of {len(self.mask)} has a box for each image; see `boxes`")
        return self.boxes[0]

    @property
    def cutout(self) -> Tensor:
        """The image in colour with the mask as its opacity, a fourth channel: `(4, H, W)`, or `(N, 4, H, W)`."""
        seen = viewable(self.image)
        colour = seen.expand(*seen.shape[:-3], 3, *seen.shape[-2:])
        return torch.cat([colour, self.mask.unsqueeze(-3).to(colour)], dim=-3)

    def iou(self, truth: Tensor) -> Tensor:
        """How well it covers the `truth`, true or above 0.5 where the object is: intersection over union, in [0, 1].

        One number for an image, `(N,)` for a batch; 1 where both are empty.
        """
        if truth.shape != self.mask.shape:
            raise ImageError(f"got a true mask of shape {tuple(truth.shape)}; expected {tuple(self.mask.shape)}")
        true = (truth if truth.dtype == torch.bool else truth > 0.5).to(self.mask.device)
        common, either = (both.sum(dim=(-2, -1)) for both in (self.mask & true, self.mask | true))
        return torch.where(either > 0, common / either.clamp(min=1), 1.0)

    def picture(self, *, style: Style = "outline") -> Image.Image:
        """The image with the object's "outline", its "cutout" on nothing, its "mask", or the first two "beside" it."""
        if style not in get_args(Style):
            raise ImageError(f"unknown style {style!r}; {nearest(str(style), get_args(Style))}")
        if self.image.dim() == 4:
            return grid([_on_paper(self._one(index).picture(style=style)) for index in range(len(self.image))])
        if style == "beside":
            drawn = to_picture(self.image), self.picture(style="outline"), self.picture(style="cutout")
            return grid([_on_paper(each) for each in drawn], columns=3)
        if style == "mask":
            return Image.fromarray(self.mask.cpu().byte().mul(255).numpy())
        if style == "cutout":
            opacity = self.picture(style="mask")
            picture = to_picture(self.image).convert("RGB")
            picture.putalpha(opacity)
            return picture
        return _outlined(to_picture(self.image).convert("RGB"), self.mask)

    def _one(self, index: int) -> "Segmentation":
        return replace(self, mask=self.mask[index], image=self.image[index])


def segment(
    image: Tensor,
    attribution: Attribution,
    *,
    network: Network | None = None,
    foreground: float = 0.05,
    background: float = 0.30,
    smooth: float = 0.02,
    reduction: Reduction = "max",
    iterations: int = 5,
    seed: int = 0,
) -> Segmentation:
    """Cut out the object that an attribution points to.

    The pixels where the map is largest surely belong to the object, those where it is smallest surely don't; GrabCut
    (Rother, Kolmogorov and Blake 2004) learns the colours of both and finds the border. Of what is open, the upper
    half of the map is its first guess of the object. Its largest connected part is the mask.

    The map decides how good that is. On twelve photographs with outlines by hand, the mean intersection over union was
    0.74 by Grad-CAM and guided Grad-CAM, 0.73 by SmoothGrad and 0.59 by saliency. Occlusion, 0.32, does not point to
    objects that are seen by many of their parts. Of an object that fills the photograph only a part is found.

    Parameters
    ----------
    image
        `(C, H, W)` or `(N, C, H, W)` in [0, 1]: the one that the attribution is of, or with `network` the photograph,
        of any size, that it prepared it from. The mask has its size. What the network did not see of a photograph
        is open, and goes where its colours belong.
    network
        That which the attribution is of.
    foreground, background
        The fractions of the map that are surely one or the other.
    smooth
        Maps of derivatives are speckled, so the map is blurred first: the Gaussian's standard deviation, as a fraction
        of the map's longer side.
    reduction
        What ranks the pixels of a map with colours (see `Attribution.reduced`), by default their largest magnitude.
        In maps of places, of occlusion and class activation, the sign counts.
    iterations
        Of GrabCut.
    seed
        Of its clustering of colours. OpenCV's own generator is left as it was.

    Raises
    ------
    ImageError
        Fractions, shapes or a map that leave nothing to start from.
    MissingExtra
        OpenCV is not installed.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> photograph = cs.read_image("chelsea")
    >>> why = cs.grad_cam(net, net.prepare(photograph), "tiger cat")
    >>> segment(photograph, why, network=net).mask.shape
    torch.Size([300, 451])
    """
    check_image(image)
    if iterations < 1 or iterations % 1:
        raise ImageError(f"got iterations={iterations!r}; expected a whole number, at least 1")
    ranked = attribution.reduced(reduction)
    _check_fit(image, ranked, network)
    images, maps = (image, ranked) if image.dim() == 4 else (image[None], ranked[None])
    masks = []
    for each, values in zip(images, maps, strict=True):
        sigma = smooth * max(values.shape)
        small, values, seen = _brought_together(each, smoothed(values, sigma), network)
        found = seeds(values, foreground=foreground, background=background, among=seen)
        guess = values > torch.quantile(values[seen], 1 - _GUESSED)
        masks.append(_enlarged(_cut_out(small, found, guess, iterations, seed), each))
    mask = torch.stack(masks) if image.dim() == 4 else masks[0]
    options = {"foreground": foreground, "background": background, "smooth": smooth, "reduction": reduction}
    made = {"of": _of(attribution.recipe), "photograph": network is not None, **options, "iterations": iterations}
    inputs = ((recall(image),) if network is not None else ()) + attribution.recipe.inputs
    recipe = replace(attribution.recipe, method="segment", parameters=made, inputs=inputs, seed=seed, picture={})
    return Segmentation(mask, image, recipe)


def _of(recipe: Recipe) -> dict[str, Any]:
    """What made the map, as a recipe of what is made from it tells it."""
    return {"method": recipe.method, "parameters": recipe.parameters, "seed": recipe.seed, "batch": recipe.batch}


def _check_fit(image: Tensor, ranked: Tensor, network: Network | None) -> None:
    """Raises ImageError where the map is not of this image."""
    expected = tuple(image.shape[:-3]) + (tuple(image.shape[-2:]) if network is None else network.input_size)
    if tuple(ranked.shape) != expected:
        raise ImageError(
            f"got a map of shape {tuple(ranked.shape)} for an image of {tuple(image.shape)}; expected {expected}. For "
            "the photograph that the image was prepared from, give network="
        )


def _brought_together(image: Tensor, values: Tensor, network: Network | None) -> tuple[Tensor, Tensor, Tensor]:
    """The image and its map, made small enough to work on, and which of their pixels the network saw."""
    height, width = image.shape[-2:]
    factor = min(1.0, _LARGEST / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    small = resize(image, size, "bilinear") if factor < 1 else image
    if network is not None:
        seen = network.to_original(torch.ones_like(values), size) > 0.5
        return small, network.to_original(values, size), seen
    if factor < 1:
        values = F.interpolate(values[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    return small, values, torch.ones_like(values, dtype=torch.bool)


def _cut_out(image: Tensor, found: Seeds, guess: Tensor, iterations: int, seed: int) -> Tensor:
    """The largest connected part of what GrabCut takes for the object, `(H, W)`."""
    cv2 = _opencv()
    labels = np.where(guess.cpu().numpy(), cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[found.background.cpu().numpy()] = cv2.GC_BGD
    labels[found.foreground.cpu().numpy()] = cv2.GC_FGD
    picture = np.asarray(to_picture(image).convert("RGB"))

    def work() -> NDArray[np.uint8]:
        cv2.setRNGSeed(seed)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        return np.asarray(cv2.grabCut(picture, labels, None, *models, iterations, cv2.GC_INIT_WITH_MASK)[0])

    # OpenCV keeps a random generator for each thread: in one of its own, that of the caller is left as it was.
    with ThreadPoolExecutor(1) as alone:
        labels = alone.submit(work).result()
    object_ = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(object_, connectivity=8)
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    return torch.from_numpy(parts == largest)


def _opencv() -> Any:
    try:
        return import_module("cv2")
    except ImportError as error:
        raise MissingExtra("cutting out objects", extra="segment") from error


def _enlarged(mask: Tensor, image: Tensor) -> Tensor:
    """The mask at the image's size and device, its edge smooth."""
    size = (image.shape[-2], image.shape[-1])
    if tuple(mask.shape) != size:
        mask = F.interpolate(mask[None, None].float(), size=size, mode="bilinear")[0, 0] > 0.5
    return mask.to(image.device)


def _box(mask: Tensor) -> Box:
    rows, columns = (mask.any(dim=axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def _on_paper(picture: Image.Image) -> Image.Image:
    """A picture on white where it is transparent."""
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _outlined(picture: Image.Image, mask: Tensor) -> Image.Image:
    """A line along the inside of the mask's edge and a white one along its outside; around it the picture is paler."""
    width = max(1, round(max(picture.size) / _FINEST_LINE))
    inside = mask.cpu()
    grown, shrunk = _grown(inside, width), ~_grown(~inside, width)
    pixels = np.array(picture)
    around = ~inside.numpy()
    pixels[around] = (pixels[around].astype(np.uint16) + 255) // 2
    pixels[(inside & ~shrunk).numpy()] = _LINE
    pixels[(grown & ~inside).numpy()] = 255
    return Image.fromarray(pixels)


def _grown(mask: Tensor, width: int) -> Tensor:
    return F.max_pool2d(mask[None, None].float(), 2 * width + 1, stride=1, padding=width)[0, 0] > 0
