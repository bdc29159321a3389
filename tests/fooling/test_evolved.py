"""Evolution: elites never get worse, what is planted is found, and who stops comes to the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.synthesis.networks import small
from torch import Generator, Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ConvscopeError, ImageError, TargetError
from convscope.fooling.cppn import FUNCTIONS, INPUTS, Cppn, CppnEncoding, coloured, drawn, with_connection, with_node
from convscope.fooling.direct import DirectEncoding, polynomial
from convscope.fooling.evolved import Evolved, evolve
from convscope.fooling.map_elites import Elites
from convscope.synthesis.parts import PartError

CPU = torch.device("cpu")


def draw(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


class Stripes(nn.Module):
    """Four classes: how bright it is, how dark, how much its columns differ, how much its rows do."""

    def forward(self, x: Tensor) -> Tensor:
        grey = x.mean(dim=1)
        across, down = grey.diff(dim=2).abs().mean(dim=(1, 2)), grey.diff(dim=1).abs().mean(dim=(1, 2))
        bright = grey.mean(dim=(1, 2))
        return torch.stack([9 * bright, 9 * (1 - bright), 40 * (across - down), 40 * (down - across)], dim=1)


NET = cs.Network(Stripes(), input_size=16, labels=["bright", "dark", "upright", "lying"], name="stripes")


def evolved(**options: Any) -> Evolved:
    return evolve(NET, **{"evaluations": 300, "batch": 20, "engine": "torch", **options})


# --- All of it ---


def test_what_was_planted_is_found_by_patterns() -> None:
    result = evolved(evaluations=800)
    assert float(result.probabilities.min()) > 0.97
    grey = result.images([2, 3]).mean(dim=1)
    across, down = grey.diff(dim=2).abs().mean(dim=(1, 2)), grey.diff(dim=1).abs().mean(dim=(1, 2))
    assert float(across[0]) > 2 * float(down[0])
    assert float(down[1]) > 2 * float(across[1])


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
def test_elites_never_get_worse(encoding: str) -> None:
    seen: list[Tensor] = []
    result = evolved(encoding=encoding, progress=lambda progress: seen.append(progress.preview.probabilities))
    assert len(seen) == 15
    rises = torch.stack(seen).diff(dim=0)
    assert float(rises.min()) >= 0
    assert float(rises.sum()) > 0
    assert float(result.curve.diff(dim=0).min()) >= 0
    assert result.curve_at.tolist() == list(range(20, 301, 20))
    assert result.median == pytest.approx(float(result.probabilities.double().quantile(0.5)))


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
def test_what_is_told_is_true_of_the_files(encoding: str, tmp_path: Path) -> None:
    result = evolved(encoding=encoding, evaluations=100)
    for at, index in enumerate(result.classes):
        result.save(tmp_path / "one.png", which=index)
        image = cs.read_image(tmp_path / "one.png")
        assert torch.equal(image, result.image(result.labels[at]))
        own = float(NET.answers(image[None]).probabilities[0, index])
        assert own == pytest.approx(float(result.probabilities[at]), abs=1e-5)


def test_the_same_seed_is_the_same_evolution() -> None:
    one, again, other = (evolved(seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.images(range(4)), again.images(range(4)))
    assert torch.equal(one.curve, again.curve)
    assert not torch.equal(one.images(range(4)), other.images(range(4)))


@pytest.mark.parametrize("encoding", ["direct", "cppn"])
@pytest.mark.parametrize("cut", [1, 7])
def test_who_stops_and_goes_on_comes_to_the_same(encoding: str, cut: int) -> None:
    whole = evolved(encoding=encoding, seed=2, evaluations=210)
    with pytest.raises(Cancelled) as stopped:
        evolved(encoding=encoding, seed=2, evaluations=210, progress=lambda progress: progress.done < 20 * cut)
    so_far = stopped.value.so_far
    assert so_far.evaluations == 20 * cut
    joined = evolved(encoding=encoding, seed=2, evaluations=210, resume=so_far)
    assert torch.equal(joined.images(range(4)), whole.images(range(4)))
    assert torch.equal(joined.curve, whole.curve)
    assert joined.recipe == whole.recipe
    assert evolved(encoding=encoding, seed=2, evaluations=210, resume=joined).evaluations == 210


def test_some_classes_alone() -> None:
    result = evolved(classes=["lying", "class:0", 0], evaluations=40)
    assert list(result.classes) == [3, 0]
    assert list(result.labels) == ["lying", "bright"]
    assert float(result.probabilities[1]) == pytest.approx(
        float(NET.answers(result.image("bright")[None]).probabilities[0, 0]), abs=1e-5
    )
    with pytest.raises(ImageError, match="no elite of 'dark'"):
        result.image("dark")


def test_pictures() -> None:
    result = evolved(evaluations=60)
    assert result.picture(most=1).size != result.picture().size
    assert result.picture(which=0).size == (16, 16)
    assert result.picture(style="curve").size[0] == 420
    with pytest.raises(ImageError, match="sheet, curve"):
        result.picture(style="map")
    order = [float(result.probabilities[at]) for at in result.best]
    assert order == sorted(order, reverse=True)


def test_one_image_that_is_elite_of_several_classes_is_shown_once() -> None:
    result = evolved(evaluations=1, batch=1)
    assert len(result.best) == 1
    assert float(result.probabilities[result.best[0]]) == float(result.probabilities.max())


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"classes": ["brihgt"]}, TargetError, "bright"),
        ({"classes": ["class:4"]}, TargetError, "classes 0 to 3"),
        ({"classes": []}, ImageError, "one class or more"),
        ({"classes": "bright"}, ImageError, "expected a list"),
        ({"evaluations": 0}, ImageError, "evaluations=0"),
        ({"batch": 0}, ImageError, "batch=0"),
        ({"encoding": "fourier"}, PartError, "known: direct, cppn|nearest"),
        ({"encoding": "direct:rate=2"}, PartError, "0 to 1"),
        ({"encoding": "cppn:most=-1"}, PartError, "most"),
        ({"engine": "abacus"}, ConvscopeError, "abacus"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[ConvscopeError], says: str) -> None:
    with pytest.raises(error, match=says):
        evolved(**options)


def test_what_can_not_be_gone_on_from() -> None:
    earlier = evolved(evaluations=30)
    others: list[tuple[dict[str, Any], str]] = [
        ({"encoding": "direct"}, "encoding"),
        ({"classes": [0]}, "classes"),
        ({"seed": 1}, "seed"),
        ({}, "batch"),
    ]
    for options, says in others:
        with pytest.raises(ImageError, match=says):
            evolved(resume=earlier, **options)


def test_networks_without_classes() -> None:
    with pytest.raises(TargetError, match="no probabilities"):
        evolve(cs.Network(small().module, input_size=24, head="none"))


# --- MAP-Elites ---


def slow_elites(tried: list[list[float]]) -> list[int]:
    """By the definition: for each class which genome is its elite, the first of those that are as good."""
    found = []
    for kind in range(len(tried[0])):
        best = 0
        for at, sure in enumerate(tried):
            if sure[kind] > tried[best][kind]:
                best = at
        found.append(best)
    return found


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=3, max_size=3), min_size=1, max_size=12),
    st.integers(1, 12),
)
def test_elites_are_the_best_of_each_kind(tried: list[list[float]], batch: int) -> None:
    elites = Elites.none(3)
    for at in range(0, len(tried), batch):
        rows = tried[at : at + batch]
        elites = elites.after(list(range(at, at + len(rows))), torch.tensor(rows))
    assert list(elites.genomes) == slow_elites(tried)
    assert elites.sure.tolist() == [tried[at][kind] for kind, at in enumerate(slow_elites(tried))]
    assert elites.tried == len(tried)


# --- Direct ---


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 100))
def test_polynomial_mutation_stays_in_the_box(value: float, uniform: float, strength: float) -> None:
    changed = float(polynomial(torch.tensor([value]), torch.tensor([uniform]), strength))
    assert 0 <= changed <= 1
    # The sign of the change is that of u − ½.
    assert (changed - value) * (uniform - 0.5) >= -1e-6


def test_stronger_polynomial_mutation_stays_nearer() -> None:
    uniform = torch.rand(2000, generator=draw())
    near, far = (float((polynomial(torch.full_like(uniform, 0.5), uniform, n) - 0.5).abs().mean()) for n in (60, 5))
    assert near < far / 2


def test_the_rate_of_direct_mutation_is_halved() -> None:
    encoding = DirectEncoding(rate=0.2, halved_every=10, strength=1)
    genome = encoding.first((3, 40, 40), draw())
    for generation, expected in (0, 0.2), (9, 0.2), (10, 0.1), (25, 0.05):
        changed = encoding.mutated(genome, draw(1), generation) != genome
        assert float(changed.float().mean()) == pytest.approx(expected, rel=0.15)
    assert torch.equal(DirectEncoding(rate=0).mutated(genome, draw(), 0), genome)
    levels = encoding.images([genome], (3, 40, 40), CPU) * 255
    torch.testing.assert_close(levels, genome[None].float())


# --- CPPN ---


def grown(seed: int, mutations: int, channels: int = 3, **numbers: Any) -> Cppn:
    encoding, random = CppnEncoding(**numbers), draw(seed)
    genome = encoding.first((channels, 9, 7), random)
    for generation in range(mutations):
        genome = encoding.mutated(genome, random, generation)
    return genome


def slow_pixel(genome: Cppn, x: float, y: float) -> list[float]:
    """The outputs at one place, node by node and number by number."""
    values = [x, y, (x * x + y * y) ** 0.5, 1.0]
    kinds = list(FUNCTIONS.values())
    for node, function in enumerate(genome.functions):
        total = sum(float(weight) * value for weight, value in zip(genome.weights[node], values, strict=False))
        values.append(float(kinds[function](torch.tensor(total, dtype=torch.float64))))
    return values[-genome.outputs :]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_a_batch_is_drawn_as_the_definition_has_it(seed: int, mutations: int) -> None:
    genomes = [grown(seed + each, mutations + 3 * each) for each in range(3)]
    together = drawn(genomes, (3, 9, 7), CPU)
    for index, genome in enumerate(genomes):
        alone = drawn([genome], (3, 9, 7), CPU)[0]
        torch.testing.assert_close(together[index], alone, atol=1e-3, rtol=1e-3)
        for row, column in (0, 0), (4, 3), (8, 5):
            slow = torch.tensor(slow_pixel(genome, column / 3 - 1, row / 4 - 1))
            if float(slow.abs().max()) < 5:  # beyond, rounding within sines counts
                torch.testing.assert_close(alone[:, row, column], slow, atol=1e-2, rtol=1e-2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 40), st.sampled_from([1, 3, 5]))
def test_genomes_stay_sound(seed: int, mutations: int, channels: int) -> None:
    genome = grown(seed, mutations, channels, most=9)
    assert genome.outputs == channels
    assert genome.nodes <= 9 + channels
    assert genome.weights.shape == (genome.nodes, len(INPUTS) + genome.nodes)
    hidden = genome.nodes - channels
    assert not genome.weights.triu(len(INPUTS)).any()
    assert not genome.weights[:, len(INPUTS) + hidden :].any()
    images = CppnEncoding().images([genome], (channels, 9, 7), CPU)
    assert images.shape == (1, channels, 9, 7)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_a_new_node_takes_the_place_of_a_connection() -> None:
    plain = Cppn((0,), torch.tensor([[2.0, 0, 0, 0, 0]]), 1)
    split = with_node(plain, draw())
    assert split.weights.tolist() == [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 2, 0]]
    linear = Cppn((0, *split.functions[1:]), split.weights, 1)
    torch.testing.assert_close(drawn([linear], (1, 4, 4), CPU), drawn([plain], (1, 4, 4), CPU))
    full = plain
    for _ in range(6):
        full = with_connection(full, draw(3))
    assert (full.weights[:, :4] != 0).all()
    assert full.weights[0, 4] == 0


def test_hues() -> None:
    thirds = torch.tensor([[0.0, 1.0, -1.0, 3.0]])
    values = torch.stack([thirds, torch.ones_like(thirds), torch.ones_like(thirds)], dim=1)
    torch.testing.assert_close(coloured(values)[0].T, torch.eye(3)[[0, 1, 2, 0]], atol=1e-5, rtol=0)
    grey = coloured(torch.tensor([0.3, -1.0, 0.4]).reshape(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(grey, torch.full((3,), 0.4))


def test_one_pixel_and_huge_weights_are_numbers() -> None:
    wild = Cppn((4, 4, 1), 1e30 * torch.ones(3, 7).tril(3), 1)
    assert drawn([wild], (1, 1, 1), CPU).isfinite().all()
