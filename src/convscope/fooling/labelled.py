"""Labelled: the pictures of a source whose classes are known, read a few at a time."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import torch
from torch import Tensor

from convscope.errors import ConvscopeError, ImageError
from convscope.fooling.classes import class_index
from convscope.fooling.wanted import check_classes
from convscope.image.provenance import recall
from convscope.image.recipe import Input
from convscope.image.source.dataset import DatasetSource
from convscope.image.sources import Entry, Source, SourceLike, Unreadable, open_source
from convscope.network.class_names import classes_of
from convscope.network.network import Network
from convscope.network.target import TargetLike

Pictures: TypeAlias = SourceLike | Sequence[Tensor] | Tensor
"""What `open_source` opens, or images `(C, H, W)`, or a batch `(N, C, H, W)`."""

_Item = TypeVar("_Item")


@dataclass
class Labelled:
    """Pictures and the numbers of their classes; `inputs`, `classes` and `unreadable` grow as they are read.

    `told_by` says what told the classes, `notes` what else is to be known of that.
    """

    network: Network
    source: Source | None
    items: Sequence[tuple[Entry | Tensor, int]]
    told_by: str
    notes: tuple[str, ...] = ()
    unreadable: list[Unreadable] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        network: Network,
        given: Pictures,
        classes: Sequence[TargetLike] | Tensor | None,
        limit: int | None,
        seed: int,
    ) -> "Labelled":
        """Those of a source, or images with the `classes` given; at most `limit`, drawn by `seed`, in their order.

        Raises ImageError where no class is known, TargetError for a class that the network doesn't have.
        """
        check_classes(network)
        if limit is not None and limit < 1:
            raise ImageError(f"got limit={limit}, expected one picture at least")
        images = _images(given)
        if images is not None:
            return cls(network, None, _drawn(_with_classes(network, images, classes), limit, seed), "classes=")
        if classes is not None:
            raise ImageError("got classes= beside a source, which tells them itself; give images with it, or none")
        source = open_source(cast(SourceLike, given), every_file=network.loader is not None)
        entries = _told(network, source, limit, seed)
        known, note = classes_of(entries, network.labels, network.classes or 0)
        items = [(entry, index) for entry, index in zip(entries, known, strict=True) if index is not None]
        if not items:
            raise ImageError(_unlabelled(network, source, entries))
        notes = [] if note is None else [note]
        if left := len(entries) - len(items):
            notes.append(f"{left} of {len(entries)} pictures have no class that the network has: they are left out")
        told_by = source.labels_from or "its items"
        return cls(network, source, _drawn(items, limit, seed), told_by, tuple(notes), [*source.unreadable])

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images `(n, C, H, W)` as the network takes them and their classes `(n,)`, at most `size` at once.

        What can't be read is noted and passed over.
        """
        read = ((image, index) for each, index in self.items if (image := self._read(each)) is not None)
        while some := list(islice(read, size)):
            images, classes = zip(*some, strict=True)
            self.inputs += map(recall, images)
            self.classes += classes
            yield torch.stack(images), torch.tensor(classes)

    def _read(self, each: Entry | Tensor) -> Tensor | None:
        if isinstance(each, Tensor):
            return self.network.prepare(each)
        assert self.source is not None
        path = self.source.path(each.name)
        try:
            if path is not None:
                return self.network.read(path)
            return self.network.prepare(self.source.open(each.name, self.network.preparation)[0])
        except (ConvscopeError, OSError) as error:
            self.unreadable.append(Unreadable(path or Path(each.name), str(error)))
            return None


def _images(given: Pictures) -> list[Tensor] | None:
    """Images one by one; None where a source was given."""
    if isinstance(given, Tensor):
        return list(given)
    if isinstance(given, (list, tuple)) and all(isinstance(each, Tensor) for each in given):
        return list(given)
    return None


def _with_classes(
    network: Network, several: Sequence[Tensor], classes: Sequence[TargetLike] | Tensor | None
) -> list[tuple[Entry | Tensor, int]]:
    if not several:
        raise ImageError("got no images; expected one at least")
    if classes is None:
        raise ImageError(f"got {len(several)} images without their classes; say what each is, with classes=")
    told = classes.tolist() if isinstance(classes, Tensor) else list(classes)
    if len(told) != len(several):
        raise ImageError(f"got {len(told)} classes for {len(several)} images; expected one for each")
    return [(image, class_index(network, each)) for image, each in zip(several, told, strict=True)]


def _told(network: Network, source: Source, limit: int | None, seed: int) -> Sequence[Entry]:
    """What there is, with the classes; where only the items of a data set tell them, these are asked."""
    entries = source.entries()
    if not isinstance(source, DatasetSource) or source.labels_from is not None:
        return entries
    # Each has to be opened for its class, so they are drawn before.
    told = [(each, *source.item(each.name, network.preparation)[2]) for each in _drawn(entries, limit, seed)]
    return [replace(entry, label=label, index=index) for entry, label, index in told]


def _drawn(items: Sequence[_Item], limit: int | None, seed: int) -> list[_Item]:
    chosen = random.Random(seed).sample(range(len(items)), min(limit or len(items), len(items)))
    return [items[index] for index in sorted(chosen)]


def _unlabelled(network: Network, source: Source, entries: Sequence[Entry]) -> str:
    told = next((each.label or str(each.index) for each in entries if (each.label, each.index) != (None, None)), None)
    what = "no class is told" if told is None else f"{source.labels_from} tell no class of {network.name}, but {told!r}"
    return (
        f"{what} of the {len(entries)} pictures in {source.root!r}, and without the right class none can be called "
        "wrong; expected a folder a class, a list with a column of labels or indices, or WordNet ids in the names"
    )
