"""Scans: what they keep against the network itself, and that nothing is lost or counted twice, whatever happens."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from tests.scanning.little import little_network, little_pictures, scan_little
from torch import Tensor
from torch.utils.data import TensorDataset

import convscope as cs
from convscope.network.stages import stage_ends
from convscope.progress import Progress

pytest.importorskip("lancedb")


def kept(scan: cs.Scan) -> dict[str, bytes]:
    """All that a scan holds of its layers, to the bit, but for moments, which are compared as numbers."""
    found: dict[str, bytes] = {"names": "\n".join(scan.images.names).encode(), "ids": scan.images.ids.tobytes()}
    found["answers"] = scan.images.answers.tobytes() + scan.images.probabilities.tobytes()
    found["pixels"] = scan.pixels().tobytes()
    for layer in scan.layers:
        top, statistics = scan.top(layer), scan.statistics(layer)
        found[f"codes {layer}"] = scan.codes(layer).tobytes()
        found[f"top {layer}"] = b"".join(each.tobytes() for each in vars(top).values())
        found[f"statistics {layer}"] = b"".join(np.asarray(each).tobytes() for each in vars(statistics).values())
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return little_pictures(tmp_path / "pictures", 45)


# --- What it keeps ---


def test_what_is_kept_is_what_the_network_answers(folder: Path, tmp_path: Path) -> None:
    net = little_network()
    scan = scan_little(folder, tmp_path / "x.scan", layers=["1", "3", "5"], k=4)
    assert len(scan) == 45
    images = torch.stack([net.read(folder / name) for name in scan.images.names])
    captured = net.capture(images, ["1", "3", "5"])
    for layer in ("1", "3"):
        maps = captured[layer]
        np.testing.assert_allclose(scan.codes(layer).astype(np.float32), maps.mean((2, 3)), rtol=1e-3, atol=1e-4)
        peaks = maps.flatten(2).amax(2)
        values, _ = peaks.T.sort(dim=1, descending=True, stable=True)
        np.testing.assert_allclose(scan.top(layer).values, values[:, :4], rtol=1e-5, atol=1e-6)
        found = scan.top(layer)
        for channel in range(maps.shape[1]):
            for value, id, (row, column) in zip(
                found.values[channel], found.images[channel], found.places[channel], strict=True
            ):
                assert maps[id, channel, row, column].item() == pytest.approx(value, abs=1e-6)
        np.testing.assert_allclose(scan.statistics(layer).mean, peaks.double().mean(0), rtol=1e-5)
        np.testing.assert_allclose(scan.statistics(layer).variance, peaks.double().var(0, correction=0), rtol=1e-4)
    np.testing.assert_allclose(scan.codes("5").astype(np.float32), captured["5"], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(scan.code_of(images[:3], "3"), scan.codes("3")[:3], rtol=1e-3, atol=1e-4)
    probabilities = net.logits(images).softmax(1).topk(5)
    assert np.array_equal(scan.images.answers, probabilities.indices)
    np.testing.assert_allclose(scan.images.probabilities, probabilities.values, rtol=1e-5)
    assert scan.images.sizes.tolist() == [[25, 30]] * 45
    assert scan.images.labels[0] == "class 0"
    assert scan.pixels().shape == (45, 3072)


def test_codes_come_in_batches_too(folder: Path, tmp_path: Path) -> None:
    scan = scan_little(folder, tmp_path / "x.scan")
    layer = [*scan.layers][-1]
    rows: dict[int, NDArray[Any]] = {}
    for ids, codes in scan.code_batches(layer, rows=7):
        assert len(ids) <= 7
        rows.update(zip(ids.tolist(), codes, strict=True))
    assert np.array_equal(np.stack([rows[id] for id in scan.images.ids.tolist()]), scan.codes(layer))


def test_layers_are_chosen_where_none_are_named(folder: Path, tmp_path: Path) -> None:
    scan = scan_little(folder, tmp_path / "x.scan")
    assert [*scan.layers] == stage_ends(little_network()) == ["3", "5"]
    assert scan.layer("3").shape == (10, 12, 12)
    with pytest.raises(cs.LayerError, match="layer '1' was not scanned"):
        scan.layer("1")


def test_a_data_set_and_a_list_of_files_are_scanned_alike(folder: Path, tmp_path: Path) -> None:
    net = little_network()
    one = scan_little(folder, tmp_path / "one.scan")
    files = [folder / name for name in one.images.names]
    two = scan_little(files, tmp_path / "two.scan")  # type: ignore[arg-type]
    images = torch.stack([net.read(file) for file in files])
    three = scan_little(TensorDataset(images), tmp_path / "three.scan")  # type: ignore[arg-type]
    for layer in one.layers:
        assert np.array_equal(one.codes(layer), two.codes(layer))
        assert np.array_equal(one.codes(layer), three.codes(layer))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_of_ones_own_reads_files_of_any_kind(tmp_path: Path, workers: int) -> None:
    def loader(path: str) -> Tensor:
        return torch.full((3, 24, 24), float(Path(path).read_text()))

    for level in (0.2, 0.6):
        (tmp_path / f"{level}.level").write_text(str(level))
    (tmp_path / "bad.level").write_text("bright")
    net = cs.Network(little_network().module, input_size=24, loader=loader)
    scan = cs.scan(net, tmp_path, out=tmp_path.parent / f"{workers}.scan", engine="torch", workers=workers)
    assert scan.images.names == ["0.2.level", "0.6.level"]
    expected = net.capture(torch.full((3, 24, 24), 0.6), ["5"])["5"]
    np.testing.assert_allclose(scan.codes("5")[1], expected, rtol=2e-3, atol=1e-4)
    torch.testing.assert_close(scan.open(1), torch.full((3, 24, 24), 0.6))
    assert [each.path.name for each in scan.unreadable] == ["bad.level"]


@pytest.mark.parametrize("workers", [1, 2])
def test_other_processes_read_the_same(folder: Path, tmp_path: Path, workers: int) -> None:
    one = scan_little(folder, tmp_path / "one.scan")
    assert kept(scan_little(folder, tmp_path / "two.scan", workers=workers)) == kept(one)


def test_engines_agree(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    one = scan_little(folder, tmp_path / "one.scan")
    two = scan_little(folder, tmp_path / "two.scan", engine="onnx")
    assert two.header.engine.startswith("onnxruntime")
    for layer in one.layers:
        np.testing.assert_allclose(one.codes(layer), two.codes(layer), rtol=2e-3, atol=1e-4)
        np.testing.assert_allclose(one.top(layer).values, two.top(layer).values, rtol=1e-5, atol=1e-6)


# --- Going on ---


def test_a_scan_that_was_stopped_goes_on(folder: Path, tmp_path: Path) -> None:
    undisturbed = scan_little(folder, tmp_path / "one.scan")
    out = tmp_path / "two.scan"
    for limit in (1, 9, 20):
        with pytest.raises(cs.Cancelled):
            scan_little(folder, out, progress=lambda progress, limit=limit: progress.done < limit)
    assert kept(scan_little(folder, out)) == kept(undisturbed)
    seen: list[Progress] = []
    assert kept(scan_little(folder, out, progress=seen.append)) == kept(undisturbed)
    assert seen == []


def test_further_layers_are_a_pass_of_their_own(folder: Path, tmp_path: Path) -> None:
    whole = scan_little(folder, tmp_path / "one.scan", layers=["1", "3", "5"])
    scan_little(folder, tmp_path / "two.scan", layers=["5"])
    scan = scan_little(folder, tmp_path / "two.scan", layers=["1", "5", "3"])
    assert [*scan.layers] == ["1", "3", "5"]
    assert [layer.number for layer in scan.layers.values()] == [1, 1, 0]
    for layer in whole.layers:
        assert np.array_equal(scan.codes(layer), whole.codes(layer))
        assert np.array_equal(scan.top(layer).images, whole.top(layer).images)


def test_new_pictures_are_added_and_lost_ones_marked(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.scan"
    first = scan_little(folder, out, layers=["3"])
    lost, changed = folder / first.images.names[3], folder / first.images.names[7]
    lost.unlink()
    little_pictures(folder, 1, first=900)
    Image.new("RGB", (40, 30), "white").save(changed)
    scan = scan_little(folder, out, layers=["5"])
    assert len(scan) == 47
    assert scan.images.names[45:] == [first.images.names[7], "class 0/00900.png"]
    assert scan.images.removed.nonzero()[0].tolist() == [3, 7]
    assert np.array_equal(scan.codes("3")[:45], first.codes("3"))
    with pytest.raises(cs.ImageError, match="gone since it was scanned"):
        scan.open(3)
    assert scan.open(45).shape == (3, 30, 40)
    # What comes back as it was is another picture, since nothing tells that it is not.
    assert len(scan_little(folder, out)) == 47


def test_a_lost_picture_that_comes_back_is_no_longer_lost(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.scan"
    first = scan_little(folder, out)
    path = folder / first.images.names[3]
    path.rename(tmp_path / "aside")
    assert scan_little(folder, out).images.removed.sum() == 1
    (tmp_path / "aside").rename(path)
    again = scan_little(folder, out)
    assert again.images.removed.sum() == 0
    assert len(again) == 45


def run(folder: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.scanning.little", str(folder), str(out), *options]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert started.stdout is not None
    assert started.stdout.readline() == "begins\n"
    return started


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    folder = little_pictures(tmp_path / "pictures", 400)
    begun = time.monotonic()
    with run(folder, tmp_path / "one.scan") as process:
        process.wait()
        assert process.returncode == 0
        took = time.monotonic() - begun
    undisturbed = kept(cs.open_scan(tmp_path / "one.scan", little_network()))
    chance = random.Random(0)
    out, killed = tmp_path / "two.scan", 0
    for at in range(100):
        if killed == 20:
            break
        with run(folder, out) as process:
            time.sleep(chance.random() * took / 6)
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        if process.returncode == 0:
            out = tmp_path / f"again{at}.scan"
    assert killed == 20
    assert kept(scan_little(folder, out)) == undisturbed


# --- Bad input ---


def test_bad_files_are_told_with_their_reasons_and_nothing_else_is_lost(folder: Path, tmp_path: Path) -> None:
    good = len([*folder.rglob("*.png")])
    picture = (folder / "class 0" / "00000.png").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "cut.png").write_bytes(picture[: len(picture) // 2])
    (folder / "wrong.jpg").write_bytes(picture)
    Image.new("CMYK", (30, 20)).save(folder / "ink.jpg")
    Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(folder / "deep.png")
    Image.new("1", (12000, 12000)).save(folder / "huge.png")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    scan = scan_little(folder, tmp_path / "x.scan")
    assert len(scan) == good + 3
    reasons = {each.path.name: each.reason for each in scan.unreadable}
    assert sorted(reasons) == ["cut.png", "empty.png", "huge.png", "text.jpg"]
    assert "144" in reasons["huge.png"]
    assert all(reasons.values())


def test_a_network_that_answers_nan_tells_which_picture(tmp_path: Path) -> None:
    folder = little_pictures(tmp_path / "pictures", 5)
    Image.new("RGB", (24, 24), "white").save(folder / "white.png")
    net = little_network()
    net = cs.Network(
        net.module,
        input_size=24,
        fit="resize",
        normalize=lambda batch: batch / (1 - batch.amin((1, 2, 3), keepdim=True)).sign(),
    )
    scan = cs.scan(net, folder, out=tmp_path / "x.scan", engine="torch")
    assert len(scan) == 5
    assert [(each.path.name, each.reason) for each in scan.unreadable] == [
        ("white.png", "the network answers it with NaN or infinity")
    ]


def test_another_network_or_feeding_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.scan"
    scan_little(folder, out)
    with pytest.raises(cs.NetworkError, match="the scan was made with 'Sequential', weights"):
        cs.scan(little_network(seed=1), folder, out=out)
    other = cs.Network(little_network().module, input_size=24, fit="crop")
    with pytest.raises(cs.NetworkError, match="fit was 'resize', is 'crop'"):
        cs.scan(other, folder, out=out)
    with pytest.raises(cs.ConvscopeError, match=r"keeps 9 of each channel; got k=3"):
        scan_little(folder, out, k=3)


def test_what_can_not_be_scanned_is_said(folder: Path, tmp_path: Path) -> None:
    net = little_network()
    with pytest.raises(cs.LayerError, match="no layer '9'"):
        cs.scan(net, folder, out=tmp_path / "x.scan", layers=["9"])
    with pytest.raises(cs.ConvscopeError, match="k=0; expected"):
        cs.scan(net, folder, out=tmp_path / "x.scan", k=0)
    with pytest.raises(cs.ConvscopeError, match="holds other things than a scan"):
        cs.scan(net, folder, out=folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(cs.ConvscopeError, match="is a file; expected a folder"):
        cs.scan(net, folder, out=tmp_path / "file")
    with pytest.raises(cs.ConvscopeError, match="there is no scan"):
        cs.open_scan(tmp_path / "none.scan")
    with pytest.raises(cs.ImageError, match="there is no folder"):
        cs.scan(net, tmp_path / "none", out=tmp_path / "x.scan")
    assert not (tmp_path / "x.scan" / "header.json").exists()


def test_two_scans_into_one_folder_do_not_meet(folder: Path, tmp_path: Path) -> None:
    def again(progress: Progress) -> None:
        with pytest.raises(cs.ConvscopeError, match="something else is scanning into"):
            scan_little(folder, tmp_path / "x.scan")

    assert len(scan_little(folder, tmp_path / "x.scan", progress=again)) == 45
