"""Units against numbers counted from every image by itself, and with planted channels."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import convscope as cs
from convscope.errors import ConvscopeError, LayerError
from convscope.image.write import read_recipe, to_picture
from convscope.scanning.scan import scan
from convscope.scanning.selectivity import selectivity
from convscope.scanning.stored import Scan
from convscope.scanning.summary import EDGES
from convscope.scanning.units import Units, _spark, units


@pytest.fixture(scope="module")
def found(digits_scan: Scan) -> Units:
    return units(digits_scan, "relu3")


def test_numbers_are_those_of_the_images(digits_scan: Scan, found: Units) -> None:
    net = digits_scan.network
    images = torch.stack([net.prepare(digits_scan.open(int(id))) for id in digits_scan.images.ids])
    largest = net.capture(images, ["relu3"])["relu3"].flatten(2).amax(dim=2).double().numpy()
    for channel in (0, 7, 31):
        values, each = largest[:, channel], found[channel]
        told = [each.mean, each.spread, each.least, each.largest, each.share]
        wanted = [values.mean(), values.std(), values.min(), values.max(), (values > 0).mean()]
        np.testing.assert_allclose(told, wanted, rtol=1e-4, atol=1e-6)
        counts = [int(((values >= low) & (values < high)).sum()) for low, high in pairwise(EDGES)]
        assert np.abs(np.array(each.histogram) - counts).sum() <= 2  # by the edge of a bin, in the last digit


def test_selectivity_is_that_of_the_definition(digits_scan: Scan, found: Units) -> None:
    codes = digits_scan.codes("relu3").astype(np.float64)
    labels = np.array([Path(name).parent.name for name in digits_scan.images.names])
    for each in found.rows:
        means = {str(name): codes[labels == name, each.channel].mean() for name in sorted(set(labels))}
        best = max(means, key=lambda name: means[name])
        rest = float(np.mean([value for name, value in means.items() if name != best]))
        total = means[best] + rest
        assert each.selectivity == pytest.approx((means[best] - rest) / total if total else 0.0, abs=1e-6)
        if total:
            assert each.prefers == best


def planted(folder: Path) -> Scan:
    """Six channels of red and blue pictures: red's, two that never change, two at their top, blue's."""
    module = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU6())
    layer = module[0]
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        layer.weight.zero_()
        assert layer.bias is not None
        layer.bias.copy_(torch.tensor([-1.0, 1.0, -1.0, 9.0, 6.0, -9.0]))
        layer.weight[0, 0], layer.weight[5, 2] = 4, 15
    net = cs.Network(
        nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)).eval(), input_size=8,
        labels=["red", "blue"],
    )  # fmt: skip
    for at in range(24):
        name = ("red", "blue")[at % 2]
        (folder / "photographs" / name).mkdir(parents=True, exist_ok=True)
        image = torch.zeros(3, 8, 8)
        image[2 * (at % 2)] = 1
        to_picture(image).save(folder / "photographs" / name / f"{at}.png")
    return scan(net, folder / "photographs", layers=["0.0", "0.1"], out=folder / "x.scan", engine="torch", workers=0)


def test_planted_channels_are_told_apart(tmp_path: Path) -> None:
    made = planted(tmp_path)
    found = units(made, "0.1")
    assert [each.selectivity for each in found.rows] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert (found[0].prefers, found[5].prefers, found[0].share) == ("red", "blue", 0.5)
    assert found.saturated == (3, 4)
    assert found.dead == (1, 2)
    before = units(made, "0.0")
    assert before.saturated == ()
    assert before[2].shifted
    assert not before[1].shifted
    assert before[0].selectivity == 1.0  # from 3 in red and −1 in blue, which counts from −1
    assert "channels have codes below 0 (~)" in str(before)


def test_labels_that_say_nothing_leave_chance(digits_scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selectivity(digits_scan, "relu4")
    assert whole is not None
    assert whole.index.mean() > 4 * whole.chance.mean()
    images = digits_scan.images
    order = np.random.default_rng(3).permutation(len(images))
    labels = [images.labels[at] for at in order]
    monkeypatch.setitem(
        vars(digits_scan),
        "images",
        type(images)(**{**vars(images), "labels": labels, "classes": images.classes[order]}),
    )
    dealt = selectivity(digits_scan, "relu4")
    assert dealt is not None
    assert dealt.index.mean() == pytest.approx(whole.chance.mean(), rel=0.3)


def test_without_labels_there_is_no_selectivity(digits_scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    images = digits_scan.images
    bare = {**vars(images), "labels": [None] * len(images), "classes": np.full(len(images), -1)}
    monkeypatch.setitem(vars(digits_scan), "images", type(images)(**bare))
    found = units(digits_scan, "relu4")
    assert all((each.selectivity, each.chance, each.prefers) == (None, None, None) for each in found.rows)
    assert "No selectivity" in str(found)
    assert found.sorted("selectivity") == found.rows


@pytest.mark.parametrize("by", ["mean", "spread", "largest", "share", "selectivity"])
def test_sorting_brings_the_largest_first(found: Units, by: str) -> None:
    values = [getattr(each, by) for each in found.sorted(by)]  # type: ignore[arg-type]
    assert values == sorted(values, reverse=True)
    assert found.sorted() == found.rows


def test_text_json_and_picture_tell_them(found: Units, tmp_path: Path) -> None:
    lines = found.table(sort="mean", limit=4).splitlines()
    assert lines[0].split() == [
        "channel",
        "mean",
        "spread",
        "largest",
        "above",
        "0",
        "histogram",
        "selectivity",
        "prefers",
    ]
    assert [int(line.split()[0]) for line in lines[1:5]] == [each.channel for each in found.sorted("mean")[:4]]
    assert "48 channels, 4 shown" in lines[6]
    whole = json.loads(found.to_json())
    assert len(whole["channels"]) == len(found) == 48
    assert len(whole["edges"]) == len(whole["channels"][0]["histogram"]) - 1
    found.save(tmp_path / "out.png", channels=[3, 5])
    assert read_recipe(tmp_path / "out.png").method == "units"
    assert found.picture(channels=[3]).width < found.picture().width


def test_bad_questions_are_refused(digits_scan: Scan, found: Units) -> None:
    with pytest.raises(LayerError, match="nearest: relu"):
        units(digits_scan, "relu9")
    with pytest.raises(LayerError, match="channels 0 to 47"):
        found.picture(channels=[48])
    with pytest.raises(ConvscopeError, match="nearest: mean"):
        found.sorted("means")  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=97))
def test_a_spark_is_short_and_shows_what_is_not_empty(counts: list[int]) -> None:
    line = _spark(counts)
    assert len(line) == min(16, len(counts))
    assert (line.strip() == "") == (sum(counts) == 0)
