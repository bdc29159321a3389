"""Dreams: Google's recipe, written out slowly; windows that leave no seam; what is refused, and what a stop leaves."""

import functools
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor, nn

import convscope as cs
from convscope.errors import Cancelled, ImageError, LayerError, NetworkError, StepFailed, TargetError
from convscope.image.resize import resize
from convscope.progress import Progress
from convscope.synthesis import dreaming, tiled
from convscope.synthesis.dream import Dream, dream
from convscope.synthesis.dreaming import dream_objective
from convscope.synthesis.objectives import Objective, Seen, asked, energy, measured
from convscope.synthesis.objectives.guided import guided
from convscope.synthesis.optimizers.ascent import normalized
from convscope.synthesis.tiled import Uphill, spans, tile_for


@functools.cache
def small() -> cs.Network:
    """Layer 1 is signed, 2 rectified, 4 has stride 2; random, in double precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 12, 3, padding=1, stride=2), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
        )  # fmt: skip
    return cs.Network(module.eval().double().requires_grad_(False), input_size=24)


def photograph(rows: int = 30, columns: int = 44, *, seed: int = 0) -> Tensor:
    """Smooth, as photographs are."""
    coarse = torch.rand(1, 3, 5, 7, generator=Generator().manual_seed(seed), dtype=torch.float64)
    return F.interpolate(coarse, size=(rows, columns), mode="bilinear")[0]


def short(network: cs.Network, image: Tensor, target: Any = "2", **options: Any) -> Dream:
    return dream(network, image, target, **{"octaves": 2, "steps": 2, "jitter": 3, **options})


def dreamt_slowly(image: Tensor, *, until: int, octaves: int, scale: float, steps: int, jitter: int) -> Tensor:
    """The recipe of 2015: octaves from small to large, detail carried over, rolls, steps of one mean length."""
    module = small().module
    assert isinstance(module, nn.Sequential)
    draw = Generator().manual_seed(0)
    detail = torch.zeros(1, 3, 1, 1, dtype=torch.float64)
    for octave in range(octaves - 1, -1, -1):
        size = round(image.shape[1] / scale**octave), round(image.shape[2] / scale**octave)
        base = resize(image[None], size)
        if octave < octaves - 1:
            detail = F.interpolate(detail, size=size, mode="bicubic")
        x = (base + detail).clamp(0, 1)
        for _ in range(steps):
            oy, ox = torch.randint(-jitter, jitter + 1, (2,), generator=draw).tolist()
            x = torch.roll(x, (oy, ox), (2, 3)).requires_grad_()
            activations = module[: until + 1](x)
            # What arrives at the layer as the gradient is the activation itself.
            (g,) = torch.autograd.grad(activations, x, activations.detach())
            x = (x.detach() + 1.5 / 255 * g / g.abs().mean()).clamp(0, 1)
            x = torch.roll(x, (-oy, -ox), (2, 3))
        detail = x - base
    return x[0]


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_the_recipe_written_out(layer: int) -> None:
    image = photograph()
    made = dream(small(), image, str(layer), octaves=3, scale=1.3, steps=3, jitter=4)
    slow = dreamt_slowly(image, until=layer, octaves=3, scale=1.3, steps=3, jitter=4)
    # As files hold it, and no more than their rounding from it.
    assert float((made.image - slow).abs().max()) <= 0.5 / 255 + 1e-9
    assert made.image.shape == image.shape
    assert made.image.dtype == image.dtype
    assert made.values.shape == (9, 1)


@pytest.mark.parametrize("wanted", ["2", "4:3", "class:1"])
def test_a_dream_raises_what_it_is_of(wanted: str) -> None:
    image = photograph()
    goal = energy(wanted) if wanted == "2" else asked(small().target(wanted))
    made = dream(small(), image, wanted, octaves=1, steps=6, jitter=0)
    assert measured(small(), goal, made.images) > measured(small(), goal, image[None])


def test_several_are_added() -> None:
    both = short(small(), photograph(), ["2", "class:1"])
    joined = short(small(), photograph(), energy("2") + asked(small().target("class:1")))
    assert both.image.equal(joined.image)
    assert not both.image.equal(short(small(), photograph(), "2").image)
    assert both.recipe.parameters["target"] == ["2", "class:1"]


@pytest.mark.parametrize(
    "change",
    [{"octaves": 1}, {"scale": 1.7}, {"steps": 3}, {"jitter": 0}, {"rate": 0.02}, {"seed": 1}, {"tile": 16},
     {"guide": photograph(24, 24, seed=5)}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_option_counts(change: dict[str, Any]) -> None:
    plain, changed = short(small(), photograph()), short(small(), photograph(), **change)
    assert not plain.image.equal(changed.image)


def test_steps_are_of_the_rate() -> None:
    """Grey is far from 0 and 1: a step moves each pixel by the rate on average."""
    image = 0.3 + 0.4 * photograph()
    made = dream(small(), image, "2", octaves=1, steps=1, rate=0.04)
    assert float((made.image - image).abs().mean()) == pytest.approx(0.04, rel=0.02)


def test_the_same_seed_and_the_recipe_give_the_same_pixels() -> None:
    made = short(small(), photograph(), guide=photograph(24, 24, seed=5))
    told = {**made.recipe.parameters, "guide": photograph(24, 24, seed=5)}
    again = dream(small(), photograph(), **told, seed=made.recipe.seed or 0)  # type: ignore[arg-type]
    assert made.image.equal(again.image)
    assert made.recipe == again.recipe
    assert len(made.recipe.inputs) == 2
    assert made.recipe.parameters["guide"] == "image"


def test_the_note_says_which_layers_are_signed() -> None:
    assert short(small(), photograph(), "1").note.startswith("1 answers with negative values")
    assert short(small(), photograph(), "2").note == ""
    assert short(small(), photograph(), "1", guide=photograph(24, 24)).note == ""


def test_a_rectified_layer_is_only_boosted_and_a_signed_one_also_driven_down() -> None:
    image = photograph()
    signed, rectified = short(small(), image, "1"), short(small(), image, "2")
    before = small().capture(image, ["1"])["1"]
    assert float(small().capture(signed.image, ["1"])["1"].clamp(max=0).mean()) < float(before.clamp(max=0).mean())
    after = small().capture(rectified.image, ["2"])["2"]
    assert float(after.mean()) > float(small().capture(image, ["2"])["2"].mean())


# Guides


def test_a_guide_by_hand() -> None:
    """At each place the guide's vector with the largest product, one place at a time; and its gradient is that."""
    draw = Generator().manual_seed(2)
    activations = torch.randn(2, 3, 4, 5, generator=draw, dtype=torch.float64, requires_grad=True)
    guide = torch.randn(3, 2, 6, generator=draw, dtype=torch.float64)
    value = guided("layer", guide).value(_seen(activations))
    (gradient,) = torch.autograd.grad(value.sum(), activations)
    vectors = [guide[:, row, column] for row in range(2) for column in range(6)]
    for image in range(2):
        total = 0.0
        for row in range(4):
            for column in range(5):
                place = activations[image, :, row, column].detach()
                best = max(vectors, key=lambda vector: float(place @ vector))
                total += float(place @ best)
                torch.testing.assert_close(gradient[image, :, row, column], best / 20)
        assert float(value[image].detach()) == pytest.approx(total / 20)


