"""What holds for all attacks: balls and boxes, batches, classes, input that can't be attacked."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fooling.attacked import ALONE, IN_BALLS, SIDE, SMALLEST, affine, curved, pictures, targets_of
from torch import Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, StepFailed, TargetError
from convscope.fooling.ball import Norm

EVERY = {**IN_BALLS, **SMALLEST}


@pytest.mark.parametrize("name", IN_BALLS)
@settings(max_examples=8, deadline=None)
@given(epsilon=st.floats(0, 0.3), norm=st.sampled_from(["linf", "l2"]), seed=st.integers(0, 99), extreme=st.booleans())
def test_the_ball_and_the_box_are_kept(name: str, epsilon: float, norm: Norm, seed: int, *, extreme: bool) -> None:
    attack, options = IN_BALLS[name]
    images = pictures(3, seed)
    images = images.round() if extreme else images
    result = attack(curved(), images, epsilon=epsilon, norm=norm, **options)
    norms = result.norms_before_rounding
    assert float((norms.linf if norm == "linf" else norms.l2).max()) <= epsilon + 1e-6
    for made in (result.exact, result.images):
        assert float(made.min()) >= 0
        assert float(made.max()) <= 1
    levels = result.images * 255
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    if norm == "linf":
        # On 256 levels there may be no value in so small a ball; then it is the nearest.
        assert float(result.norms.linf.max()) <= max(epsilon + 1e-6, 1 / 510 + 1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", IN_BALLS)
def test_no_epsilon_is_the_identity(name: str, norm: Norm) -> None:
    attack, options = IN_BALLS[name]
    images = (pictures() * 255).round().div(255).float().double()
    result = attack(curved(), images, epsilon=0, norm=norm, **options)
    assert torch.equal(result.exact, images)
    assert torch.equal(result.images, images)
    assert not result.successes.any()
    assert not result.perturbation.any()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", ALONE)
def test_a_batch_is_one_by_one(name: str, *, targeted: bool) -> None:
    attack, options = ALONE[name]
    images = pictures()
    targets = targets_of(curved(), images) if targeted else [None] * 4
    together = attack(curved(), images, target=targets if targeted else None, batch=3, **options)
    for number, image in enumerate(images):
        seeded = {"seed": number} if name == "pgd" else {}
        alone = attack(curved(), image, target=targets[number], **options, **seeded)
        torch.testing.assert_close(alone.exact[0], together.exact[number], atol=1e-9, rtol=0)
        assert torch.equal(alone.image, together.images[number])
        assert alone.success == bool(together.successes[number])
        assert isinstance(alone.success, bool)
        assert alone.perturbation.shape == image.shape
        if name != "box_lbfgs":  # which goes on along its line until all of a batch are satisfied
            assert int(alone.queries) == int(together.queries[number])
            assert int(alone.gradients) == int(together.gradients[number])


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_they_succeed_and_say_so(name: str, *, targeted: bool) -> None:
    attack, options = EVERY[name]
    images = pictures(8, seed=5)
    targets = targets_of(curved(), images) if targeted else None
    ball = {"epsilon": 0.5} if name in IN_BALLS else {}
    result = attack(curved(), images, target=targets, **options, **ball)
    # One step, or one change for all images, can't do what a search for each can.
    assert int(result.successes.sum()) >= {"fgsm": 2, "universal": 2}.get(name, 8)
    now = [each[0].index for each in curved().predict(result.images, top=1)]
    before = [each[0].index for each in curved().predict(images, top=1)]
    expected = [one == two for one, two in zip(now, targets, strict=True)] if targets else [
        one != two for one, two in zip(now, before, strict=True)
    ]  # fmt: skip
    assert result.successes.tolist() == expected
    assert [each[0].index for each in result.after] == now
    assert [each[0].index for each in result.before] == before
    assert result.targets == (None if targets is None else ["abcd"[each] for each in targets])


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd"])
def test_more_epsilon_never_hurts_on_average(name: str) -> None:
    attack, options = IN_BALLS[name]
    images = pictures(24, seed=7)
    rates = [
        float(attack(curved(), images, epsilon=epsilon, batch=24, **options).successes.double().mean())
        for epsilon in (0.0, 0.02, 0.1, 0.4)
    ]
    assert rates == sorted(rates)
    assert rates[0] == 0
    assert rates[-1] > 0.5


def test_more_steps_withstand_less() -> None:
    images = pictures(24, seed=8)
    fallen = [
        int(result.successes.sum())
        for result in (
            cs.fgsm(curved(), images, epsilon=0.02, batch=24),
            cs.bim(curved(), images, epsilon=0.02, batch=24),
            cs.pgd(curved(), images, epsilon=0.02, batch=24),
        )
    ]
    assert fallen == sorted(fallen)
    assert fallen[-1] > 0


@pytest.mark.parametrize("name", SMALLEST)
def test_negative_logits_are_no_obstacle(name: str) -> None:
    attack, options = SMALLEST[name]
    images = pictures(6, seed=3)
    plain, sunk = (affine(2, bias=bias) for bias in (0.0, -1e3))
    assert float(sunk.logits(images).max()) < 0
    one, other = (attack(network, images, **options) for network in (plain, sunk))
    assert bool(other.successes.all())
    lengths = [each.norms_before_rounding.l2 for each in (one, other)]
    torch.testing.assert_close(lengths[0], lengths[1], atol=0, rtol=0.05)


@pytest.mark.parametrize("name", [*EVERY, "targeted_gradient"])
def test_what_was_given_is_left_as_it_was(name: str) -> None:
    attack, options = EVERY.get(name, (cs.targeted_gradient, {}))
    images, state = pictures(2), {key: value.clone() for key, value in curved().module.state_dict().items()}
    kept = images.clone()
    attack(curved(), images, target=targets_of(curved(), images), **options)
    assert torch.equal(images, kept)
    assert all(torch.equal(value, state[key]) for key, value in curved().module.state_dict().items())
    assert all(each.grad is None for each in curved().module.parameters())


def test_in_inference_mode_too() -> None:
    with torch.inference_mode():
        result = cs.bim(curved(), pictures(2), epsilon=0.4, steps=5)
    assert bool(result.successes.any())


def test_the_label_may_be_another_than_the_answer() -> None:
    image = pictures(1)[0]
    order = [each.index for each in curved().predict(image, top=4)]
    wrong = cs.deep_fool(curved(), image, label=order[2])
    assert wrong.success
    assert float(wrong.norms_before_rounding.l2) == 0
    assert wrong.labels == ["abcd"[order[2]]]
    led = cs.bim(curved(), image, label=order[0], epsilon=0.3)
    assert torch.equal(led.image, cs.bim(curved(), image, epsilon=0.3).image)


def test_targets_in_every_form() -> None:
    image = pictures(1)[0]
    index = targets_of(curved(), image[None])[0]
    made = [
        cs.bim(curved(), image, target=target, epsilon=0.3).image
        for target in (index, f"class:{index}", "abcd"[index], [index], torch.tensor([index]))
    ]
    assert all(torch.equal(made[0], each) for each in made)


def test_a_watcher_sees_images_and_may_stop() -> None:
    seen: list[Tensor] = []

    def watch(progress: cs.Progress) -> bool:
        seen.append(progress.preview)
        return progress.done < 3

    with pytest.raises(Cancelled) as stopped:
        cs.pgd(curved(), pictures(2), steps=5, progress=watch)
    assert len(seen) == 3
    assert stopped.value.so_far.shape == (2, 3, SIDE, SIDE)


class One(nn.Module):
    """One class."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3))[:, None]


