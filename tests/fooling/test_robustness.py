"""Accuracy against epsilon: exact for linear classifiers, laws, sources of every kind, and what is refused."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.digits_network import digits_network
from torch import Tensor, nn

import convscope as cs
from convscope.fooling.ball import lengths
from convscope.image.write import read_recipe, to_picture
from convscope.network.differentiable import Differentiable
from convscope.progress import Progress

EPSILONS = [8 / 255, 24 / 255, 64 / 255]


def some(count: int) -> tuple[cs.Network, Tensor, list[int]]:
    """The network of digits, and so many that it has not seen."""
    seen = digits_network()
    return seen.network, seen.images[:count], seen.labels[:count].tolist()


# --- Ground truth ---


def linear(seed: int) -> tuple[cs.Network, Tensor, list[int], Tensor, Tensor]:
    """Two classes by a line; images on a file's levels, their classes, the margins, the weights of the difference."""
    draw = torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, dtype=torch.float64))
    images = torch.randint(60, 196, (24, 3, 4, 4), generator=draw).double() / 255
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
        layer = module[1]
        assert isinstance(layer, nn.Linear)
        weights = (layer.weight[1] - layer.weight[0]).clone()
        layer.bias.sub_(module(images).mean(dim=0))
        margins = module(images)[:, 1] - module(images)[:, 0]
    net = cs.Network(module, input_size=4, labels=["left", "right"])
    return net, images, (margins > 0).long().tolist(), margins.abs(), weights


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), attack=st.sampled_from(["fgsm", "pgd"]))
def test_of_a_line_it_is_known_which_images_withstand(seed: int, attack: str) -> None:
    net, images, classes, margins, weights = linear(seed)
    epsilons = [each / 255 for each in (2, 10, 30)]
    found = cs.robustness(net, images, classes=classes, epsilons=epsilons, attacks=[attack], steps=5, batch=24)
    for number, epsilon in enumerate(epsilons, start=1):
        lost = epsilon * weights.abs().sum()
        sure = (margins / lost - 1).abs() > 1e-2
        assert torch.equal(found.withstood[0, number][sure], (margins > lost)[sure])
    assert found.clean.value == 1


def test_of_a_line_so_it_is_by_length() -> None:
    net, images, classes, margins, weights = linear(3)
    found = cs.robustness(net, images, classes=classes, epsilons=[0.1, 0.3], attacks=["fgsm"], norm="l2")
    for number, epsilon in enumerate((0.1, 0.3), start=1):
        lost = epsilon * lengths(weights[None])[0]
        # A file's levels change the length a little.
        sure = (margins / lost - 1).abs() > 0.1
        assert torch.equal(found.withstood[0, number][sure], (margins > lost)[sure])
        assert 0 < int((margins > lost).sum()) < len(images)


def test_it_is_what_single_attacks_find() -> None:
    net, images, classes = some(8)
    asked: dict[str, Any] = {"epsilons": EPSILONS, "attacks": ["pgd", "fgsm", "bim"], "steps": 3, "seed": 5}
    found = cs.robustness(net, images, classes=classes, batch=1, **asked)
    for place, (image, label) in enumerate(zip(images, classes, strict=True)):
        stands = [net.predict(image, top=1)[0].index == label] * 3
        assert found.withstood[:, 0, place].tolist() == stands
        for number, epsilon in enumerate(EPSILONS, start=1):
            ball: dict[str, Any] = {"label": label, "epsilon": epsilon}
            many: dict[str, Any] = {"steps": 3, "step": 2.5 * epsilon / 3}
            turned = [
                cs.fgsm(net, image, **ball).success,
                cs.bim(net, image, **ball, **many).success,
                cs.pgd(net, image, seed=5 + place, **ball, **many).success,
            ]
            stands = [stands[each] and not any(turned[: each + 1]) for each in range(3)]
            assert found.withstood[:, number, place].tolist() == stands
    assert found.attacks == ("fgsm", "bim", "pgd")


# --- Laws ---


def test_at_epsilon_0_it_is_the_accuracy_of_pictures_as_they_are() -> None:
    net, images, classes = some(60)
    answers = net.logits(images).argmax(dim=1)
    found = cs.robustness(net, images, classes=classes, epsilons=[0, 1e-9], attacks=["fgsm"], batch=7)
    assert list(found.epsilons) == [0.0, 1e-9]
    assert torch.equal(found.withstood[0, 0], answers == torch.tensor(classes))
    assert found.clean.count == int((answers == torch.tensor(classes)).sum())
    assert found.accuracy[0, 1] == found.accuracy[0, 0]


