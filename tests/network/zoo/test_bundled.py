import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor

from convscope.errors import MissingExtra, WeightsError
from convscope.image.read import read_image
from convscope.network.labels import imagenet_labels
from convscope.network.network import Network
from convscope.network.zoo import bundled
from convscope.network.zoo.bundled import find_efficientnet_lite, our_key, published_file, published_weights, recognize
from convscope.network.zoo.efficientnet_lite import SCALES, EfficientNetLite
from convscope.network.zoo.vgg16_hed import VGG16Features


def empty_state(module: torch.nn.Module) -> dict[str, Tensor]:
    """Zeros in the shapes of a module's weights, which take no memory."""
    return {key: torch.zeros(()).expand(value.shape) for key, value in module.state_dict().items()}


def lite(name: str, classes: int = 1000) -> EfficientNetLite:
    with torch.device("meta"):
        return EfficientNetLite(SCALES[name], classes=classes)


@pytest.mark.parametrize("name", SCALES)
def test_every_published_key_has_exactly_one_of_ours(name: str) -> None:
    if published_file(name) is None:
        pytest.skip(f"needs the package with the weights of {name}")
    published = published_weights(name)
    ours = [our_key(key) for key in published]
    assert len(set(ours)) == len(ours)
    expected = lite(name).state_dict()
    assert {our_key(key): value.shape for key, value in published.items()} == {
        key: value.shape for key, value in expected.items()
    }


def test_another_file_than_the_published_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "models.pth"
    torch.save({"_fc.bias": torch.ones(1)}, file)
    monkeypatch.setattr(bundled, "published_file", lambda name: file)
    with pytest.raises(WeightsError, match=r"models\.pth is not the file that was published"):
        published_weights("efficientnet-lite0")


def test_a_package_that_is_missing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundled.PACKAGES, "efficientnet-lite1", "there_is_no_such_package")
    with pytest.raises(MissingExtra, match=r"efficientnet-lite1 needs .*convscope\[lite\]"):
        find_efficientnet_lite("efficientnet-lite1", None)


@pytest.mark.parametrize("name", SCALES)
def test_fine_tuned_weights_are_recognized_with_their_classes(name: str) -> None:
    found = recognize(empty_state(lite(name, classes=7)), "mine.pth")
    assert isinstance(found.module, EfficientNetLite)
    assert found.module.classifier.out_features == 7
    assert found.options["input_size"] == (SCALES[name].input_size,) * 2
    assert found.options["labels"] is None


def test_published_and_wrapped_names_are_recognized_too() -> None:
    published = {f"module.{key}": value for key, value in published_weights("efficientnet-lite0").items()}
    found = recognize(published, "mine.pth")
    assert found.options["labels"] == imagenet_labels()
    assert found.match is not None
    assert found.match.summary == "296 of 296 keys, prefix `module.` removed"


def test_the_features_of_vgg_are_recognized() -> None:
    with torch.device("meta"):
        state = empty_state(VGG16Features())
    assert isinstance(recognize(state, "mine.pth").module, VGG16Features)


def test_unknown_weights_ask_for_their_architecture() -> None:
    with pytest.raises(WeightsError, match=r'mine.pth \(2 keys: a, b, …\) fits none .*"torchvision:NAME"'):
        recognize({"a": torch.ones(2), "b": torch.ones(2)}, "mine.pth")


@pytest.mark.slow
def test_the_default_network_names_photographs_as_well_as_was_measured(lite0: Network, photographs: Path) -> None:
    with (photographs / "photos.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))[::3]
    first = fifth = 0
    for start in range(0, len(rows), 16):
        part = rows[start : start + 16]
        batch = torch.stack([lite0.prepare(read_image(photographs / "photos" / row["file"])) for row in part])
        best = lite0.logits(batch).topk(5).indices
        right = best == torch.tensor([[int(row["imagenet_index"])] for row in part])
        first, fifth = first + int(right[:, 0].sum()), fifth + int(right.any(dim=1).sum())
    assert first / len(rows) >= 0.88
    assert fifth / len(rows) >= 0.96
