"""The 1,000 classes of ImageNet, in the order in which every ImageNet classifier gives its logits."""

import csv
from functools import cache
from importlib.resources import files


def imagenet_labels() -> tuple[str, ...]:
    """The name of each class.

    Two names stand for two classes each, as in WordNet: "crane" (a bird, a machine) and "maillot" (two garments).

    >>> labels = imagenet_labels()
    >>> len(labels), labels[207]
    (1000, 'golden retriever')
    """
    return tuple(row["name"] for row in _rows())


def imagenet_wordnet_ids() -> tuple[str, ...]:
    """The WordNet identifier of each class, which names the folders of ImageNet's own files.

    >>> imagenet_wordnet_ids()[207]
    'n02099601'
    """
    return tuple(row["wordnet_id"] for row in _rows())


@cache
def _rows() -> tuple[dict[str, str], ...]:
    text = files("convscope.network").joinpath("imagenet_classes.tsv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines(), delimiter="\t"))