def test_stronger_attacks_and_larger_epsilons_leave_less_each_by_itself() -> None:
    net, images, classes = some(60)

    def left(attack: str, epsilon: float) -> int:
        options = {} if attack == "fgsm" else {"steps": 10, "step": epsilon / 4}
        made = getattr(cs, attack)(net, images, label=classes, epsilon=epsilon, batch=60, **options)
        return int((net.logits(made.images).argmax(dim=1) == torch.tensor(classes)).sum())

    fgsm, pgd = ([left(attack, each) for each in EPSILONS] for attack in ("fgsm", "pgd"))
    assert fgsm == sorted(fgsm, reverse=True)
    assert pgd == sorted(pgd, reverse=True)
    assert all(strong <= weak for strong, weak in zip(pgd, fgsm, strict=True))
    together = cs.robustness(net, images, classes=classes, epsilons=EPSILONS, steps=10, batch=60).accuracy
    assert fgsm[1] - pgd[1] >= 3
    assert 60 * float(together[0, -1]) <= fgsm[-1]
    assert abs(60 * float(together[1, 2]) - pgd[1]) <= 1


def test_the_share_has_the_interval_of_shares() -> None:
    net, images, classes = some(10)
    found = cs.robustness(net, images, classes=classes, epsilons=[0.1], attacks=["fgsm"])
    low, high = found.clean.interval
    assert 0 < low < found.clean.value <= high <= 1


def test_pictures_may_be_attacked_together_or_one_by_one_and_where_nothing_is_followed() -> None:
    net, images, classes = some(12)
    asked: dict[str, Any] = {"classes": classes, "epsilons": EPSILONS, "attacks": ["fgsm", "pgd"], "steps": 3}
    alone = cs.robustness(net, images, batch=1, **asked).withstood
    for size in (5, 12):
        assert torch.equal(cs.robustness(net, images, batch=size, **asked).withstood, alone)
    with torch.inference_mode():
        assert torch.equal(cs.robustness(net, images.clone(), batch=5, **asked).withstood, alone)


def test_one_network_is_made_ready_for_all_attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    net, images, classes = some(9)
    made: list[Any] = []
    own = Differentiable.__init__

    def note(self: Differentiable, *arguments: Any, **options: Any) -> None:
        made.append(arguments)
        own(self, *arguments, **options)

    monkeypatch.setattr(Differentiable, "__init__", note)
    cs.robustness(net, images, classes=classes, epsilons=EPSILONS, steps=2, batch=4)
    assert len(made) == 1


# --- Sources ---


def folder_of(root: Path, images: Tensor, classes: Sequence[int | str]) -> Path:
    """A folder a class, with the images in it."""
    for number, (image, name) in enumerate(zip(images, classes, strict=True)):
        (root / str(name)).mkdir(parents=True, exist_ok=True)
        to_picture(image).save(root / str(name) / f"{number:03d}.png")
    return root


def test_folders_lists_data_sets_and_images_say_the_same(tmp_path: Path) -> None:
    net, images, classes = some(12)
    images = (images * 255).round() / 255
    classes[0] = (classes[0] + 1) % 10
    folder = folder_of(tmp_path / "digits", images, classes)
    files = sorted(folder.rglob("*.png"))
    table = tmp_path / "list.csv"
    table.write_text("file,index\n" + "".join(f"{each},{each.parent.name}\n" for each in files))
    asked: dict[str, Any] = {"epsilons": [0.1], "attacks": ["fgsm"]}
    sources: list[Any] = [folder, table, list(zip(images, classes, strict=True))]
    expected = cs.robustness(net, images, classes=classes, **asked)
    for source in sources:
        found = cs.robustness(net, source, **asked)
        assert torch.equal(found.accuracy, expected.accuracy)
        assert sorted(found.classes.tolist()) == sorted(classes)
    assert expected.clean.count <= 11


