"""Defences on digits: their parts against definitions, what each is known to do, and the table."""

import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, nn

import convscope as cs
from convscope.fooling.defences.digits import CLASSES, Digits, blanks, digits, noise, shuffled, smooth_noise
from convscope.fooling.defences.kinds import kinds_of
from convscope.fooling.defences.measuring import Measuring
from convscope.fooling.defences.modules import Kinds, convolutional
from convscope.fooling.defences.radial import RadialAnswers, RadialUnits
from convscope.fooling.defences.training import Adversarially, WithWhatIsNone
from convscope.fooling.defences.ways import WAYS
from convscope.fooling.withstanding import Meter
from convscope.image.write import read_recipe
from convscope.progress import Progress

SMALL: dict[str, Any] = {"epochs": 1, "images": 20, "steps": 2}


def draw(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


# --- Parts ---


def test_no_digit_is_both_learned_and_held_out() -> None:
    seen = digits()
    assert (len(seen.images), len(seen.held_out)) == (1397, 400)
    assert seen.labels.bincount().min() > 100
    learned = {tuple(each) for each in seen.images.flatten(1).tolist()}
    assert not learned & {tuple(each) for each in seen.held_out.flatten(1).tolist()}
    assert torch.equal((seen.images * 255).round() / 255, seen.images)
    assert seen.images.min() == 0
    assert seen.images.max() == 1


def test_radial_units_are_their_formula() -> None:
    torch.manual_seed(3)
    units = RadialUnits(torch.rand(4, 6)).double().requires_grad_(False)
    points = torch.rand(5, 6, dtype=torch.float64)
    found = units(points)
    for row in range(5):
        for column in range(4):
            beta = torch.exp(-units.log_width[column])
            expected = torch.exp(-beta * ((points[row] - units.centres[column]) ** 2).sum())
            assert found[row, column] == pytest.approx(float(expected))
    # At a centre its own unit answers 1, and the nearest other is as far as e to the −1 says.
    own = units(units.centres)
    assert own.diagonal().tolist() == [1] * 4
    assert float(own.fill_diagonal_(0).max()) == pytest.approx(torch.e**-1, abs=1e-6)


def test_radial_answers_are_the_logits_of_their_probabilities() -> None:
    torch.manual_seed(3)
    answers = RadialAnswers(6, 3).double()
    points = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    distances = ((points[:, None] - answers.centres) ** 2).sum(dim=2) * answers.log_beta.exp()
    assert torch.allclose(answers(points).sigmoid(), torch.exp(-distances))
    assert torch.autograd.gradcheck(answers, points)
    far = answers(1e4 * points).detach()
    assert bool(far.isfinite().all())
    assert float(far.sigmoid().max()) == 0
    assert bool(answers(answers.centres.detach()).isfinite().all())


def test_kinds_are_added_as_probabilities() -> None:
    inner = nn.Linear(4, 6).double()
    points = torch.randn(3, 4, dtype=torch.float64)
    found = Kinds(inner, 2)(points).softmax(dim=1)
    assert torch.allclose(found, inner(points).softmax(dim=1).reshape(3, 3, 2).sum(dim=2))


def test_kinds_are_of_their_digit_and_nearest_to_its_own_mean() -> None:
    seen = digits()
    images, labels = seen.images[:300], seen.labels[:300]
    found = kinds_of(images, labels, 3, seed=1)
    assert torch.equal(found // 3, labels)
    for digit in range(3):
        here = images[labels == digit].flatten(1)
        kinds = found[labels == digit] % 3
        means = torch.stack([here[kinds == kind].mean(dim=0) for kind in range(3)])
        assert torch.equal(torch.cdist(here, means).argmin(dim=1), kinds)


def test_what_is_no_digit_lies_in_0_to_1() -> None:
    made = [noise(50, draw()), smooth_noise(50, draw()), blanks(50, draw())]
    assert all(each.shape == (50, 1, 8, 8) and 0 <= each.min() <= each.max() <= 1 for each in made)
    rough, soft, blank = ((each[..., 1:] - each[..., :-1]).abs().mean() for each in made)
    assert rough > 2 * soft > blank == 0
    images = digits().images[:5]
    mixed = shuffled(images, draw())
    assert torch.equal(mixed.flatten(1).sort(dim=1).values, images.flatten(1).sort(dim=1).values)
    assert not torch.equal(mixed, images)


def test_adversarial_examples_lie_in_the_ball_and_are_worse() -> None:
    torch.manual_seed(0)
    module, batch = convolutional(), (digits().images[:40], digits().labels[:40])
    shown, labels = Adversarially(0.1)(module, batch, draw())
    assert torch.equal(labels, batch[1])
    assert float((shown - batch[0]).abs().max()) <= 0.1 + 1e-6
    assert 0 <= shown.min() <= shown.max() <= 1
    drawn = (batch[0] + 0.1 * (2 * noise(40, draw(1)) - 1)).clamp(0, 1)
    clean, by_chance, attacked = (
        float(F.cross_entropy(module(each), labels).detach()) for each in (batch[0], drawn, shown)
    )
    assert attacked - clean > 3 * abs(by_chance - clean) > 0


def test_the_negative_class_has_half_as_many() -> None:
    torch.manual_seed(0)
    batch = digits().images[:32], digits().labels[:32]
    shown, labels = WithWhatIsNone(0.2)(convolutional(CLASSES + 1), batch, draw())
    assert len(shown) == 48
    assert labels.tolist() == [*batch[1].tolist(), *[CLASSES] * 16]
    assert torch.equal(shown[:32], batch[0])


# --- The table ---


def test_each_is_a_network_that_any_method_takes() -> None:
    table = cs.defences(**SMALL)
    assert list(table.networks) == list(WAYS)
    image = digits().held_out[0]
    for name, net in table.networks.items():
        assert cs.saliency(net, image, "3").values.shape == (1, 8, 8)
        assert net.classes == (11 if name == "negative class" else 10)
        assert 0 <= net.predict(image, top=1)[0].probability <= 1


def test_it_is_told_in_words_and_json_and_seen(tmp_path: Any) -> None:
    table = cs.defences(which=["negative class"], epsilons=[0.2, 0.05], **SMALL)
    lines = str(table).splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["defence", "plain", "negative class"]
    assert lines[0].split()[2:6] == ["FGSM", "0.05", "FGSM", "0.2"]
    assert lines[5].split()[-5::2] == ["–", "–", "–"]
    whole = json.loads(table.to_json())
    assert [each["defence"] for each in whole["defences"]] == ["plain", "negative class"]
    assert whole["middle"] == 0.2
    table.save(tmp_path / "table.png")
    assert read_recipe(tmp_path / "table.png").method == "defences"


def test_the_same_seed_gives_the_same_table() -> None:
    one, same, other = (cs.defences(which=["radial units"], seed=seed, **SMALL) for seed in (1, 1, 2))
    weights = [each.networks["radial units"].weights_sha256 for each in (one, same, other)]
    assert weights[0] == weights[1] != weights[2]
    assert one.rows[1].measured.transferred == same.rows[1].measured.transferred


def test_random_numbers_of_others_stay_as_they_were() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    cs.defences(which=["plain"], **SMALL)
    assert torch.equal(torch.rand(1), expected)


def test_it_stops_when_told_and_says_how_far_it_is() -> None:
    told: list[Progress] = []

    def note(progress: Progress) -> None:
        told.append(progress)

    cs.defences(which=["plain"], progress=note, **SMALL)
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert told[-1].done == told[-1].total
    with pytest.raises(cs.Cancelled):
        cs.defences(which=["plain"], progress=lambda progress: progress.done < 200, **SMALL)


class Steep(nn.Module):
    """The same answers from logits so large that the softmax is flat in single precision."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answers: torch.Tensor = 1e6 * self.module(x)
        return answers


def test_a_network_that_hides_its_gradients_is_found_out() -> None:
    plain = cs.defences(which=["plain"], epochs=3, images=1, steps=1).networks["plain"]
    measuring = Measuring((0.15,), steps=10, images=60, seed=0, meter=Meter(0, None))
    against = measuring.against(plain)
    bare, steep = (measuring.measured(net, against) for net in (plain, plain.with_module(Steep(plain.module))))
    assert bare.own.clean == steep.own.clean
    assert bare.transferred == steep.transferred
    assert steep.own.share("pgd", 0.15).value > bare.own.share("pgd", 0.15).value + 0.3
    assert bare.missed.value < 0.05
    assert steep.missed.value > 0.3


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a defence that isn't known": ({"which": ["radial"]}, "no defence 'radial'; nearest: radial"),
    "too many images": ({"images": 401}, "images=401, expected at most 400"),
    "no images": ({"images": 0}, "images=0"),
    "no epochs": ({"epochs": 0}, "epochs=0"),
    "no epsilons": ({"epsilons": []}, "expected numbers above 0"),
    "an epsilon of 0": ({"epsilons": [0, 0.1]}, "expected numbers above 0"),
    "an endless epsilon": ({"epsilons": [torch.inf]}, "epsilon=inf"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused(what: str) -> None:
    options, told = BAD[what]
    with pytest.raises(cs.ConvscopeError, match=told):
        cs.defences(**{**SMALL, **options})


@pytest.mark.slow  # trains two networks until they are good
def test_adversarial_training_helps_and_a_negative_class_rejects_noise() -> None:
    table = cs.defences(which=["adversarial", "negative class"], epochs=6, images=100, steps=10, epsilons=[0.1])
    plain, trained, rejecting = (row.measured for row in table.rows)
    assert plain.own.clean.value > 0.9
    assert trained.own.share("pgd", 0.1).value > plain.own.share("pgd", 0.1).value + 0.1
    assert rejecting.noise.rejected.value > 0.9
    assert plain.noise.surely.value > rejecting.noise.surely.value


def test_digits_are_held_once() -> None:
    assert isinstance(digits(), Digits)
    assert digits() is digits()