def test_places_are_matched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    activations, guide = torch.randn(1, 3, 7, 9), torch.randn(3, 4, 4)
    at_once = guided("layer", guide).value(_seen(activations))
    monkeypatch.setattr("convscope.synthesis.objectives.guided._PLACES", 5)
    assert guided("layer", guide).value(_seen(activations)).equal(at_once)


def _seen(activations: Tensor) -> Seen:
    class Answers:
        layers = {"layer": activations}  # noqa: RUF012 - as the real ones have it

    return Seen(torch.zeros(1), Answers())  # type: ignore[arg-type]


@pytest.mark.parametrize("target", ["class:1", ["2", "4"], "7", energy("2")])
def test_a_guide_needs_one_layer_with_maps(target: Any) -> None:
    with pytest.raises(LayerError, match="one layer with maps"):
        short(small(), photograph(), target, guide=photograph())


# Windows


@given(
    side=st.integers(1, 400), strides=st.integers(4, 20), stride=st.sampled_from([1, 2, 4, 8]),
    margins=st.integers(0, 5), seed=st.integers(0, 99),
)  # fmt: skip
def test_cores_cover_an_axis_once_and_windows_hold_their_margins(
    side: int, strides: int, stride: int, margins: int, seed: int
) -> None:
    length, margin = strides * stride, min(margins, strides // 4) * stride
    made = spans(side, length, Generator().manual_seed(seed), margin=margin, stride=stride)
    assert (made[0].first, made[-1].last) == (0, side)
    assert all(one.last == other.first for one, other in pairwise(made))
    if len(made) == 1:
        assert side <= length
        return
    for each in made:
        assert 0 <= each.begin <= side - length
        assert each.first < each.last
        assert each.begin <= max(0, each.first - margin)
        assert each.begin + length >= min(side, each.last + margin)
        assert each.begin % stride == 0 or each.begin == side - length


def test_borders_lie_elsewhere_at_each_draw() -> None:
    draw = Generator().manual_seed(0)
    firsts = {spans(1000, 256, draw, margin=32, stride=16)[0].last for _ in range(50)}
    assert len(firsts) >= 5
    assert max(firsts) - min(firsts) >= 64


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(10, 40), columns=st.integers(10, 40), layer=st.sampled_from(["2", "4"]))
def test_windows_with_whole_margins_change_nothing(rows: int, columns: int, layer: str) -> None:
    """Where the receptive field fits the margin, the gradient is that of the whole, at the borders too."""
    image = photograph(2 * rows, 2 * columns)[None]
    value, whole = Uphill(small(), energy(layer))(image, Generator())
    piece, by_windows = Uphill(small(), energy(layer), tile=32)(image, Generator().manual_seed(rows))
    torch.testing.assert_close(normalized(by_windows), normalized(whole), rtol=1e-8, atol=1e-10)
    assert float(piece) == pytest.approx(float(value), rel=0.3)


