"""Which of a network's classes is meant by a name, a WordNet id or a number."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from convscope.network.labels import imagenet_labels, imagenet_wordnet_ids


class Named(Protocol):
    """A picture whose class may be told: by a name or WordNet id, by a number, by both or neither."""

    @property
    def label(self) -> str | None: ...

    @property
    def index(self) -> int | None: ...


def classes_of(
    photographs: Sequence[Named], labels: Sequence[str] | None, classes: int
) -> tuple[list[int | None], str | None]:
    """The class of each photograph, None where it isn't told, and a note on how that was settled if it needs one.

    Names are compared whatever their case, with `_` and `-` as spaces, also by their first synonym before a comma.
    Names go before numbers, since it is the order of the labels that may be wrong. A network without labels whose
    photographs have as many names as it has classes is taken to count them alphabetically, as torchvision does.
    """
    names = _positions(_known_names(labels, classes))
    note = None
    if not names and len(found := {each.label for each in photographs if each.label is not None}) == classes:
        names = {_plain(name): [at] for at, name in enumerate(sorted(found))}
        note = f"the network has no labels; its classes are taken to be the {classes} names in alphabetical order"
    return [_class(each, names, classes) for each in photographs], note


def _known_names(labels: Sequence[str] | None, classes: int) -> list[tuple[str, ...]]:
    """All that each class may be called."""
    imagenet, ids = imagenet_labels(), imagenet_wordnet_ids()
    if labels is None:
        return list(zip(ids, imagenet, strict=True)) if classes == len(ids) else []
    if tuple(labels) == imagenet:
        return list(zip(ids, imagenet, strict=True))
    ids_of = defaultdict(list)
    for name, each in zip(imagenet, ids, strict=True):
        ids_of[name].append(each)
    return [(label, label.split(",")[0], *(ids_of[label] if len(ids_of[label]) == 1 else ())) for label in labels]


def _positions(names: Sequence[tuple[str, ...]]) -> Mapping[str, list[int]]:
    positions = defaultdict(list)
    for at, called in enumerate(names):
        for name in {_plain(each) for each in called}:
            positions[name].append(at)
    return positions


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _class(photograph: Named, names: Mapping[str, list[int]], classes: int) -> int | None:
    index = photograph.index if photograph.index is not None and photograph.index < classes else None
    if photograph.label is None:
        return index
    found = names.get(_plain(photograph.label), [])
    if len(found) == 1:
        return found[0]
    return index if not found or index in found else None
