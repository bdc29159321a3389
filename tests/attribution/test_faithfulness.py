"""Insertion and deletion against a form written out, on a mark that was planted, and what is made of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planted import planted
from torch import Tensor, nn

import convscope as cs
from convscope.attribution.canvas import blurred, canvas
from convscope.attribution.faithfulness import with_random_orders
from convscope.attribution.ranking import moved, order, pixel_values, ranks, spearman
from convscope.progress import Progress

# --- The curves ---


def small(seed: int = 0, classes: int = 4) -> cs.Network:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 48, classes))
    return cs.Network(module.double(), input_size=(6, 8))


def picture(seed: int = 0) -> Tensor:
    return torch.rand(3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def written_out(net: cs.Network, image: Tensor, values: Tensor, steps: int, end: Tensor, index: int) -> list[float]:
    """Deletion close to the definition, pixel by pixel: the answer after each step."""
    places = sorted(((r, c) for r in range(6) for c in range(8)), key=lambda place: -values[place].item())
    answers, now, gone = [], image.clone(), 0
    for step in range(steps + 1):
        while gone < round(step * len(places) / steps):
            row, column = places[gone]
            now[:, row, column] = end[:, row, column]
            gone += 1
        answers.append(net.logits(now).softmax(0)[index].item())
    return answers


@pytest.mark.parametrize("steps", [1, 5, 48])
def test_deletion_and_insertion_equal_the_definition(steps: int) -> None:
    net, image = small(), picture()
    attribution = cs.integrated_gradients(net, image, 2)
    result = cs.faithfulness(net, image, attribution, steps=steps, start="mean", end=0.25, orders=2, square=1, batch=3)
    values = attribution.values.sum(0)
    expected = written_out(net, image, values, steps, torch.full_like(image, 0.25), 2)
    torch.testing.assert_close(result.deletion.values, torch.tensor(expected, dtype=torch.float64))
    # Putting pixels into a canvas is taking those that come later out of the image.
    mean = image.mean((1, 2), keepdim=True).expand_as(image)
    expected = written_out(net, mean, values, steps, image, 2)
    torch.testing.assert_close(result.insertion.values, torch.tensor(expected, dtype=torch.float64))
    assert result.unit == "probability"
    assert result.deletion.random.shape == (2, steps + 1)


def test_areas_are_means_over_the_fractions() -> None:
    net, image = small(), picture()
    course = cs.faithfulness(net, image, cs.saliency(net, image, 0), steps=7, orders=3).deletion
    assert course.area == pytest.approx(np.trapezoid(course.values.numpy(), course.fractions.numpy()))
    areas = [np.trapezoid(each.numpy(), course.fractions.numpy()) for each in course.random]
    assert course.random_area == pytest.approx(np.mean(areas))
    assert course.random_spread == pytest.approx(np.std(areas, ddof=1))


@given(st.integers(0, 10_000), st.sampled_from(["gray", "mean", "blur", 0.1]), st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_all_curves_begin_and_end_at_the_known_answers(seed: int, kind: str | float, steps: int) -> None:
    net, image = small(seed), picture(seed)
    result = cs.faithfulness(net, image, cs.saliency(net, image, 1), steps=steps, start=kind, end=kind, seed=seed)  # type: ignore[arg-type]
    clean = net.logits(image).softmax(0)[1].item()
    empty = net.logits(canvas(kind, image)).softmax(0)[1].item()  # type: ignore[arg-type]
    for course, first, last in ((result.deletion, clean, empty), (result.insertion, empty, clean)):
        curves = torch.cat([course.values[None], course.random])
        torch.testing.assert_close(curves[:, 0], torch.full_like(curves[:, 0], first))
        torch.testing.assert_close(curves[:, -1], torch.full_like(curves[:, 0], last))


@given(st.integers(0, 10_000), st.sampled_from(["cube", "scale", "exp"]))
@settings(max_examples=15, deadline=None)
def test_only_the_order_of_the_values_counts(seed: int, function: str) -> None:
    net, image = small(seed), picture(seed)
    values = torch.randint(-3, 4, (6, 8), generator=torch.Generator().manual_seed(seed)).double()
    rising = {"cube": values**3, "scale": 5 * values - 2, "exp": values.exp()}[function]
    made = replace(cs.saliency(net, image, 0), unit="logit")
    one, other = (cs.faithfulness(net, image, replace(made, values=each), steps=6) for each in (values, rising))
    assert torch.equal(one.deletion.values, other.deletion.values)
    assert torch.equal(one.insertion.values, other.insertion.values)


@pytest.mark.parametrize("square", [1, 2, 3, 5, 100])
def test_squares_go_whole_the_strongest_on_average_first(square: int) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(6, 8, generator=generator)
    orders = with_random_orders(values, square, 4, generator)
    assert orders.shape == (5, 48)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(48).expand(5, 48))
    means = {}
    for row in range(0, 6, square):
        for column in range(0, 8, square):
            means[row // square, column // square] = values[row : row + square, column : column + square].mean().item()
    for at, each in enumerate(orders.tolist()):
        went = list(dict.fromkeys((pixel // 8 // square, pixel % 8 // square) for pixel in each))
        assert len(went) == len(means)
        assert at > 0 or went == sorted(means, key=lambda place: -means[place])
        changes = sum(one // 8 // square != other // 8 // square or one % 8 // square != other % 8 // square
                      for one, other in pairwise(each))  # fmt: skip
        assert changes == len(means) - 1


def test_a_moved_order_keeps_its_pattern() -> None:
    """Neighbours stay neighbours: the differences from pixel to pixel are those of the map, elsewhere."""
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(6, 8, generator=generator)
    for _ in range(5):
        other = moved(values, generator)
        for axis in (0, 1):
            steps, others = ((each - each.roll(1, axis)).abs().flatten().sort().values for each in (values, other))
            torch.testing.assert_close(steps, others)


def test_the_size_of_batches_changes_nothing() -> None:
    net, image = small(), picture()
    attribution = cs.saliency(net, image, 0)
    one, other = (cs.faithfulness(net, image, attribution, batch=batch) for batch in (1, 64))
    torch.testing.assert_close(one.deletion.values, other.deletion.values)
    torch.testing.assert_close(one.insertion.random, other.insertion.random)


def test_a_difference_of_classes_is_counted_in_logits() -> None:
    net, image = small(), picture()
    result = cs.faithfulness(net, image, cs.saliency(net, image, "class:0 - class:1"), steps=3)
    assert result.unit == "logit"
    assert result.deletion.values[0] == pytest.approx(net.score(image, "class:0 - class:1").item())


def test_a_function_is_a_target_too() -> None:
    net, image = small(), picture()
    result = cs.faithfulness(net, image, cs.saliency(net, image, lambda output: output[:, 3] ** 2), steps=3)
    assert result.deletion.values[0] == pytest.approx(net.logits(image)[3].item() ** 2)


# --- What it is for ---


def test_the_right_map_beats_chance_and_its_own_reverse() -> None:
    """Whether there is a mark is all that the class goes by: it is gone with the mark, and back with it."""
    seen = planted()
    for image in seen.images[:4]:
        attribution = cs.integrated_gradients(seen.network, image, seen.target)
        reverse = replace(attribution, values=-attribution.values)
        right, wrong = (
            cs.faithfulness(seen.network, image, each, start=0.0, end=0.0, steps=16, square=1)
            for each in (attribution, reverse)
        )
        assert right.deletion.area < 0.05
        assert right.deletion.area < right.deletion.random_area - 2 * right.deletion.random_spread
        assert right.insertion.area > right.insertion.random_area + right.insertion.random_spread
        assert right.deletion.area < wrong.deletion.area - 0.3
        assert right.insertion.area > wrong.insertion.area + 0.3
        squares = cs.faithfulness(seen.network, image, attribution, start=0.0, end=0.0, steps=16)
        assert squares.deletion.area < squares.deletion.random_area - 0.2


# --- Order of pixels ---


def test_derivatives_count_by_magnitude_and_shares_by_sign() -> None:
    net, image = small(), picture()
    gradient, shares = cs.saliency(net, image, 0), cs.integrated_gradients(net, image, 0)
    assert torch.equal(pixel_values(gradient), gradient.values.abs().amax(0))
    assert torch.equal(pixel_values(shares), shares.values.sum(0))
    assert torch.equal(pixel_values(gradient, "signed"), gradient.values.sum(0))


def test_equal_pixels_are_taken_in_no_direction() -> None:
    generator = torch.Generator().manual_seed(0)
    taken = order(torch.zeros(20, 20), generator)
    assert sorted(taken.tolist()) == list(range(400))
    assert abs(spearman(torch.arange(400.0), taken.argsort())) < 0.2


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=30), st.integers(0, 1000))
def test_rank_correlation_is_scipys(values: list[int], seed: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    one = torch.tensor(values, dtype=torch.float64)
    other = torch.randint(0, 5, one.shape, generator=torch.Generator().manual_seed(seed)).double()
    np.testing.assert_array_equal(ranks(one) + 1, stats.rankdata(one))
    if len(one.unique()) == 1 or len(other.unique()) == 1:  # type: ignore[no-untyped-call]
        assert spearman(one, other) == 0
    else:
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)


# --- Canvases ---


def test_a_blur_keeps_what_is_even_and_is_a_gaussian() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = picture()
    expected = [ndimage.gaussian_filter(each, 0.8, mode="nearest", radius=3) for each in image.numpy()]
    torch.testing.assert_close(blurred(image, 0.8), torch.from_numpy(np.stack(expected)))
    even = torch.full((3, 6, 8), 0.3, dtype=torch.float64)
    torch.testing.assert_close(canvas("blur", even), even)


@pytest.mark.parametrize("kind", ["grey", float("nan"), torch.zeros(3, 5, 8)])
def test_unknown_canvases_are_refused(kind: str | float | Tensor) -> None:
    net, image = small(), picture()
    with pytest.raises(cs.ImageError, match=r"canvas"):
        cs.faithfulness(net, image, cs.saliency(net, image, 0), end=kind)  # type: ignore[arg-type]


# --- Bad input, and stopping ---


def test_a_map_of_another_image_is_refused() -> None:
    net, image = small(), picture()
    attribution = cs.saliency(net, image, 0)
    with pytest.raises(cs.ImageError, match="of another image"):
        cs.faithfulness(net, picture(1), attribution)
    with pytest.raises(cs.ImageError, match=r"shape \(3, 6, 8\); got one of \(3, 7, 8\)"):
        cs.faithfulness(net, torch.zeros(3, 7, 8, dtype=torch.float64), attribution)
    with pytest.raises(cs.ImageError, match="NaN"):
        cs.faithfulness(net, image, replace(attribution, values=attribution.values / 0))
    batch = torch.stack([image, image])
    with pytest.raises(cs.ImageError, match="one by one"):
        cs.faithfulness(net, batch, cs.saliency(net, batch, 0))


@pytest.mark.parametrize("name", ["steps", "orders", "square", "batch"])
def test_counts_below_one_are_refused(name: str) -> None:
    net, image = small(), picture()
    with pytest.raises(cs.ImageError, match=f"{name}=0"):
        cs.faithfulness(net, image, cs.saliency(net, image, 0), **{name: 0})  # type: ignore[arg-type]


def test_it_tells_how_far_it_is_and_stops_within_a_batch() -> None:
    net, image = small(), picture()
    attribution = cs.saliency(net, image, 0)
    seen: list[Progress] = []
    cs.faithfulness(net, image, attribution, steps=5, orders=2, batch=4, progress=seen.append)
    assert [seen[0].done, seen[-1].done, seen[-1].total] == [3, 27, 27]
    seen.clear()

    def stop(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) < 2

    with pytest.raises(cs.Cancelled):
        cs.faithfulness(net, image, attribution, steps=5, orders=2, batch=4, progress=stop)
    assert len(seen) == 2


# --- Its picture, words and recipe ---


def test_it_can_be_seen_and_told() -> None:
    net, image = small(), picture()
    result = cs.faithfulness(net, image, cs.saliency(net, image, 0), steps=4, orders=1)
    assert np.ptp(np.asarray(result.picture())) > 100
    assert str(result).startswith(f"insertion area {result.insertion.area:.3f} (by chance ")
    assert "nan" not in str(result)


def test_its_recipe_names_the_map() -> None:
    net, image = small(), picture()
    attribution = cs.saliency(net, image, 0, rule="guided")
    result = cs.faithfulness(net, image, attribution, steps=4, seed=3, end=torch.zeros_like(image))
    assert result.recipe.method == "faithfulness"
    assert result.recipe.parameters["of"] == {
        "method": "saliency", "parameters": attribution.recipe.parameters, "batch": None, "seed": None,
    }  # fmt: skip
    assert (result.recipe.seed, result.recipe.parameters["end"]) == (3, "image")
    assert result.recipe.inputs[: len(attribution.recipe.inputs)] == attribution.recipe.inputs
    assert len(result.recipe.inputs) == 2