@pytest.mark.slow
def test_no_seam_is_seen(lite0: cs.Network) -> None:
    """From column to column a dream changes as much where cores met as elsewhere, though fields exceed the margins."""
    draw = Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 40, 40, generator=draw), size=(160, 320), mode="bilinear")
    uphill, borders, change = Uphill(lite0, energy("blocks.8"), tile=160), [], []
    for seed in range(8):
        _, gradient = uphill(image, Generator().manual_seed(seed))
        across = normalized(gradient).diff(dim=3).abs().mean(dim=(0, 1, 2))
        places = spans(320, 160, Generator().manual_seed(seed), margin=32, stride=16)
        at = torch.tensor([each.first for each in places[1:]]) - 1
        borders.append(float(across[at].mean()))
        change.append(float(across.mean()))
    assert sum(borders) / sum(change) == pytest.approx(1, abs=0.1)
    made = dream(lite0, image[0], "blocks.8", octaves=1, steps=8, tile=160)
    added = (made.image - image[0]).diff(dim=2).abs().mean(dim=(0, 1))
    untiled = (
        (dream(lite0, image[0], "blocks.8", octaves=1, steps=8).image - image[0]).diff(dim=2).abs().mean(dim=(0, 1))
    )
    assert float(added.max() / added.median()) < 1.25 * float(untiled.max() / untiled.median())


def test_large_pictures_get_windows_and_small_ones_none(lite0: cs.Network) -> None:
    assert tile_for(lite0, energy("blocks.4"), (480, 640)) is None
    for size in ((3000, 4000), (30000, 40000)):
        side = tile_for(lite0, energy("blocks.4"), size)
        assert side is not None
        assert 384 <= side <= 768
        assert side % 64 == 0
    assert dream(lite0, torch.rand(3, 64, 64), octaves=1, steps=1).recipe.parameters["tile"] is None


def test_networks_of_which_nothing_is_known_get_windows_where_pictures_are_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiled, "bytes_needed", lambda *given, **options: 0)
    assert tile_for(small(), energy("2"), (3000, 4000)) == 512
    assert tile_for(small(), energy("2"), (400, 400)) is None


