"""Mistakes against counts made one by one, and with a planted wrong label."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.digits_network import digits_network

import convscope as cs
from convscope.errors import ConvscopeError
from convscope.image.write import read_recipe, to_picture
from convscope.scanning import mistakes as module
from convscope.scanning.mistakes import Mistakes, mistakes
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan


@pytest.fixture(scope="module")
def found(digits_scan: Scan) -> Mistakes:
    return mistakes(digits_scan, limit=100)


def test_counts_are_those_of_the_network_itself(digits_scan: Scan, found: Mistakes) -> None:
    images = digits_scan.images
    answers = [digits_scan.network.predict(digits_scan.open(int(id)), top=5) for id in images.ids]
    truth = [int(Path(name).parent.name) for name in images.names]
    wrong = [row for row, each in enumerate(answers) if each[0].index != truth[row]]
    assert (found.images, found.wrong) == (len(images), len(wrong))
    assert found.accuracy == pytest.approx(1 - len(wrong) / len(images))
    among = [truth[row] in [one.index for one in each] for row, each in enumerate(answers)]
    assert found.top == 5
    assert found.top_accuracy == pytest.approx(float(np.mean(among)))
    pairs = Counter((str(truth[row]), answers[row][0].label) for row in wrong)
    assert {(each.truth, each.said): each.count for each in found.confusions} == pairs
    assert [each.count for each in found.confusions] == sorted(pairs.values(), reverse=True)
    assert {each.name for each in found.worst} == {images.names[row] for row in wrong}
    assert found.matrix.sum() == len(images)
    assert np.trace(found.matrix) == len(images) - len(wrong)


def test_the_most_confident_come_first_and_right_answers_stand_beside_them(digits_scan: Scan, found: Mistakes) -> None:
    sure = [each.probability for each in found.worst]
    assert sure == sorted(sure, reverse=True)
    images = digits_scan.images
    codes = digits_scan.codes(found.layer).astype(np.float64)
    units = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    right = images.answers[:, 0] == images.classes
    for each in found.worst:
        row = images.row(each.id)
        for class_, beside in ((each.said, each.like_said), (each.truth, each.like_truth)):
            among = np.flatnonzero(right & (images.classes == int(class_)))
            nearest = among[np.argsort(1 - units[among] @ units[row], kind="stable")[:3]]
            assert [one.id for one in beside] == images.ids[nearest].tolist()
        assert each.nearer in ("said", "truth")
    assert [each.name for each in mistakes(digits_scan, limit=2).worst] == [each.name for each in found.worst[:2]]


def test_a_wrong_label_is_the_first_and_lies_among_the_class_it_was_taken_for(tmp_path: Path) -> None:
    planted = digits_network()
    for at in range(120):
        label = int(planted.labels[at])
        folder = tmp_path / "digits" / str(3 if at == 0 else label)
        folder.mkdir(parents=True, exist_ok=True)
        to_picture(planted.images[at]).save(folder / f"{at:03}.png")
    made = scan(planted.network, tmp_path / "digits", out=tmp_path / "x.scan", engine="torch", workers=0)
    worst = mistakes(made).worst[0]
    assert worst.name == "3/000.png"
    assert (worst.truth, worst.said) == ("3", str(int(planted.labels[0])))
    assert worst.nearer == "said"


def test_text_json_and_picture_tell_them(found: Mistakes, tmp_path: Path) -> None:
    text = str(found)
    assert text.startswith(f"{found.accuracy:.1%} right of {found.images}")
    assert f"{found.confusions[0].truth} → {found.confusions[0].said}" in text
    whole = json.loads(found.to_json())
    assert whole["wrong"] == len(whole["mistakes"]) == found.wrong
    assert whole["mistakes"][0]["like_said"][0]["label"] == found.worst[0].said
    found.save(tmp_path / "out.png", limit=2)
    assert read_recipe(tmp_path / "out.png").method == "mistakes"
    few, more = found.picture(limit=2), found.picture(limit=4)
    assert more.width * more.height > few.width * few.height


def test_what_stands_alone_is_told_once(digits_scan: Scan, found: Mistakes) -> None:
    shown = found.worst[:4]
    lonely = replace(shown[0], like_said=(), like_truth=())
    assert "alone" not in " ".join(found._notes(shown))
    assert "one stands alone: no picture of either class" in " ".join(found._notes([lonely, *shown[1:]]))
    assert list(found._notes([lonely, lonely])) == ["all stand alone: no picture of either class was answered rightly"]
    assert list(mistakes(digits_scan, neighbours=0)._notes([lonely])) == []
    assert found._card(lonely, 60).width < found._card(shown[0], 60).width


def test_many_classes_are_no_matrix(found: Mistakes, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = found.picture(limit=1).height
    monkeypatch.setattr(module, "MATRIX_LIMIT", 5)
    assert found.picture(limit=1).height < drawn


def test_a_network_that_is_always_right_has_none(tmp_path: Path) -> None:
    planted = digits_network()
    rows = [
        row for row in range(40) if planted.network.predict(planted.images[row], top=1)[0].index == planted.labels[row]
    ]
    for at in rows:
        folder = tmp_path / "digits" / str(int(planted.labels[at]))
        folder.mkdir(parents=True, exist_ok=True)
        to_picture(planted.images[at]).save(folder / f"{at:03}.png")
    made = scan(planted.network, tmp_path / "digits", out=tmp_path / "x.scan", engine="torch", workers=0)
    found = mistakes(made)
    assert (found.wrong, found.worst, found.confusions, found.accuracy) == (0, (), (), 1.0)
    assert "none wrong" in str(found)
    assert isinstance(found.picture(), Image.Image)


def test_labels_are_needed(photographs_scan: Scan, crops: Path, lite0: cs.Network, tmp_path: Path) -> None:
    with pytest.raises(ConvscopeError, match="labels such as 'astronaut', which the network doesn't know"):
        mistakes(photographs_scan)
    (tmp_path / "bare").mkdir()
    shutil.copy(crops / "coffee" / "whole.jpg", tmp_path / "bare" / "x.jpg")
    bare = scan(lite0, tmp_path / "bare", layers=["pool"], out=tmp_path / "bare.scan", engine="torch", workers=0)
    with pytest.raises(ConvscopeError, match="have no labels; expected the network's class names"):
        mistakes(bare)
    with pytest.raises(ConvscopeError, match="limit=-1"):
        mistakes(bare, limit=-1)