def test_names_of_folders_are_labels_and_what_is_neither_is_left_out(tmp_path: Path) -> None:
    _, images, classes = some(6)
    names = ["nought", *map(str, range(1, 10))]
    net = cs.Network(digits_network().network.module, input_size=16, channels=1, fit="resize", labels=names)
    folder = folder_of(tmp_path, images, ["Nought" if each == 0 else each for each in classes[:5]] + ["letter"])
    (folder / "letter" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "1").mkdir(exist_ok=True)
    (folder / "1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = cs.robustness(net, folder, epsilons=[0.1], attacks=["fgsm"])
    assert len(found.classes) == 5
    assert [each.path.name for each in found.unreadable] == ["broken.png"]
    assert "2 of 8 pictures have no class that the network has" in str(found)
    assert "1 files were left out; broken.png" in str(found)


def test_so_many_are_drawn_by_the_seed() -> None:
    net, images, classes = some(30)
    data: Any = list(zip(images, classes, strict=True))
    one, same, other = (
        cs.robustness(net, data, epsilons=[0.1], attacks=["fgsm"], limit=5, seed=seed).classes.tolist()
        for seed in (0, 0, 1)
    )
    assert len(one) == 5
    assert one == same != other


# --- What is told ---


def test_it_is_told_in_words_and_json_and_seen(tmp_path: Path) -> None:
    net, images, classes = some(10)
    found = cs.robustness(net, images, classes=classes, epsilons=[0.1, 2 / 255], steps=2)
    lines = str(found).splitlines()
    assert lines[0].split() == ["epsilon", "FGSM", "PGD"]
    assert [line.split()[0] for line in lines[1:4]] == ["0", "2/255", "25.5/255"]
    whole = json.loads(found.to_json())
    assert [each["epsilon"] for each in whole["attacks"]["pgd"]] == [2 / 255, 0.1]
    assert whole["pictures"] == 10
    assert found.share("pgd", 0.1).value == float(found.accuracy[1, 2])
    with pytest.raises(cs.ImageError, match=r"'bim' at 0\.1 was not tried; there are fgsm, pgd at 0, 2/255"):
        found.share("bim", 0.1)
    found.save(tmp_path / "curves.png")
    assert read_recipe(tmp_path / "curves.png").method == "robustness"
    assert len(Image.open(tmp_path / "curves.png").convert("RGB").getcolors(100_000) or []) > 10


def test_by_default_lengths_suit_the_size_of_the_image() -> None:
    net, images, classes = some(2)
    by_value, by_length = (
        cs.robustness(net, images, classes=classes, attacks=["fgsm"], norm=norm).epsilons for norm in NORMS
    )
    assert by_value == (0, *(each / 255 for each in (1, 2, 4, 8)))
    assert by_length[-1] == pytest.approx(8 / 255 * 16 / 4)


NORMS: list[Literal["linf", "l2"]] = ["linf", "l2"]


def test_it_stops_when_told() -> None:
    net, images, classes = some(8)
    told: list[Progress] = []

    def stop(progress: Progress) -> bool:
        told.append(progress)
        return len(told) < 6

    with pytest.raises(cs.Cancelled):
        cs.robustness(net, images, classes=classes, epsilons=[0.001], attacks=["pgd"], steps=9, progress=stop)
    done = [each.done for each in told]
    assert done == sorted(done)
    assert len(done) == 6
    assert told[-1].total == 8 * 10


def test_it_ends_where_it_said_it_would() -> None:
    net, images, classes = some(9)
    told: list[Progress] = []

    def note(progress: Progress) -> None:
        told.append(progress)

    cs.robustness(net, images, classes=classes, epsilons=EPSILONS, steps=2, batch=4, progress=note)
    assert (told[-1].done, told[-1].total) == (9 * 10, 9 * 10)


# --- What is refused ---


def test_pictures_without_classes_are_refused(tmp_path: Path) -> None:
    net, images, classes = some(2)
    to_picture(images[0]).save(tmp_path / "one.png")
    with pytest.raises(cs.ImageError, match=r"no class is told of the 1 pictures.*expected a folder a class"):
        cs.robustness(net, tmp_path)
    folder_of(tmp_path, images, ["cat", "cat"])
    with pytest.raises(cs.ImageError, match="tell no class of Sequential, but 'cat'"):
        cs.robustness(net, tmp_path)
    with pytest.raises(cs.ImageError, match="2 images without their classes"):
        cs.robustness(net, images)
    with pytest.raises(cs.ImageError, match="1 classes for 2 images"):
        cs.robustness(net, images, classes=classes[:1])
    with pytest.raises(cs.ImageError, match="classes= beside a source"):
        cs.robustness(net, tmp_path, classes=classes)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "an attack that isn't known": ({"attacks": ["pgt"]}, "no attack 'pgt'; nearest: pgd"),
    "no attack": ({"attacks": []}, "got no attack; expected some of fgsm, bim, pgd"),
    "no epsilon": ({"epsilons": [0]}, "expected one above 0"),
    "an epsilon below 0": ({"epsilons": [-0.1]}, "epsilon=-0.1"),
    "a norm that isn't known": ({"norm": "l3"}, "no norm 'l3'"),
    "no steps": ({"steps": 0}, "steps=0"),
    "no batch": ({"batch": 0}, "batch=0"),
    "no pictures": ({"limit": 0}, "limit=0"),
    "a class that isn't known": ({"classes": ["ten"]}, "'ten'"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused(what: str) -> None:
    net, images, classes = some(1)
    options, told = BAD[what]
    with pytest.raises(cs.ConvscopeError, match=told):
        cs.robustness(net, images, **{"classes": classes, **options})


def test_what_has_no_classes_or_no_pictures_is_refused(tmp_path: Path) -> None:
    net, images, classes = some(1)
    maps = cs.Network(nn.Conv2d(1, 1, 3), input_size=16, channels=1)
    with pytest.raises(cs.TargetError, match="class"):
        cs.robustness(maps, images, classes=classes)
    with pytest.raises(cs.ImageError, match="got no images"):
        cs.robustness(net, [])
    with pytest.raises(cs.ImageError, match="no folder"):
        cs.robustness(net, tmp_path / "nowhere")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(cs.ImageError, match=r"no picture could be read; broken\.png"):
        cs.robustness(net, tmp_path)
