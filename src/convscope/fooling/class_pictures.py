"""Pictures with their classes, small enough to be rows of numbers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import torch
from torch import Tensor

from convscope.errors import ImageError, MissingExtra
from convscope.image.preparation import Preparation
from convscope.image.provenance import checksum, recall
from convscope.image.recipe import JSON, Input
from convscope.image.source.dataset import DatasetSource
from convscope.image.source.source import Source, Unreadable
from convscope.image.sources import SourceLike, open_source

Pictures: TypeAlias = SourceLike | Sequence[Tensor]
"""What can be learned from."""

DIGITS = "digits"
"""The digits of scikit-learn."""


@dataclass(frozen=True)
class ClassPictures:
    """Images (N, C, H, W) in [0, 1] and their `classes` (N,), numbers of `labels`; `told` is for a recipe."""

    images: Tensor
    classes: Tensor
    labels: tuple[str, ...]
    told: Mapping[str, JSON]
    inputs: tuple[Input, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


def class_pictures(source: Pictures, *, labels: Sequence[str] | None, size: int, channels: int) -> ClassPictures:
    """Read pictures with classes, as `linear_classifier` describes it."""
    if isinstance(source, str) and source == DIGITS and not Path(source).exists():
        return _digits()
    preparation = Preparation(input_size=(size, size), channels=channels, crop_fraction=1.0)
    if isinstance(source, (list, tuple)) and source and all(isinstance(each, Tensor) for each in source):
        return _given(source, labels, preparation)
    if labels is not None:
        raise ImageError("got labels beside a source that has its own; expected them with images, one for each")
    return _read(open_source(source), preparation)  # type: ignore[arg-type]  # what is left of the kinds


def origin(image: Tensor) -> Input:
    """Where an image came from; of one that was prepared for some network, only its checksum.

    A recipe without a network doesn't know how that was done.
    """
    known = recall(image)
    return Input(None, checksum(image)) if known.prepared else known


def _digits() -> ClassPictures:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtra("the bundled digits", extra="photos") from error
    loaded = load_digits()
    images = torch.from_numpy(loaded.images).float()[:, None] / 16
    names = tuple(str(digit) for digit in range(10))
    return ClassPictures(images, torch.from_numpy(loaded.target).long(), names, {"source": DIGITS})


def _given(images: Sequence[Tensor], labels: Sequence[str] | None, preparation: Preparation) -> ClassPictures:
    if labels is None or len(labels) != len(images):
        got = "none" if labels is None else str(len(labels))
        raise ImageError(f"got {len(images)} images and {got} labels; expected one label for each")
    ready = torch.stack([preparation.prepare(each).detach().float().cpu() for each in images])
    return _with_classes(ready, list(labels), tuple(map(origin, images)), (), "the images given")


def _read(source: Source, preparation: Preparation) -> ClassPictures:
    """All that can be read; what can't is told of."""
    images, names, inputs, unreadable = [], [], [], []
    for entry in source.entries():
        try:
            if isinstance(source, DatasetSource):
                image, _, told = source.item(entry.name, preparation)
                label, index = (entry.label, entry.index) if entry.label or entry.index is not None else told
                digest = None
            else:
                image, _ = source.open(entry.name, preparation)
                label, index = entry.label, entry.index
                digest = hashlib.sha256(source.bytes(entry.name)).hexdigest()
            ready = preparation.prepare(image)
        except ImageError as error:
            unreadable.append(Unreadable(Path(source.where(entry.name)), str(error)))
            continue
        if label is None and index is None:
            continue
        images.append(ready)
        names.append(str(index) if label is None else label)
        named = Input(PurePosixPath(entry.name).name, digest, channels=preparation.channels) if digest else None
        inputs.append(named or recall(image))
    if not images:
        first = f"; {unreadable[0].path.name}: {unreadable[0].reason}" if unreadable else ""
        raise ImageError(
            f"there is no picture with a class in {source.root!r}{first}; expected a folder for each class with its "
            "pictures, or a list of files and labels"
        )
    passed = (*source.unreadable, *unreadable)
    return _with_classes(torch.stack(images), names, tuple(inputs), passed, repr(source.root))


def _with_classes(
    images: Tensor, names: list[str], inputs: tuple[Input, ...], unreadable: tuple[Unreadable, ...], where: str
) -> ClassPictures:
    labels = tuple(sorted(set(names), key=_natural))
    if len(labels) < 2:
        raise ImageError(
            f"all {len(names)} pictures of {where} are of the class {labels[0]!r}; expected two classes or more: a "
            "folder for each"
        )
    if not images.isfinite().all():
        raise ImageError(f"got pictures with NaN or infinity in them from {where}; expected values in [0, 1]")
    numbers = {label: number for number, label in enumerate(labels)}
    classes = torch.tensor([numbers[name] for name in names])
    return ClassPictures(images, classes, labels, {"labels": names}, inputs, unreadable)


def _natural(label: str) -> tuple[int, str]:
    """Numbers in their order, before words."""
    return (int(label), "") if label.isdecimal() else (1 << 62, label)
