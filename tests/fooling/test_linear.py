"""Linear explanations: the ten numbers, the regression by its equation, templates planted in pictures."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import convscope as cs
from convscope.errors import ConvscopeError, ImageError, TargetError
from convscope.fooling.add_template import add_template
from convscope.fooling.compare_regularization import compare_regularization
from convscope.fooling.linear_classifier import LinearClassifier, linear_classifier
from convscope.fooling.linear_example import linear_example
from convscope.fooling.linear_table import linear_table
from convscope.fooling.softmax_regression import softmax_regression
from convscope.image.write import to_picture

# --- Ten numbers ---


def test_the_two_numbers() -> None:
    result = linear_example()
    assert (result.score, result.changed_score) == (-3, 2)
    assert round(result.probability, 4) == 0.0474
    assert round(result.changed_probability, 4) == 0.8808
    assert result.needed()[-1].dimensions == 150528


@given(st.integers(1, 30), st.floats(0, 3), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_the_step_lifts_the_score_by_the_sum_of_weights(count: int, step: float, seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    x, w = torch.randn(2, count, generator=draws, dtype=torch.float64).tolist()
    result = linear_example(x, w, step=step)
    assert result.changed_score - result.score == pytest.approx(step * sum(map(abs, w)), abs=1e-9)
    assert float((result.changed - result.input).abs().max()) == pytest.approx(step)
    # As many numbers with as large weights need the very step.
    assert result.needed([count])[0].step == pytest.approx(step)
    assert result.needed([4 * count])[0].step == pytest.approx(step / 4)


def test_the_needed_step_lifts_as_far_among_more_numbers() -> None:
    result = linear_example()
    for each in result.needed():
        weights = torch.ones(each.dimensions, dtype=torch.float64)
        assert float(each.step * weights.abs().sum()) == pytest.approx(5)
        shorter = weights * result.weights.norm() / weights.norm()
        assert float(each.fixed_norm * shorter.abs().sum()) == pytest.approx(5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"input": [1.0]}, "got 1 numbers and 10 weights"),
        ({"input": [], "weights": []}, "one at least"),
        ({"step": math.nan}, "not finite"),
        ({"input": [1.0], "weights": [0.0]}, "all 0"),
    ],
)
def test_bad_numbers(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageError, match=says):
        linear_example(**options)


def test_a_table_turns_by_small_steps_and_not_by_chance() -> None:
    result = linear_table()
    assert result.accuracy > 0.95
    assert (result.against.diff() <= 0).all()
    assert float(result.against[-1]) < 0.1
    assert float(result.by_chance[-1]) > 0.9
    with pytest.raises(ConvscopeError, match="largest"):
        linear_table(largest=math.nan)


# --- Softmax regression ---


def slow_loss(rows: Tensor, labels: Tensor, weights: Tensor, biases: Tensor, strength: float) -> Tensor:
    """Its definition, one row at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(rows.double(), labels.tolist(), strict=True):
        logits = torch.stack([(w * row).sum() + b for w, b in zip(weights, biases, strict=True)])
        total = total - (logits[label] - logits.exp().sum().log())
    return total / len(rows) + strength / 2 * (weights**2).sum()


@pytest.mark.parametrize(("count", "dimensions"), [(30, 4), (8, 25)])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_no_other_weights_are_better(count: int, dimensions: int, strength: float) -> None:
    draws = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(count, dimensions, generator=draws), torch.arange(count) % 3
    weights, biases = softmax_regression(rows, labels, 3, regularization=strength)
    weights, biases = weights.requires_grad_(), biases.requires_grad_()
    loss = slow_loss(rows, labels, weights, biases, strength)
    for gradient in torch.autograd.grad(loss, (weights, biases)):
        assert float(gradient.abs().max()) < 1e-5  # of a convex function: it is the least


