"""A linear classifier of raw pixels, its templates, and what adding one of them to a picture does (L59)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor, nn

from convscope.errors import ConvscopeError, ImageError
from convscope.fooling.class_pictures import ClassPictures, Pictures, class_pictures
from convscope.fooling.softmax_regression import softmax_regression
from convscope.image.networkless import recipe_of
from convscope.image.recipe import JSON, Recipe
from convscope.image.source.source import Unreadable
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.progress import Watcher
from convscope.render.grid import grid
from convscope.render.result import Pictured

_SHOWN = 40
_TILE = 96
# More inputs than these a recipe doesn't list: it would be larger than the picture.
_LISTED = 1000


@dataclass(frozen=True)
class LinearClassifier(Pictured):
    """Softmax regression on pixels: a `network` of one linear layer, to be looked at like any other.

    `templates` (K, C, H, W) are its weights: how each class's logit changes with each pixel. `accuracy` is on the
    pictures it was trained on, `held_out` on those kept from it, None where there are none. `unreadable` are the files
    that were passed over.
    """

    network: Network
    templates: Tensor
    labels: tuple[str, ...]
    regularization: float
    accuracy: float
    held_out: float | None
    recipe: Recipe
    unreadable: tuple[Unreadable, ...] = field(default=())

    @property
    def caption(self) -> str:
        """What it is and how often it is right, in words."""
        tested = "" if self.held_out is None else f", {self.held_out:.1%} of those held out"
        return (
            f"{len(self.labels)} classes, regularization {self.regularization:g}: right for {self.accuracy:.1%} of the "
            f"pictures it was trained on{tested}"
        )

    def picture(self, *, limit: int = _SHOWN) -> Image.Image:
        """The templates of the first `limit` classes, each about mid-grey on its own scale."""
        if limit < 1:
            raise ImageError(f"got limit={limit}; expected 1 or more")
        shown = [template_picture(each) for each in self.templates[:limit]]
        more = "" if len(self.labels) <= limit else f", the first {limit} of {len(self.labels)}"
        return grid(
            shown,
            labels=self.labels[:limit],
            cell=_TILE,
            title=f"Templates{more}, regularization {self.regularization:g}",
        )


def linear_classifier(
    source: Pictures,
    *,
    labels: Sequence[str] | None = None,
    size: int = 64,
    channels: int = 3,
    regularization: float = 1e-3,
    held_out: float = 0.2,
    seed: int = 0,
    progress: Watcher | None = None,
) -> LinearClassifier:
    """Train a linear classifier of raw pixels on pictures with classes.

    The logits are W (x − ½) + b, and W minimizes the mean cross-entropy + ½ λ ‖W‖² (see `softmax_regression`). A row of
    W has the shape of an image and is the class's template: added to any image, it lifts that class. The weaker
    the regularization, the larger W, and the smaller the change that is enough (A. Karpathy, "Breaking linear
    classifiers on ImageNet", 2015).

    Parameters
    ----------
    source
        A folder of folders of pictures or anything else that `open_source` takes, with classes; "digits", those of
        scikit-learn; or images (C, H, W) in [0, 1], with their `labels`.
    labels
        The class of each picture in `source`, where these are images.
    size
        Rows and columns that pictures are brought to: the shorter side, then the middle. Digits keep their 8.
    channels
        3 for colours, 1 for grey. Digits have 1.
    regularization
        λ. 1e-4 is weak, 1 is strong.
    held_out
        The part of each class's pictures, from 0 to below 1, that is only used to see how often it is right.
    seed
        Of which these are.
    progress
        Called every hundred steps; returning False stops.

    Raises
    ------
    ImageError
        For pictures without classes, or of one class only.
    ConvscopeError
        For numbers that are none of these.
    MissingExtra
        For "digits" without scikit-learn.
    Cancelled

    >>> made = linear_classifier("digits", regularization=0.01)
    >>> made.templates.shape, made.held_out > 0.9
    (torch.Size([10, 1, 8, 8]), True)
    >>> made.network.layers["linear"].kind
    'linear'
    """
    if not 0 <= held_out < 1:
        raise ConvscopeError(f"got held_out={held_out}; expected 0 (none) to below 1, such as 0.2")
    if size < 1:
        raise ConvscopeError(f"got size={size}; expected so many pixels, from 1 on, such as 64")
    known = class_pictures(source, labels=labels, size=size, channels=channels)
    train, test = _split(known.classes, held_out, seed)
    rows = known.images.flatten(1)
    weights, biases = softmax_regression(
        rows[train] - _MIDDLE, known.classes[train], len(known.labels), regularization=regularization, progress=progress
    )
    network = _network(known, weights, biases)
    parameters: dict[str, JSON] = {
        **known.told,
        "size": size,
        "channels": channels,
        "regularization": regularization,
        "held_out": held_out,
    }
    if len(known.inputs) > _LISTED:
        parameters["sha256"] = hashlib.sha256("".join(each.sha256 for each in known.inputs).encode()).hexdigest()
    inputs = known.inputs if len(known.inputs) <= _LISTED else ()
    return LinearClassifier(
        network,
        weights.float().reshape(-1, *known.images.shape[1:]),
        known.labels,
        regularization,
        _right(network, known, train),
        _right(network, known, test) if len(test) else None,
        recipe_of("linear_classifier", parameters, inputs=inputs, seed=seed),
        known.unreadable,
    )


# What the network is fed is x − ½: with zero in the middle of the range, a bias has less to make up for.
_MIDDLE = 0.5


def _network(known: ClassPictures, weights: Tensor, biases: Tensor) -> Network:
    channels, rows, columns = known.images.shape[1:]
    linear = nn.Linear(weights.shape[1], len(weights))
    with torch.no_grad():
        linear.weight.copy_(weights)
        linear.bias.copy_(biases)
    module = nn.Sequential()
    module.add_module("flatten", nn.Flatten())
    module.add_module("linear", linear)
    return Network(
        module.eval(),
        input_size=(rows, columns),
        channels=channels,
        mean=[_MIDDLE] * channels,
        std=[1.0] * channels,
        labels=known.labels,
        crop_fraction=1.0,
        name="linear_classifier",
    )


def _split(classes: Tensor, held_out: float, seed: int) -> tuple[Tensor, Tensor]:
    """Which pictures are trained on and which held out, of each class the same part."""
    draws = torch.Generator().manual_seed(seed)
    kept = torch.ones(len(classes), dtype=torch.bool)
    for each in torch.unique(classes):
        own = (classes == each).nonzero()[:, 0]
        order = own[torch.randperm(len(own), generator=draws)]
        kept[order[: int(held_out * len(own))]] = False
    return kept.nonzero()[:, 0], (~kept).nonzero()[:, 0]


def _right(network: Network, known: ClassPictures, which: Tensor) -> float:
    logits = network.logits(known.images[which])
    return float((logits.argmax(1) == known.classes[which]).double().mean())


def template_picture(template: Tensor) -> Image.Image:
    """A template (C, H, W) about mid-grey, scaled by its own largest absolute value."""
    return to_picture(0.5 + 0.5 * template / template.abs().max().clamp(min=1e-30))
