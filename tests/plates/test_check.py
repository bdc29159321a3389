"""Faults planted in how networks are fed are found; networks that are fed right are let be."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from torch import Tensor, nn

import convscope as cs
from convscope.image.bundled import photograph
from convscope.image.read import read_image
from convscope.image.resize import fit_image
from convscope.image.sources import Photograph
from convscope.image.write import to_picture
from convscope.network.labels import imagenet_labels, imagenet_wordnet_ids
from convscope.network.normalization import Normalization
from convscope.plates.checking.check import Check, check
from convscope.plates.checking.feeding import Geometry, current_feeding, geometries, scalings
from convscope.plates.checking.judging import compare, half_interval, strangeness
from convscope.plates.checking.labelling import LabelOrder, answered_order, label_orders
from convscope.plates.checking.normed import NormedLayers, divergence
from convscope.plates.checking.train_mode import train_mode
from convscope.plates.checking.trials import Answers, Trials

SIZE = 20
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = ("red disc", "red oval", "dark disc", "dark oval", "blue disc", "blue oval")
COLOURS = torch.tensor([[0.8, 0.3, 0.3], [0.45, 0.2, 0.2], [0.3, 0.3, 0.8]])
Options = dict[str, Any]


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Discs and ovals on wide noisy pictures `(N, 3, 24, 48)`: colour, brightness and aspect tell the classes."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % len(NAMES)
    centres = torch.rand(2, count, 1, 1, generator=generator) * 4 - 2
    radius = 3.5 + torch.rand(count, 1, 1, generator=generator)
    rows, columns = torch.meshgrid(torch.arange(24.0) - 11.5, torch.arange(48.0) - 23.5, indexing="ij")
    aspect = torch.where(classes % 2 == 0, 1.0, 1.8)[:, None, None]
    inside = ((rows - centres[0]) / radius) ** 2 + ((columns - centres[1]) / radius / aspect) ** 2 < 1
    colours = COLOURS[classes // 2][:, :, None, None] * (0.9 + 0.2 * torch.rand(count, 1, 1, 1, generator=generator))
    pictures = torch.where(inside[:, None], colours, torch.tensor([0.45, 0.5, 0.4])[:, None, None])
    return (pictures + 0.04 * torch.randn(pictures.shape, generator=generator)).clamp(0, 1), classes


def small(norms: bool) -> nn.Sequential:
    def block(ins: int, outs: int) -> list[nn.Module]:
        norm: list[nn.Module] = [nn.BatchNorm2d(outs)] if norms else []
        return [nn.Conv2d(ins, outs, 3, stride=2, padding=1, bias=not norms), *norm, nn.ReLU()]

    ends = [nn.Flatten(), nn.Dropout(0.5), nn.Linear(32 * 9, len(NAMES))]
    return nn.Sequential(*block(3, 16), *block(16, 24), *block(24, 32), *ends)


def trained(norms: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    module = small(norms)
    optimizer = torch.optim.AdamW(module.parameters(), 0.004)
    normalize = Normalization(MEAN, STD)
    for step in range(120):
        pictures, classes = scenes(48, seed=1000 + step)
        loss = F.cross_entropy(module(normalize(fit_image(pictures, (SIZE, SIZE)))), classes)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module.eval()


def network(module: nn.Module, **options: Any) -> cs.Network:
    usual: Options = {"mean": MEAN, "std": STD, "labels": NAMES, "name": "small"}
    return cs.Network(module, input_size=SIZE, **{**usual, **options})


@pytest.fixture(scope="module")
def module() -> nn.Sequential:
    return trained()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """168 pictures in a folder a class."""
    place = tmp_path_factory.mktemp("scenes")
    pictures, classes = scenes(168, seed=1)
    for number, (picture, class_) in enumerate(zip(pictures, classes.tolist(), strict=True)):
        (place / NAMES[class_]).mkdir(exist_ok=True)
        to_picture(picture).save(place / NAMES[class_] / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def unlabelled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unlabelled")
    for file in folder.rglob("*.png"):
        (place / file.name).write_bytes(file.read_bytes())
    return place


# The right feeding


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("labelled", [True, False])
def test_nothing_is_said_of_a_network_that_is_fed_right(
    module: nn.Module, folder: Path, unlabelled: Path, seed: int, labelled: bool
) -> None:
    result = check(network(module), folder if labelled else unlabelled, seed=seed)
    assert result.faults == ()
    assert result.best == result.current
    assert result.verdict.startswith("small is fed as it was trained, as far as 168 photographs tell")
    assert result.current.photographs == 168
    if labelled:
        assert result.current.accuracy is not None
        assert result.current.accuracy > 0.9


def test_nor_of_the_default_network(lite0: cs.Network, tmp_path: Path) -> None:
    """Its classes are its own answers to crops of photographs, under its right feeding."""
    for name in ("chelsea", "coffee", "astronaut", "rocket", "motorcycle", "china"):
        image = read_image(photograph(name), size=420)
        for column in (0, image.shape[2] - 260):
            crop = to_picture(image[:, :260, column : column + 260])
            crop.save(tmp_path / f"{name}{column}.png")
            answer = lite0.predict(lite0.read(tmp_path / f"{name}{column}.png"), top=1)[0]
            target = tmp_path / f"{imagenet_wordnet_ids()[answer.index]}_{name}{column}.png"
            (tmp_path / f"{name}{column}.png").rename(target)
    result = check(lite0, tmp_path)
    assert (result.faults, result.current.accuracy) == ((), 1.0)
    assert result.evidence == "classes from WordNet ids in the names"


# Planted faults

USUAL_LINES = ["mean = [0.485, 0.456, 0.406]", "std = [0.229, 0.224, 0.225]"]


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ({"mean": None, "std": None}, USUAL_LINES),
        ({"mean": None, "std": None, "value_range": (0, 255)}, ["value_range = [0, 1]", *USUAL_LINES]),
        (
            {"mean": None, "std": None, "normalize": lambda batch: batch * 9},
            ["value_range = [0, 1]", *USUAL_LINES, 'channel_order = "RGB"'],
        ),
        ({"channel_order": "BGR"}, ['channel_order = "RGB"']),
        ({"fit": "resize"}, ['fit = "crop"', "crop_fraction = 0.875"]),
        ({"crop_fraction": 0.45}, ["crop_fraction = 0.875"]),
        ({"labels": tuple(reversed(NAMES))}, [f"labels = {json.dumps(NAMES)}"]),
        # Not an order that has a name: it is learned from the answers.
        ({"labels": sorted(NAMES)}, [f"labels = {json.dumps(NAMES)}"]),
    ],
    ids=["mean and std", "0 to 255", "a function", "BGR", "resize", "crop", "labels reversed", "labels sorted"],
)
def test_a_fault_is_found_and_only_what_is_wrong_is_changed(
    module: nn.Module, folder: Path, fault: Options, wanted: list[str]
) -> None:
    result = check(network(module, **fault), folder)
    assert len(result.faults) == 1
    assert result.best.difference.low > 0
    assert list(result.best.toml) == wanted
    lines = result.verdict.splitlines()
    assert lines[0].startswith(f"small is not fed as it was trained: “{result.best.name}” is right on ")
    assert lines[1:] == ["Put into net.toml:", *(f"    {line}" for line in wanted)]


def test_two_faults_at_once_are_found(module: nn.Module, folder: Path) -> None:
    result = check(network(module, mean=None, std=None, labels=tuple(reversed(NAMES))), folder)
    assert list(result.best.toml) == [*USUAL_LINES, f"labels = {json.dumps(NAMES)}"]


@pytest.mark.parametrize("fault", [{"mean": None, "std": None}, {"mean": None, "std": None, "value_range": (0, 255)}])
def test_without_classes_a_wrong_scaling_is_found_by_batch_norms(
    module: nn.Module, unlabelled: Path, fault: Options
) -> None:
    result = check(network(module, **fault), unlabelled)
    assert result.evidence == "batch norms and confidence"
    assert set(result.best.toml) >= set(USUAL_LINES)
    assert "nats" in result.verdict
    assert "strangeness" in str(result)


def test_without_classes_and_batch_norms_nothing_is_said(unlabelled: Path) -> None:
    result = check(network(small(norms=False).eval()), unlabelled, limit=20)
    assert result.faults == ()
    assert "nothing can be said" in result.verdict


def test_a_module_left_in_training_mode_is_found_and_left_as_it_was(module: nn.Module, folder: Path) -> None:
    left: nn.Module = trained().train()
    before = {name: value.clone() for name, value in left.state_dict().items()}
    random_state = torch.get_rng_state()
    result = check(network(left), folder)
    assert result.best == result.current
    (fault,) = result.faults
    assert "left in training mode (4 of its layers are)" in fault
    assert "call module.eval()" in result.verdict
    assert result.train_mode is not None
    assert result.train_mode.accuracy_as_it_is is not None
    assert all(each.training for each in left.modules())
    assert all(torch.equal(before[name], value) for name, value in left.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_mode_that_changes_nothing_is_no_fault(folder: Path) -> None:
    module = trained()
    module.training = True  # as for a module that has been put together of evaluated parts
    assert check(network(module), folder, limit=12).train_mode is None


def test_a_module_that_can_not_run_in_training_mode_is_said_to(unlabelled: Path) -> None:
    class Fails(nn.Dropout):
        def forward(self, input: Tensor) -> Tensor:
            if self.training:
                raise ValueError
            return input

    net = network(nn.Sequential(Fails(), small(norms=False).eval()))
    trials = Trials(net, [Photograph(each) for each in sorted(unlabelled.iterdir())[:3]], None)
    found = train_mode(net, trials, current_feeding(net), range(3), seed=0)
    assert found is not None
    assert found.matters
    assert "one of its layers is): it can't be run like that" in str(found)


# Results and errors


@pytest.fixture(scope="module")
def result(module: nn.Module, folder: Path) -> Check:
    return check(network(module, channel_order="BGR"), folder, limit=120, seed=3)


def test_the_table_begins_with_the_current_feeding_and_ends_with_the_verdict(result: Check) -> None:
    head, first, *_ = str(result).splitlines()
    assert head.split("  ")[0] == "feeding"
    assert "better by (points)" in head
    assert first.startswith("as now ")
    assert str(result).endswith(result.verdict)


def test_json_holds_every_feeding(result: Check) -> None:
    whole = json.loads(result.to_json())
    assert whole["fed_as_trained"] is False
    assert len(whole["rows"]) == len(result.rows) > 12
    assert whole["best"]["toml"] == ['channel_order = "RGB"']
    # Screened, all, and those on which an order was tried that had been learned on the others.
    assert {row["photographs"] for row in whole["rows"]} <= {64, 120, 56}


def test_the_recipe_tells_how_it_was_made(result: Check, folder: Path) -> None:
    assert (result.recipe.method, result.recipe.seed) == ("check", 3)
    assert result.recipe.parameters == {"folder": folder.name, "limit": 120}


def test_photographs_that_can_not_be_read_are_left_out(module: nn.Module, folder: Path, tmp_path: Path) -> None:
    for file in sorted(folder.rglob("*.png"))[::6]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "cut.png").write_bytes(next(folder.rglob("*.png")).read_bytes()[:90])
    (tmp_path / "page.jpg").write_text("<html>")
    result = check(network(module), tmp_path)
    assert {each.path.name for each in result.unreadable} == {"cut.png", "page.jpg"}
    assert result.current.photographs == 28
    assert "2 files were left out; page.jpg: the file is a web page" in result.verdict


def test_classes_that_the_network_has_not_are_not_gone_by(module: nn.Module, folder: Path) -> None:
    result = check(network(module, labels=list("abcdef")), folder, limit=20)
    assert result.evidence == "batch norms and confidence"
    assert "the folders' names tell no class that the network has, such as 'blue disc': not gone by" in result.notes


def test_a_network_without_labels_counts_the_folders_alphabetically(module: nn.Module, folder: Path) -> None:
    result = check(network(module, labels=None), folder)
    assert "its classes are taken to be the 6 names in alphabetical order" in result.notes[0]
    assert list(result.best.toml) == [f"labels = {json.dumps([str(sorted(NAMES).index(name)) for name in NAMES])}"]


def test_progress_is_told_and_may_stop_the_work(module: nn.Module, unlabelled: Path) -> None:
    told: list[tuple[int, int]] = []
    check(network(module), unlabelled, limit=9, on_progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]
    with pytest.raises(cs.Cancelled):
        check(network(module), unlabelled, limit=9, on_progress=lambda done, total: False)


def test_errors_say_what_to_do(module: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(cs.ImageError, match="no folder"):
        check(network(module), tmp_path / "nowhere")
    with pytest.raises(cs.ImageError, match="expected at least one photograph"):
        check(network(module), tmp_path, limit=0)
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(cs.ImageError, match=r"none of 1 photographs can be fed to the network; cut\.png"):
        check(network(module), tmp_path)
    maps = cs.Network(nn.Conv2d(3, 4, 3), input_size=8)
    with pytest.raises(cs.NetworkError, match="no classes to answer with"):
        check(maps, tmp_path)


# Feedings


def test_the_usual_scalings_are_tried_once_each_in_both_orders(module: nn.Module) -> None:
    names = [each.name for each in scalings(network(module, mean=(127 / 255,), std=(128 / 255,)))]
    assert names[:2] == ["as now", "as now but BGR"]
    assert len(names) == 12
    assert "[-1, 1], RGB" not in names  # within a hundredth of (255x − 127) / 128


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_have_no_order_and_one_number_for_all(channels: int) -> None:
    net = cs.Network(nn.Sequential(nn.Conv2d(channels, 2, 8), nn.Flatten()), input_size=8, channels=channels)
    found = {each.name: each.function for each in scalings(net)}
    usual = found["ImageNet's mean and std"]
    assert isinstance(usual, Normalization)
    assert usual.mean == pytest.approx((0.449,) * channels)
    assert not any("BGR" in name for name in found)


def test_numbers_go_with_their_colours(module: nn.Module) -> None:
    found = {each.name: each.function for each in scalings(network(module, mean=None, std=None))}
    image = torch.rand(1, 3, 4, 4)
    caffe = image.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    torch.testing.assert_close(found["Caffe's means, BGR"](image), caffe)


def test_geometries_change_one_thing_at_a_time(module: nn.Module) -> None:
    names = [each.name for each in geometries(Geometry("crop", 0.875, "bicubic"))]
    assert names == ["crop 0.95, bicubic", "crop 1, bicubic", "resize, bicubic", "pad, bicubic", "crop 0.875, bilinear"]


# Labels


def test_sorted_imagenet_labels_have_imagenets_order_among_the_others() -> None:
    labels = sorted(imagenet_labels())
    order = label_orders(labels, 1000)[0]
    assert order.name == "ImageNet's"
    assert tuple(labels[at] for at in order.order) == imagenet_labels()
    assert all(sorted(each.order) == list(range(1000)) for each in label_orders(labels, 1000))


def test_an_order_that_is_undone_gives_every_class_its_output() -> None:
    order = LabelOrder("any", (2, 0, 1))
    assert [order.order[output] for output in order.outputs([0, 1, 2])] == [0, 1, 2]


@pytest.mark.parametrize("answers", [[0, 1, 2, 0], [0, 0, 0, 0]])
def test_answers_that_fit_the_labels_or_one_class_alone_teach_no_other_order(answers: list[int]) -> None:
    assert answered_order([0, 1, 2, 0], answers, 3) is None


# The arithmetic


def _answers(right: Sequence[bool], log_probability: Tensor | None = None) -> Answers:
    count = len(right)
    blank = Answers.blank(count, classes_known=True, channels=0)
    given = torch.zeros(count) if log_probability is None else log_probability
    return replace(blank, output=torch.tensor([int(not each) for each in right]), log_probability=given)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (5, 0), (0, 5), (12, 3), (18, 18)])
def test_the_chance_of_answers_is_mcnemars_exact_one(won: int, lost: int) -> None:
    current, other = [False] * won + [True] * (lost + 10), [True] * won + [False] * lost + [True] * 10
    found = compare(_answers(current), _answers(other), seed=0)
    expected = binomtest(won, won + lost, alternative="greater").pvalue if won + lost else 1.0
    assert found.answers_chance == pytest.approx(expected)
    assert found.gain == pytest.approx((won - lost) / (won + lost + 10))
    assert found.low <= found.gain <= found.high


def test_the_interval_holds_the_true_gain_about_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        draws = torch.rand(80, generator=generator)
        current, other = draws < 0.8, ((draws > 0.05) & (draws < 0.8)) | (draws > 0.85)
        found = compare(_answers(current.tolist()), _answers(other.tolist()), seed=0)
        held += found.low <= 0.1 <= found.high
    assert held / 400 == pytest.approx(0.95, abs=0.03)


def test_better_answers_are_convincing_only_with_better_probabilities_and_by_enough() -> None:
    current, other = [False] * 20 + [True] * 80, [True] * 100
    gains = torch.linspace(0, 1, 100)
    assert compare(_answers(current), _answers(other, gains), seed=0).convincing(tried=20)
    assert not compare(_answers(current), _answers(other, -gains), seed=0).convincing(tried=20)
    assert not compare(_answers(current), _answers(current, gains), seed=0).convincing(tried=20)


def test_divergence_is_that_of_normal_distributions() -> None:
    means, stds = torch.tensor([0.5, -1.0, 0.0]), torch.tensor([0.5, 2.0, 1.0])
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(means, stds), normal(0.0, 1.0)).mean()
    torch.testing.assert_close(divergence(means, stds.square() + means.square()), expected)


def test_strangeness_is_entropy_plus_divergence() -> None:
    answers = replace(
        Answers.blank(2, classes_known=False, channels=1),
        entropy=torch.tensor([0.2, 0.4]),
        moments=torch.tensor([[[0.0], [1.0]], [[1.0], [2.0]]]),
    )
    assert strangeness(answers) == pytest.approx(0.3 + (0.25 + 1.25 - 1 - math.log(1.25)) / 2)


def test_moments_of_batch_norms_are_those_of_their_inputs() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    for tensor in (norm.weight.data, norm.running_var):
        assert tensor is not None
        tensor.uniform_(0.5, 2)
    norm.bias.data.normal_()
    norm.weight.data[3] = 0  # says nothing of its input
    net = cs.Network(module, input_size=8)
    image = torch.rand(2, 3, 8, 8)
    inputs = net.capture(image, ["0"])["0"]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    standard = (inputs - norm.running_mean.view(-1, 1, 1)) / (norm.running_var + norm.eps).sqrt().view(-1, 1, 1)
    found = NormedLayers.of(net).moments(net, image)
    torch.testing.assert_close(found[:, 0, :3], standard.mean((2, 3))[:, :3])
    torch.testing.assert_close(found[:, 1, :3], standard.square().mean((2, 3))[:, :3])
    torch.testing.assert_close(found[:, :, 3], torch.tensor([[0.0, 1.0]]).expand(2, 2))


def test_half_the_interval_of_a_share() -> None:
    low, high = binomtest(45, 50).proportion_ci(method="wilson")
    assert half_interval(0.9, 50) == pytest.approx((high - low) / 2, abs=1e-4)


@pytest.mark.parametrize("head", ["sigmoid", "single-logit", "none"])
def test_every_head_can_be_checked(folder: Path, head: Any) -> None:
    classes = 1 if head == "single-logit" else 2
    module = nn.Sequential(nn.Conv2d(3, classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = network(module, labels=["red disc", "blue disc"], head=head)
    result = check(net, folder, limit=10)
    assert result.current.photographs == 10
    assert "112 of 168 photographs have no class that the network has" in result.notes


def _with_a_loader(path: str) -> Tensor:
    return read_image(path)


@pytest.mark.parametrize("loader", [None, _with_a_loader])
def test_the_networks_own_loader_reads(module: nn.Module, folder: Path, loader: Callable[[str], Tensor] | None) -> None:
    result = check(network(module, loader=loader), folder, limit=30)
    assert result.current.accuracy is not None
    assert result.current.accuracy > 0.8