def test_a_network_of_one_size_dreams_of_any() -> None:
    """Its linear layers take 16 × 16 alone: windows of that, continued where the picture is smaller."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, 3))
    network = cs.Network(module, input_size=16, channels=1)
    for rows, columns in ((40, 23), (9, 30), (16, 16)):
        photo = torch.rand(1, rows, columns)
        made = dream(network, photo, "0", octaves=1, steps=2)
        assert made.image.shape == (1, rows, columns)
        assert 0 < float((made.image - photo).abs().mean()) < 0.02


def test_small_octaves_are_continued_to_the_networks_input(lite0: cs.Network) -> None:
    assert dream(lite0, torch.rand(3, 12, 12), octaves=2, steps=1).image.shape == (3, 12, 12)


# Defaults, stops and errors


def test_the_default_layer_is_of_parts(lite0: cs.Network) -> None:
    assert dream_objective(lite0, None, None)[0] == ["blocks.10"]
    with pytest.raises(LayerError, match="no layer with maps"):
        dream_objective(cs.Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), input_size=2), None, None)


@pytest.mark.slow
def test_the_default_dream_is_of_all_colours(lite0: cs.Network) -> None:
    """It adds something, and neither grey nor noise: most of what it adds is smooth, and little is cut off."""
    image = cs.read_image("coffee", 128)
    made = dream(lite0, image, steps=4)
    added = made.image - image
    assert 0.02 < float(added.abs().mean()) < 0.15
    assert float(((made.image == 0) | (made.image == 1)).float().mean()) < 0.2
    smooth = F.avg_pool2d(added[None], 3, stride=1, padding=1)
    assert float(smooth.square().mean() / added.square().mean()) > 0.3


def test_progress_has_each_octaves_picture_and_stops() -> None:
    seen: list[Progress] = []
    short(small(), photograph(), progress=seen.append)
    assert [each.done for each in seen] == [1, 2, 3, 4]
    assert seen[0].total == 4
    assert [tuple(each.preview.shape) for each in seen[1:3]] == [(1, 3, 21, 31), (1, 3, 30, 44)]
    assert not seen[2].preview.equal(seen[3].preview)
    with pytest.raises(Cancelled, match="stopped after 1 of 4") as stopped:
        short(small(), photograph(), progress=lambda progress: False)
    assert stopped.value.so_far.shape == (1, 3, 30, 44)
    assert 0 < float((stopped.value.so_far[0] - photograph()).abs().mean()) < 0.05


def test_no_numbers_end_with_the_last_good_picture() -> None:
    calls = 0

    def value(seen: Seen) -> Tensor:
        nonlocal calls
        calls += 1
        return seen.images.mean(dim=(1, 2, 3)) * (float("nan") if calls == 3 else 1)

    with pytest.raises(StepFailed, match=r"step 3 of 4: .* no number") as failed:
        short(small(), photograph(), Objective("brightness", value))
    assert failed.value.so_far.isfinite().all()
    assert failed.value.so_far.shape == (1, 3, 30, 44)
    with pytest.raises(StepFailed, match="step 1 of 4") as failed:
        short(small(), torch.full((3, 20, 20), float("nan")))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("not enough memory: you tried to allocate 9 bytes")])
def test_memory_that_ran_out_says_what_to_do(error: Exception) -> None:
    def value(seen: Seen) -> Tensor:
        raise error

    with pytest.raises(StepFailed, match="smaller tiles") as failed:
        short(small(), photograph(), Objective("hungry", value))
    assert failed.value.so_far is not None


def test_errors_of_another_kind_stay_what_they_are() -> None:
    def value(seen: Seen) -> Tensor:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        short(small(), photograph(), Objective("broken", value))


def test_pictures_too_large_for_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.network.memory.bytes_free", lambda device: 1000)
    with pytest.raises(NetworkError, match="are free"):
        short(small(), photograph())


def test_gradients_that_are_blocked_are_redirected() -> None:
    """A class whose rectifier is off for the whole picture would never be climbed."""
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        nn.init.constant_(module[0].bias, -3.0)  # type: ignore[arg-type]
        module[0].weight.fill_(0.5)  # type: ignore[operator]
        module[4].weight.fill_(1.0)  # type: ignore[operator]
    image = photograph(8, 8).float()
    made = dream(cs.Network(module, input_size=8), image, "class:0", octaves=1, steps=3)
    assert float(made.image.mean()) > float(image.mean())


def test_what_has_no_gradient_at_all_stays_as_it_is() -> None:
    image = torch.zeros(3, 8, 8)
    module = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU())
    assert dream(cs.Network(module, input_size=8), image, "1", octaves=1, steps=2).image.equal(image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"octaves": 0}, "octaves"), ({"steps": 0}, "steps"), ({"jitter": -1}, "jitter"), ({"scale": 1.0}, "scale"),
        ({"rate": 0.0}, "rate"), ({"rate": float("nan")}, "rate"), ({"tile": 0}, "tile"),
        ({"octaves": 20}, "fewer octaves"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        short(small(), photograph(), **options)


def test_what_is_no_picture_or_no_target_is_refused() -> None:
    with pytest.raises(ImageError, match="1 × 1"):
        short(small(), torch.zeros(3, 1, 1), octaves=1)
    with pytest.raises(ImageError, match="one image"):
        short(small(), torch.zeros(2, 3, 8, 8))
    with pytest.raises(ImageError, match="channels"):
        short(small(), torch.zeros(1, 8, 8))
    with pytest.raises(TargetError):
        short(small(), photograph(), "nowhere")
    with pytest.raises(TargetError, match="no target"):
        short(small(), photograph(), [])
    with pytest.raises(TargetError, match="one number an image"):
        short(small(), photograph(), Objective("several", lambda seen: seen.images))
    with pytest.raises(TargetError, match="doesn't depend"):
        short(small(), photograph(), Objective("constant", lambda seen: torch.zeros(1)))


def test_parts_are_where_they_are_shared() -> None:
    """The twin above rounds sizes as octaves do."""
    manner = dreaming.Manner(octaves=3, scale=1.4, steps=1, jitter=0, rate=0.1, tile=None)
    assert manner.sizes((30, 44)) == [(15, 22), (21, 31), (30, 44)]