class Maps(nn.Module):
    """No class."""

    def forward(self, x: Tensor) -> Tensor:
        return x


BAD: list[tuple[dict[str, Any], str]] = [
    ({"target": "hippogriff"}, "no class or layer 'hippogriff'"),
    ({"target": "class:9"}, "classes 0 to 3"),
    ({"target": "a - b"}, "no single class"),
    ({"target": "0"}, "no single class"),
    ({"target": lambda output: output[:, 0]}, "no single class"),
    ({"target": [0, 1, 2]}, "got 3 classes for 1 images"),
    ({"label": "hippogriff"}, "no class or layer 'hippogriff'"),
    ({"epsilon": -0.1}, "epsilon=-0.1, expected 0 or more"),
    ({"epsilon": float("nan")}, "epsilon=nan"),
    ({"epsilon": float("inf")}, "epsilon=inf"),
    ({"norm": "l1"}, "no norm 'l1'; nearest: l2"),
    ({"steps": 0}, "steps=0, expected 1 at least"),
    ({"batch": 0}, "batch=0, expected 1 at least"),
    ({"step": 0.0}, "step=0.0, expected more than 0"),
]


@pytest.mark.parametrize(("options", "says"), BAD)
def test_bad_options_are_one_clear_error(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ImageError, TargetError)) as raised:
        cs.pgd(curved(), pictures(1)[0], **options)
    assert says in str(raised.value)


def test_a_target_that_is_there_already() -> None:
    images = pictures(3)
    own = [each[0].index for each in curved().predict(images, top=1)]
    with pytest.raises(TargetError, match=r"the image is .* already; expected another class"):
        cs.pgd(curved(), images[0], target=own[0])
    targets = targets_of(curved(), images)
    with pytest.raises(TargetError, match="image 2 is"):
        cs.pgd(curved(), images, target=[*targets[:2], own[2]])
    with pytest.raises(TargetError, match="already"):
        cs.pgd(curved(), images[0], target=targets[0], label=targets[0])


def test_networks_without_another_class() -> None:
    for module, told in ((One(), "one class"), (Maps(), "no classes")):
        with pytest.raises(TargetError, match=told):
            cs.pgd(cs.Network(module, input_size=SIDE), pictures(1)[0].float())


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.5])
def test_images_that_are_none(value: float) -> None:
    image = pictures(1)[0]
    image[0, 2, 2] = value
    with pytest.raises(ImageError, match=r"expected values in \[0, 1\]"):
        cs.fgsm(curved(), image)


def test_images_of_several_sizes_and_none_at_all() -> None:
    with pytest.raises(ImageError, match="of one size"):
        cs.fgsm(curved(), [pictures(1)[0], pictures(1, side=8)[0]])
    with pytest.raises(ImageError, match="got no images"):
        cs.fgsm(curved(), [])
    with pytest.raises(ConvscopeError):
        cs.fgsm(curved(), "chelsea")  # type: ignore[arg-type]


def test_weights_that_are_no_numbers() -> None:
    layer = nn.Linear(3 * SIDE**2, 3)
    torch.nn.init.constant_(layer.weight, float("nan"))
    module = nn.Sequential(nn.Flatten(), layer)
    with pytest.raises(StepFailed, match="not finite"):
        cs.fgsm(cs.Network(module, input_size=SIDE), pictures(1)[0].float())


def test_a_flat_network_is_not_fooled() -> None:
    layer = nn.Linear(3 * SIDE**2, 3)
    torch.nn.init.zeros_(layer.weight)
    layer.bias = nn.Parameter(torch.tensor([1.0, 0, 0]))
    network = cs.Network(nn.Sequential(nn.Flatten(), layer), input_size=SIDE)
    for name, (attack, options) in EVERY.items():
        result = attack(network, pictures(2).float(), **options)
        assert not result.successes.any(), name
        assert not result.exact.isnan().any(), name
