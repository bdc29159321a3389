import importlib
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torchvision import models
from torchvision.models import _api

from convscope.errors import MissingExtra, NetworkError
from convscope.network.zoo import load


def failing_import(error: Exception) -> Any:
    def import_module(name: str) -> None:
        raise error

    return import_module


def test_published_weights_bring_their_preprocessing_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    state = models.squeezenet1_1().state_dict()
    monkeypatch.setattr(_api, "load_state_dict_from_url", lambda *_, **__: state)
    net = load("torchvision:squeezenet1_1")
    assert net.name == "torchvision:squeezenet1_1"
    assert net.labels is not None
    assert net.labels[207] == "golden retriever"
    assert (net.input_size, net.crop_fraction, net.interpolation) == ((224, 224), 224 / 256, "bilinear")
    white = torch.ones(1, 3, 1, 1)
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(net.normalize(white).flatten(), expected)
    assert torch.equal(net.module.state_dict()["features.0.weight"], state["features.0.weight"])
    assert not net.module.training


def test_a_file_decides_how_many_classes_there_are(tmp_path: Path) -> None:
    mine = models.squeezenet1_1(num_classes=3)
    torch.save(
        {"state_dict": {f"module.{key}": value for key, value in mine.state_dict().items()}}, tmp_path / "mine.pth"
    )
    lines: list[str] = []
    net = load("torchvision:squeezenet1_1", weights=tmp_path / "mine.pth", labels=["a", "b", "c"], on_line=lines.append)
    assert net.classes == 3
    assert net.labels == ("a", "b", "c")
    assert lines == ["52 of 52 keys, prefix `module.` removed"]
    image = torch.rand(3, 224, 224)
    with torch.no_grad():
        expected = mine.eval()(net.normalize(image[None]))[0]
    torch.testing.assert_close(net.logits(image), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["inception_v3", "vit_b_16"])
def test_a_network_is_built_without_a_warning(tmp_path: Path, name: str) -> None:
    torch.save({"x": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(NetworkError, match="don't fit"):
        load(f"torchvision:{name}", weights=tmp_path / "other.pth")


def test_without_a_connection_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(_api, "load_state_dict_from_url", offline)
    with pytest.raises(
        NetworkError, match=r"torchvision:resnet18 couldn't be fetched .*service not known.*weights=FILE"
    ):
        load("torchvision:resnet18")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NetworkError, match="torchvision has no classifier 'resnet51'; nearest: resnet50"):
        load("torchvision:resnet51")
    with pytest.raises(NetworkError, match="no classifier 'fcn_resnet50'"):
        load("torchvision:fcn_resnet50")


def test_a_torchvision_that_does_not_fit_the_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("operator torchvision::nms does not exist")
    monkeypatch.setattr(importlib, "import_module", failing_import(error))
    with pytest.raises(NetworkError, match=r"can't be imported \(operator torchvision::nms does not exist\): .*a pair"):
        load("torchvision:resnet18")


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_missing_library_is_asked_for(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(importlib, "import_module", failing_import(ModuleNotFoundError("No module", name=library)))
    with pytest.raises(MissingExtra, match=rf"convscope\[{library}\]"):
        load(f"{library}:resnet18")
