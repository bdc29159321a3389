from pathlib import Path

from convscope.image.sources import Photograph
from convscope.network.class_names import classes_of
from convscope.network.labels import imagenet_labels, imagenet_wordnet_ids


def test_classes_are_found_by_name_number_and_wordnet_id() -> None:
    labels = ("tench, Tinca tinca", "Great_White-Shark", "crane", "crane")
    photographs = [
        Photograph(Path(), label, index)
        for label, index in (
            ("Tench", None), ("great white shark", 0), ("n01440764", None), ("crane", None), ("crane", 3),
            ("unknown", 2), (None, 1), (None, 4), (None, None),
        )
    ]  # fmt: skip
    assert classes_of(photographs, labels, 4) == ([0, 1, None, None, 3, 2, 1, None, None], None)
    by_id = [Photograph(Path(), wordnet_id) for wordnet_id in imagenet_wordnet_ids()]
    assert classes_of(by_id, None, 1000)[0] == list(range(1000))
    assert classes_of(by_id, imagenet_labels(), 1000)[0] == list(range(1000))
    sorted_classes, _ = classes_of(by_id, sorted(imagenet_labels()), 1000)
    assert sorted_classes[1] == sorted(imagenet_labels()).index("goldfish")
    assert sorted_classes.count(None) == 4  # two cranes, two maillots


def test_without_labels_as_many_names_as_classes_are_counted_alphabetically() -> None:
    photographs = [Photograph(Path(), name) for name in ("b", "a", "c", "a")]
    found, note = classes_of(photographs, None, 3)
    assert found == [1, 0, 2, 0]
    assert note is not None
    assert "alphabetical" in note
    assert classes_of(photographs, None, 4) == ([None] * 4, None)
