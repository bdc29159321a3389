import argparse
import contextlib
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from convscope.errors import WeightsError
from convscope.network.zoo.matching import load_weights
from convscope.network.zoo.weights import read_state_dict


def state(value: float = 1.0) -> dict[str, Tensor]:
    return {"conv.weight": torch.full((2, 1, 3, 3), value), "norm.num_batches_tracked": torch.tensor(3)}


def saved(folder: Path, content: Any, name: str = "file.pth", **options: Any) -> Path:
    torch.save(content, folder / name, **options)
    return folder / name


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights"])
def test_safetensors_are_known_by_content(tmp_path: Path, name: str) -> None:
    safetensors.torch.save_file(state(), tmp_path / name)
    assert same(read_state_dict(tmp_path / name), state())


@pytest.mark.parametrize("archive", [True, False])
def test_files_of_torch_save_are_read_old_and_new(tmp_path: Path, archive: bool) -> None:
    path = saved(tmp_path, OrderedDict(state()), "weights.safetensors", _use_new_zipfile_serialization=archive)
    assert same(read_state_dict(path), state())


def test_the_pickle_protocol_makes_no_noise(tmp_path: Path) -> None:
    assert same(read_state_dict(saved(tmp_path, state(), pickle_protocol=3)), state())
    with pytest.raises(WeightsError, match=r"can't be read safely \(Unsupported operand 149\)"):
        read_state_dict(saved(tmp_path, state(), pickle_protocol=4))


@pytest.mark.parametrize(
    "name", ["state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema", "module", "mine"]
)
def test_the_weights_are_found_inside_a_checkpoint(tmp_path: Path, name: str) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}
    checkpoint = {
        "epoch": 3,
        "loss": torch.ones(()),
        name: state(),
        "optimizer": optimizer,
        "optim_state": {"a": torch.ones(2)},
    }
    assert same(read_state_dict(saved(tmp_path, checkpoint)), state())


def test_the_weights_are_found_two_levels_down(tmp_path: Path) -> None:
    assert same(read_state_dict(saved(tmp_path, {"ema": {"decay": 0.9, "module": state()}})), state())