def test_it_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    draws = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(60, 5, generator=draws).double(), torch.arange(60) % 4
    weights, biases = softmax_regression(rows, labels, 4, regularization=0.05)
    peer = LogisticRegression(C=1 / (0.05 * 60), tol=1e-9, max_iter=5000).fit(rows.numpy(), labels.numpy())
    logits = rows @ weights.T + biases
    expected = torch.from_numpy(peer.decision_function(rows.numpy()))
    # Their common shift over classes is free.
    torch.testing.assert_close(logits.softmax(1), expected.softmax(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("regularization", [0.0, -1.0, math.nan, math.inf])
def test_a_regularization_that_is_none(regularization: float) -> None:
    with pytest.raises(ConvscopeError, match="regularization"):
        softmax_regression(torch.eye(2), torch.arange(2), 2, regularization=regularization)


# --- Of pictures ---


def planted(count: int = 12) -> tuple[list[Tensor], list[str]]:
    """Noise with a bright left or right half: two classes whose templates are known."""
    draws = torch.Generator().manual_seed(0)
    images, labels = [], []
    for place in range(count):
        image = 0.3 * torch.rand(3, 8, 8, generator=draws)
        left = place % 2 == 0
        image[:, :, slice(0, 4) if left else slice(4, 8)] += 0.6
        images.append(image)
        labels.append("left" if left else "right")
    return images, labels


@pytest.fixture(scope="module")
def halves() -> LinearClassifier:
    images, labels = planted()
    return linear_classifier(images, labels=labels, size=8, regularization=0.01)


def test_templates_are_what_was_planted(halves: LinearClassifier) -> None:
    assert halves.labels == ("left", "right")
    assert (halves.accuracy, halves.held_out) == (1.0, 1.0)
    left = halves.templates[0].sum(0)
    assert (left[:, :4] > 0).all()
    assert (left[:, 4:] < 0).all()
    torch.testing.assert_close(halves.templates[0], -halves.templates[1], atol=1e-5, rtol=1e-3)


def test_the_template_is_the_gradient_of_the_networks_logit(halves: LinearClassifier) -> None:
    image = torch.rand(3, 8, 8)
    torch.testing.assert_close(halves.network.gradient(image, "left"), halves.templates[0])
    torch.testing.assert_close(cs.saliency(halves.network, image, "right").values, halves.templates[1])
    logits = (halves.templates * (image - 0.5)).sum((1, 2, 3)) + halves.network.module.linear.bias  # type: ignore[union-attr,operator]
    torch.testing.assert_close(halves.network.logits(image), logits.detach())


def test_the_same_call_gives_the_same_weights(halves: LinearClassifier) -> None:
    images, labels = planted()
    again = linear_classifier(images, labels=labels, size=8, regularization=0.01)
    assert torch.equal(again.templates, halves.templates)


def test_a_template_turns_a_picture(halves: LinearClassifier, tmp_path: Path) -> None:
    image = planted()[0][1]
    made = add_template(halves, "left", image, strength=0.8)
    assert made.probability_before < 0.5 < made.probability_after
    assert made.success
    to_picture(made.after).save(tmp_path / "after.png")
    read = halves.network.logits(cs.read_image(tmp_path / "after.png")).softmax(0)
    torch.testing.assert_close(read.double(), made.probabilities_after, atol=1e-6, rtol=0)
    assert torch.equal(cs.read_image(tmp_path / "after.png"), made.after)


@given(st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_no_pixel_moves_further_than_the_strength(strength: float, seed: int) -> None:
    images, labels = planted()
    trained = linear_classifier(images, labels=labels, size=8, regularization=1.0)
    made = add_template(trained, 1, strength=strength, seed=seed)
    assert made.largest_change <= strength + 0.5 / 255 + 1e-6
    assert 0 <= float(made.after.min()) <= float(made.after.max()) <= 1
    if strength == 0:
        assert torch.equal(made.before, made.after)
    assert made.probability_after >= made.probability_before - 1e-6


def test_weak_regularization_needs_less() -> None:
    made = compare_regularization("digits", "3", regularizations=[1e-4, 1e-3])
    weak, strong = made.added
    assert weak.success
    assert strong.success
    assert weak.largest_change < strong.largest_change
    assert made.picture().width > 300


# --- Folders, and bad input ---


def folder(place: Path, *, classes: tuple[str, ...] = ("left", "right")) -> Path:
    for number, (image, label) in enumerate(zip(*planted(), strict=True)):
        if label in classes:
            (place / label).mkdir(parents=True, exist_ok=True)
            to_picture(image).save(place / label / f"{number}.png")
    return place


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    made = linear_classifier(folder(tmp_path / "all"), size=8)
    assert made.labels == ("left", "right")
    assert made.held_out == 1.0
    assert {each.name for each in made.recipe.inputs} == {f"{number}.png" for number in range(12)}
    assert made.picture().width > 0


def test_an_unreadable_picture_is_passed_over_and_told_of(tmp_path: Path) -> None:
    place = folder(tmp_path / "all")
    (place / "left" / "bad.png").write_bytes((place / "left" / "0.png").read_bytes()[:60])
    made = linear_classifier(place, size=8)
    assert [each.path.name for each in made.unreadable] == ["bad.png"]


def test_folders_that_teach_nothing(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    to_picture(planted()[0][0]).save(flat / "a.png")
    with pytest.raises(ImageError, match="a folder for each class"):
        linear_classifier(flat)
    with pytest.raises(ImageError, match="are of the class 'left'"):
        linear_classifier(folder(tmp_path / "one", classes=("left",)))
    with pytest.raises(ImageError, match="there is no folder"):
        linear_classifier(tmp_path / "none")


def test_bad_input(halves: LinearClassifier) -> None:
    images, labels = planted()
    with pytest.raises(ImageError, match="one label for each"):
        linear_classifier(images)
    with pytest.raises(ImageError, match="labels beside a source"):
        linear_classifier(["chelsea"], labels=["cat"])
    with pytest.raises(ConvscopeError, match="held_out"):
        linear_classifier(images, labels=labels, held_out=1.0)
    with pytest.raises(TargetError, match="nearest: left"):
        add_template(halves, "lefft")
    for strength in (math.nan, -0.1, 1.5):
        with pytest.raises(ConvscopeError, match="strength"):
            add_template(halves, "left", strength=strength)
    with pytest.raises(ImageError, match="'nois'"):
        add_template(halves, "left", "nois")  # type: ignore[arg-type]
