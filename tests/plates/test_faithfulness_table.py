"""Methods compared on photographs: the table, its means, and what is passed over."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.planted import planted
from torch import nn

import convscope as cs
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe
from convscope.plates.faithfulness_table import Mean
from convscope.progress import Progress

FAST: dict[str, Any] = {"steps": 4, "orders": 2}


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        shutil.copy(photograph(name), path / f"{name}.png")
    return path


def test_its_rows_are_means_of_single_maps() -> None:
    seen = planted()
    images = [*seen.images[:3]]
    table = cs.faithfulness_table(seen.network, images, methods=["saliency", "integrated-gradients"], seed=4, **FAST)
    expected = []
    for image in images:
        index = int(seen.network.logits(image).argmax())
        attribution = cs.integrated_gradients(seen.network, image, index, baseline="gray")
        expected.append(cs.faithfulness(seen.network, image, attribution, seed=4, **FAST).deletion)
    row = table.rows[1]
    # Pixels of equal value and moves are drawn in turn for all methods, so otherwise than for one alone.
    assert row.deletion.area.mean == pytest.approx(np.mean([each.area for each in expected]), abs=0.05)
    assert row.deletion.by_chance.mean == pytest.approx(np.mean([each.random_area for each in expected]), abs=0.1)
    assert row.deletion.gain.mean == pytest.approx(row.deletion.by_chance.mean - row.deletion.area.mean)
    assert row.insertion.gain.mean == pytest.approx(row.insertion.area.mean - row.insertion.by_chance.mean)
    assert (table.photographs, table.unit) == (3, "probability")
    assert row.verdicts is not None
    assert sum(row.verdicts.values()) == 3
    assert row.seconds.mean > 0


def test_means_have_the_error_of_means() -> None:
    found = Mean.of([1.0, 2.0, 4.0])
    assert found.mean == pytest.approx(7 / 3)
    assert found.error == pytest.approx(np.std([1, 2, 4], ddof=1) / math.sqrt(3))
    assert str(Mean.of([0.5])) == "0.500"
    assert Mean.of([0.5]).json == {"mean": 0.5, "error": None}


def test_the_right_map_beats_chance_in_the_table(tmp_path: Path) -> None:
    seen = planted()
    table = cs.faithfulness_table(
        seen.network, [*seen.images[:4]], methods=["occlusion"], window=4, stride=2, steps=8, seed=1
    )
    (row,) = table.rows
    assert row.deletion.gain.mean > 0
    assert row.verdicts is not None
    assert row.verdicts["holds"] >= 3
    table.save(tmp_path / "table.png")
    assert read_recipe(tmp_path / "table.png").method == "faithfulness_table"


def test_it_is_told_in_words_and_json_and_seen() -> None:
    seen = planted()
    table = cs.faithfulness_table(seen.network, [seen.images[0]], methods=["saliency"], verdicts=False, **FAST)
    lines = str(table).splitlines()
    assert lines[0].split() == ["method", "insertion", "gain", "deletion", "gain", "seconds", "a", "map"]
    assert lines[1].startswith("saliency")
    whole = json.loads(table.to_json())
    assert whole["methods"][0]["method"] == "saliency"
    assert whole["methods"][0]["verdicts"] is None
    assert whole["methods"][0]["deletion"]["gain"]["error"] is None
    assert np.ptp(np.asarray(table.picture())) > 100


def test_what_cannot_be_read_is_told_and_passed_over(lite0: cs.Network, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", "chelsea")
    (folder / "broken.png").write_bytes(photograph("chelsea").read_bytes()[:2000])
    (folder / "none.jpg").write_text("no picture")
    table = cs.faithfulness_table(lite0, folder, methods=["saliency"], verdicts=False, steps=2, orders=1)
    assert table.photographs == 1
    assert {each.path.name for each in table.unreadable} == {"broken.png", "none.jpg"}
    assert "2 files were left out" in str(table)
    (folder / "chelsea.png").unlink()
    with pytest.raises(cs.ImageError, match="could be read"):
        cs.faithfulness_table(lite0, folder, methods=["saliency"])


def test_so_many_are_drawn_by_the_seed() -> None:
    seen = planted()
    images = [*seen.images[:9]]
    one, same, other = (
        cs.faithfulness_table(seen.network, images, methods=["saliency"], limit=2, verdicts=False, seed=seed, **FAST)
        for seed in (0, 0, 1)
    )
    assert one.photographs == 2
    assert one.recipe.inputs == same.recipe.inputs
    assert one.recipe.inputs != other.recipe.inputs
    assert torch.equal(one.rows[0].deletion.curve, same.rows[0].deletion.curve)


def test_methods_that_the_network_does_not_allow_are_left_out_unless_asked_for() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(400, 3))
    net = cs.Network(module, input_size=12)
    table = cs.faithfulness_table(net, [torch.rand(3, 12, 12)], verdicts=False, **FAST)
    assert not {"guided", "deconvnet"} & {row.method for row in table.rows}
    assert any(line.startswith("guided is left out: ") for line in table.left_out)
    with pytest.raises(cs.RuleError):
        cs.faithfulness_table(net, [torch.rand(3, 12, 12)], methods=["guided"])


def test_bad_input_is_refused() -> None:
    net, image = planted().network, planted().images[0]
    with pytest.raises(cs.ConvscopeError, match="no method 'salience'; nearest: saliency"):
        cs.faithfulness_table(net, [image], methods=["salience"])
    with pytest.raises(cs.ImageError, match="no images"):
        cs.faithfulness_table(net, [])
    with pytest.raises(cs.ImageError, match="limit=0"):
        cs.faithfulness_table(net, [image], limit=0)
    with pytest.raises(cs.ImageError, match="no folder"):
        cs.faithfulness_table(net, "nowhere")


def test_it_stops_when_told() -> None:
    seen = planted()
    told: list[Progress] = []

    def stop(progress: Progress) -> bool:
        told.append(progress)
        return progress.done < 3

    with pytest.raises(cs.Cancelled):
        cs.faithfulness_table(seen.network, [*seen.images[:4]], methods=["saliency"], progress=stop, **FAST)
    assert told[-1].done == 3
    assert told[-1].total == 12


def test_pictures_can_be_made_again(lite0: cs.Network, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", "chelsea", "coffee")
    table = cs.faithfulness_table(lite0, folder, methods=["saliency"], verdicts=False, steps=2, orders=1)
    image = lite0.read("chelsea")
    attribution = cs.integrated_gradients(lite0, image, 282, steps=2)
    curves = cs.faithfulness(lite0, image, attribution, steps=2, orders=1, end=lite0.read("coffee"), seed=2)
    random = cs.randomization(lite0, cs.saliency(lite0, image, 282, rule="guided"), stages=2, seed=1)
    results = {"table": table, "curves": curves, "random": random}
    for name, result in results.items():
        result.save(folder / f"{name}.png")
        assert cs.redo(folder / f"{name}.png", tmp_path / "again.png") == ()
        assert (tmp_path / "again.png").read_bytes() == (folder / f"{name}.png").read_bytes()