def test_of_trained_weights_and_their_average_the_trained_ones_are_taken(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict_ema": state(2), "state_dict": state(1), "model_ema": {"module": state(3)}})
    assert same(read_state_dict(path), state(1))
    assert same(read_state_dict(path, key="state_dict_ema"), state(2))
    assert same(read_state_dict(path, key="model_ema"), state(3))
    assert same(read_state_dict(path, key="model_ema.module"), state(3))


def test_several_sets_of_weights_are_listed_and_can_be_chosen(tmp_path: Path) -> None:
    path = saved(tmp_path, {"generator": state(1), "discriminator": state(2)})
    with pytest.raises(WeightsError, match=r"several sets of weights.*: generator, discriminator"):
        read_state_dict(path)
    assert same(read_state_dict(path, key="discriminator"), state(2))
    with pytest.raises(WeightsError, match="under 'generater'; nearest: generator"):
        read_state_dict(path, key="generater")


def test_a_key_may_be_what_the_names_begin_with(tmp_path: Path) -> None:
    both = {f"student.{key}": value for key, value in state(1).items()}
    both |= {f"teacher.{key}": value for key, value in state(2).items()}
    safetensors.torch.save_file(both, tmp_path / "both.safetensors")
    assert same(read_state_dict(tmp_path / "both.safetensors", key="teacher"), state(2))
    with pytest.raises(WeightsError, match="nearest: student"):
        read_state_dict(tmp_path / "both.safetensors", key="studnt")


def test_a_setting_beside_the_weights_hides_nothing(tmp_path: Path) -> None:
    assert same(read_state_dict(saved(tmp_path, {**state(), "config": {}, "name": "mine"})), state())


def test_a_mapping_that_holds_itself_ends(tmp_path: Path) -> None:
    checkpoint: dict[str, Any] = {"state_dict": state()}
    checkpoint["again"] = checkpoint
    assert same(read_state_dict(saved(tmp_path, checkpoint)), state())


@pytest.mark.parametrize("content", [{"epoch": 3}, {"step": torch.tensor(1)}, [torch.ones(2)], torch.ones(2)])
def test_a_file_without_weights_says_what_it_holds(tmp_path: Path, content: Any) -> None:
    with pytest.raises(WeightsError, match=r"file.pth holds .*; expected a state dict"):
        read_state_dict(saved(tmp_path, content))


@pytest.mark.parametrize("archive", [True, False])
def test_code_in_a_file_is_refused_by_name_and_never_run(tmp_path: Path, archive: bool) -> None:
    marker = tmp_path / "marker"
    checkpoint = {"state_dict": state(), "extra": Trap(marker)}
    path = saved(tmp_path, checkpoint, "bad.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(WeightsError, match=rf"{os.mkdir.__module__}.mkdir") as caught:
        read_state_dict(path)
    assert not marker.exists()
    assert 'torch.load("bad.pth", weights_only=False)["state_dict"]' in str(caught.value)
    assert 'torch.save(state, "bad-weights.pth")' in str(caught.value)


def test_a_plain_pickle_is_not_even_opened(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Trap(marker)))
    with pytest.raises(WeightsError, match=r"a pickle that torch.save didn't write"):
        read_state_dict(tmp_path / "bad.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("extra", "refused"),
    [(argparse.Namespace(lr=1), "argparse.Namespace"), (np.float64(1), "numpy"), (nn.Linear(1, 1), "torch.nn")],
)
def test_classes_beyond_tensors_are_refused_by_name(tmp_path: Path, extra: object, refused: str) -> None:
    with pytest.raises(WeightsError, match=refused):
        read_state_dict(saved(tmp_path, {"state_dict": state(), "extra": extra}))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_called_one(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)).save(tmp_path / "script.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(WeightsError, match="TorchScript archive"):
        read_state_dict(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "nature"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"<!doctype html><html>", "not a file of weights"),
        (b"PK\x03\x04 and no more", "damaged or cut short"),
        (b"\x10\0\0\0\0\0\0\0{not json at all}", "damaged or cut short"),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, content: bytes, nature: str) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=nature):
        read_state_dict(tmp_path / "weights.pth")


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.98])
def test_a_file_cut_short_is_called_so(tmp_path: Path, legacy: bool, part: float) -> None:
    path = saved(tmp_path, state(), _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(WeightsError, match=r"file\.pth"):
        read_state_dict(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth can't be read: No such file"):
        read_state_dict(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="can't be read"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize("legacy", [True, False])
def test_whatever_byte_is_wrong_the_error_is_ours(tmp_path: Path, legacy: bool) -> None:
    path = saved(tmp_path, {"model": state()}, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        # Some bytes are padding, or a weight, which nobody can tell to be wrong.
        with contextlib.suppress(WeightsError):
            read_state_dict(path)


def lightning(**more: Any) -> dict[str, Any]:
    """What Lightning writes: weights of the whole module with its wrapper, and much that is no weight."""
    callback = {"monitor": "val_loss", "best_model_score": torch.tensor(0.1), "best_k_models": {"a": torch.tensor(0.1)}}
    return {
        "epoch": 9,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{key}": value for key, value in state().items()} | {"loss.weight": torch.ones(2)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": callback},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 1, 3, 3)}}, "param_groups": []}],
        "lr_schedulers": [{"last_lr": [0.1]}],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "class_weights": torch.ones(2)},
        **more,
    }


def prefixed(prefix: str, value: float = 1.0) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in state(value).items()}


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        (lightning(), None, 1),
        (lightning(ema_state_dict=prefixed("model.", 2)), None, 1),
        (lightning(ema_state_dict=prefixed("model.", 2)), "ema_state_dict", 2),
        ({"state_dict": prefixed("model.module.")}, None, 1),
        ({"state_dict": prefixed("model._orig_mod.")}, None, 1),
        ({"model": {"state_dict": prefixed("module.")}}, None, 1),
        ({"n_averaged": torch.tensor(5), **prefixed("module.")}, None, 1),  # torch's AveragedModel
        ({"state_dict": prefixed("model.") | prefixed("ema_model.module.", 2)}, None, 1),
        ({"state_dict": prefixed("model.") | prefixed("ema_model.module.", 2)}, "ema_model", 2),
        ({"state_dict": prefixed("net.") | prefixed("net_ema.", 2)}, None, 1),
        ({"model": state(), "ema": {"decay": 0.9, "shadow": state(2)}}, "ema", 2),
    ],
)
def test_checkpoints_of_the_usual_trainers_load(tmp_path: Path, content: Any, key: str | None, value: float) -> None:
    module = nn.Module()
    module.conv = nn.Conv2d(1, 2, 3, bias=False)
    module.norm = nn.BatchNorm2d(2, affine=False)
    module.norm.running_mean = module.norm.running_var = None
    match = load_weights(module, read_state_dict(saved(tmp_path, content, "last.ckpt"), key=key))
    assert torch.equal(module.conv.weight.detach(), state(value)["conv.weight"])
    assert match.fits
