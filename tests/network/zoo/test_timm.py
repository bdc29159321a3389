from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from convscope.errors import NetworkError
from convscope.network.zoo import load

create_model: Any = timm.create_model
data: Any = timm.data


def without_download(name: str, *, pretrained: bool = False, **options: Any) -> Any:
    return create_model(name, **options)


def test_published_weights_bring_their_preprocessing_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", without_download)
    net = load("timm:test_efficientnet")
    assert net.name == "timm:test_efficientnet"
    assert net.labels is not None
    assert net.labels[207] == "golden retriever"
    config = data.resolve_model_data_config(net.module)
    assert (net.channels, *net.input_size) == config["input_size"]
    assert (net.crop_fraction, net.interpolation, net.fit) == (config["crop_pct"], config["interpolation"], "crop")
    assert not net.module.training
    assert len(net.predict(torch.rand(net.channels, *net.input_size))) == 5


def test_a_file_decides_how_many_classes_there_are(tmp_path: Path) -> None:
    mine = create_model("test_efficientnet", num_classes=3)
    safetensors.torch.save_file(mine.state_dict(), tmp_path / "mine.safetensors")
    net = load("timm:test_efficientnet", weights=tmp_path / "mine.safetensors")
    assert (net.classes, net.labels) == (3, None)


def test_other_ways_to_fit_a_picture_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm, "create_model", without_download)
    resolve = data.resolve_model_data_config
    monkeypatch.setattr(data, "resolve_model_data_config", lambda model: {**resolve(model), "crop_mode": "squash"})
    assert load("timm:test_efficientnet").fit == "resize"


def test_without_a_connection_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **options: Any) -> None:
        raise ConnectionError("Please check your connection")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(NetworkError, match=r"timm:resnet18 couldn't be fetched .*your connection.*weights=FILE"):
        load("timm:resnet18")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(NetworkError, match="timm has no network 'resnet5o'; nearest: resnet50"):
        load("timm:resnet5o")
