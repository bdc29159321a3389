"""Verdicts: on a planted cue they hold, on labels learned by heart and on edges they don't."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.planted import Planted, planted, shuffled
from torch import Tensor

import convscope as cs
from convscope.attribution.attribution import Attribution
from convscope.attribution.canvas import canvas
from convscope.attribution.randomizing import randomized, weighted_layers
from convscope.attribution.ranking import pixel_values, spearman
from convscope.attribution.verdict import DRAWS, ELSEWHERE, NOISE, elsewhere, top_pixels
from convscope.progress import Progress

_MAPS: dict[str, Callable[[cs.Network, Tensor, int], Attribution]] = {
    "occlusion": partial(cs.occlusion, window=4, stride=1),
    "integrated gradients": cs.integrated_gradients,
    "guided": partial(cs.saliency, rule="guided"),
}


def words(seen: Planted, method: str, count: int) -> list[str]:
    """The words on so many maps, each of the class that the network answers."""
    classes = seen.network.logits(seen.images[:count]).argmax(1).tolist()
    pairs = zip(seen.images, classes, strict=False)
    return [cs.verdict(seen.network, _MAPS[method](seen.network, image, index)).word for image, index in pairs]


# --- What it is for ---


@pytest.mark.parametrize("method", ["occlusion", "integrated gradients"])
def test_maps_on_a_planted_cue_hold(method: str) -> None:
    found = [word for seed in (0, 1) for word in words(planted(seed), method, 4)]
    assert found.count("holds") >= 7


def test_guided_backpropagation_does_not_hold_even_there() -> None:
    assert "holds" not in words(planted(0), "guided", 8)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(_MAPS))
def test_at_most_one_map_in_twenty_holds_where_labels_were_learned_by_heart(method: str) -> None:
    found = [word for seed in (0, 1, 2) for word in words(shuffled(seed), method, 20)]
    assert len(found) == 60
    assert found.count("holds") <= 3


# --- Its figures, close to their definitions ---


def test_the_figures_are_what_they_say() -> None:
    seen = shuffled(0)
    net, image = seen.network, seen.images[0]
    attribution = cs.saliency(net, image, 3)
    found = cs.verdict(net, attribution, seed=2)

    values = attribution.values[0].abs()
    assert torch.equal(pixel_values(attribution), values)
    expected = []
    clean = net.logits(image).softmax(0)[3].item()
    for share in (0.1, 0.2):
        generator = torch.Generator().manual_seed(2)
        masks = [top_pixels(values, share, generator)]
        masks += [elsewhere(masks[0], generator) for _ in range(ELSEWHERE)]
        falls = []
        for mask in masks:
            without = image.clone()
            without[:, mask] = canvas("mean", image)[:, mask]
            falls.append(clean - net.logits(without).softmax(0)[3].item())
        others = torch.tensor(falls[1:])
        expected.append((falls[0] - others.mean().item()) / max(others.std().item(), clean / 50))
    assert found.deletion == pytest.approx(max(expected), rel=1e-3)

    layers = weighted_layers(net)[:2]
    maps = [cs.saliency(randomized(net, layers, image, seed=2 * DRAWS + draw), image, 3) for draw in range(DRAWS)]
    assert found.randomized == pytest.approx(sum(spearman(values, each.values[0].abs()) for each in maps) / DRAWS)

    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(2))
    noisy = cs.saliency(net, image + NOISE * noise, 3).values[0].abs()
    assert found.noise == pytest.approx(spearman(values, noisy))


def test_a_map_of_noise_fails() -> None:
    seen = planted()

    def drawn(network: cs.Network, image: Tensor) -> Attribution:
        return Attribution(torch.randn(16, 16), image, seen.target, made.recipe, "logit", drawn)

    made = cs.saliency(seen.network, seen.images[0], seen.target)
    assert cs.verdict(seen.network, drawn(seen.network, seen.images[0])).word == "fails"


def test_a_map_that_is_no_map_of_the_network_does_not_hold() -> None:
    """The mark itself, drawn by hand: it lies right, and stays where it is whatever becomes of the weights."""
    seen = planted()
    values = torch.zeros(16, 16)
    values[1:5, 11:15] = 1

    def painted(network: cs.Network, image: Tensor) -> Attribution:
        return replace(made, values=values, image=image, unit="logit", again=painted)

    made = cs.saliency(seen.network, seen.images[0], seen.target)
    found = cs.verdict(seen.network, painted(seen.network, seen.images[0]))
    assert found.deletion > 5
    assert found.randomized == pytest.approx(1)
    assert found.word == "fails"


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
def test_as_many_pixels_are_taken_elsewhere(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = top_pixels(torch.rand(rows, columns, generator=generator), 0.1, generator)
    assert mask.sum() == max(1, round(0.1 * rows * columns))
    assert elsewhere(mask, generator).sum() == mask.sum()


def test_elsewhere_is_not_here() -> None:
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[3:9, 3:9] = True
    generator = torch.Generator().manual_seed(0)
    assert max(int((elsewhere(mask, generator) & mask).sum()) for _ in range(100)) <= 9


# --- Words ---


@pytest.mark.parametrize(
    ("figures", "word"),
    [
        ((20, 0.25, 0.5), "holds"), ((19.9, 0.0, 1.0), "weak"), ((50, 0.26, 1.0), "weak"), ((50, 0.0, 0.49), "weak"),
        ((0.9, 0.0, 1.0), "fails"), ((50, 0.51, 1.0), "fails"), ((50, -1.0, 0.19), "fails"),
    ],
)  # fmt: skip
def test_words_by_figures(figures: tuple[float, float, float], word: str) -> None:
    found = cs.Verdict(*figures)
    assert found.word == word
    assert str(found).startswith(f"{word}: deletion z {figures[0]:.1f}, randomized weights ρ {figures[1]:.2f}")
    assert found.to_dict() == {"word": word, **dict(zip(("deletion", "randomized", "noise"), figures, strict=True))}


def test_what_is_no_class_never_holds() -> None:
    assert cs.Verdict(50, 0, 1, is_class=False).word == "weak"
    assert "no class" in str(cs.Verdict(50, 0, 1, is_class=False))
    seen = planted()
    assert not cs.verdict(seen.network, cs.saliency(seen.network, seen.images[0], "class:0 - class:1")).is_class


def test_a_constant_image_and_map_are_judged() -> None:
    net, image = planted().network, torch.zeros(1, 16, 16)
    made = cs.integrated_gradients(net, image, 0)
    assert not made.values.any()
    assert cs.verdict(net, made).word == "fails"


# --- Progress and bad input ---


def test_it_stops_when_told_and_refuses_batches() -> None:
    seen = planted()
    attribution = cs.saliency(seen.network, seen.images[0], 0)
    told: list[Progress] = []
    cs.verdict(seen.network, attribution, progress=told.append)
    assert [each.done for each in told] == [*range(1, told[0].total + 1)]
    with pytest.raises(cs.Cancelled, match="after 1 of"):
        cs.verdict(seen.network, attribution, progress=lambda progress: False)
    with pytest.raises(cs.ImageError, match="one by one"):
        cs.verdict(seen.network, cs.saliency(seen.network, seen.images[:2], 0))
