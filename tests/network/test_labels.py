import re

from convscope.network.labels import imagenet_labels, imagenet_wordnet_ids


def test_there_is_one_label_and_one_identifier_for_each_class() -> None:
    assert len(imagenet_labels()) == len(imagenet_wordnet_ids()) == 1000
    assert len(set(imagenet_wordnet_ids())) == 1000


def test_classes_are_in_the_order_of_their_wordnet_identifiers() -> None:
    assert list(imagenet_wordnet_ids()) == sorted(imagenet_wordnet_ids())
    assert all(re.fullmatch(r"n\d{8}", identifier) for identifier in imagenet_wordnet_ids())


def test_well_known_classes_have_their_usual_numbers() -> None:
    labels = imagenet_labels()
    assert (labels[0], labels[1], labels[285]) == ("tench", "goldfish", "Egyptian cat")
    assert all(label == label.strip() and label for label in labels)
