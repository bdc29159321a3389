"""The loop: it climbs, each part of it counts, and it stops in order."""

import math
from typing import Any

import pytest
import torch
from tests.synthesis.networks import dead, linear, small
from torch import Generator, Tensor

import convscope as cs
from convscope.errors import Cancelled, NetworkError, StepFailed, TargetError
from convscope.network.normalization import Normalization
from convscope.progress import Progress, Steps
from convscope.synthesis import optimize as loop
from convscope.synthesis.objectives import Objective, asked, energy, measured
from convscope.synthesis.optimize import Climbed, neutral, optimize
from convscope.synthesis.settings import chosen

PLAIN: dict[str, dict[str, Any]] = {"plain": {"parameterization": "pixels", "optimizer": "ascent:0.02", "steps": 10}}


def climb(
    network: cs.Network, objective: Objective | str, *, count: int = 1, seed: int = 0, watcher: Any = None, **given: Any
) -> Climbed:
    settings = chosen(PLAIN, "plain", given)
    goal = asked(network.target(objective)) if isinstance(objective, str) else objective
    shape = (network.channels, *network.input_size)
    draws = [Generator().manual_seed(seed + index) for index in range(count)]
    parameters = settings.parameterization.noise(shape, draws)
    return optimize(network, goal, parameters, shape, settings, draws=draws, steps=Steps(settings.steps, watcher))


@pytest.mark.parametrize("optimizer", ["adam:0.1", "ascent:0.05", "ascent:0.02,momentum=0.9", "lbfgs:1"])
def test_a_linear_network_gets_its_template(optimizer: str) -> None:
    """The highest point of a linear function on the box is a corner: 1 where the template is positive, else 0."""
    net = linear()
    images = climb(net, "class:0", optimizer=optimizer, steps=300).images
    template = net.module.template
    assert isinstance(template, Tensor)
    expected = (template > 0).float()
    assert float((images[0] - expected).abs().mean()) < 0.02


def test_ascent_by_hand() -> None:
    """Three steps of normalized ascent with decay, against the definition."""
    net = small()
    climbed = climb(net, "class:1", regularizers="decay:0.1", steps=3, seed=4)
    draw = Generator().manual_seed(4)
    x = (0.5 + 0.05 * torch.randn(3, 24, 24, generator=draw)).clamp(0, 1)
    values = []
    for _ in range(3):
        values.append(float(net.logits(x)[1]))
        g = net.gradient(x, "class:1")
        x = (x + 0.02 * g / g.abs().mean()).clamp(0, 1)
        x = (0.5 + 0.9 * (x - 0.5)).clamp(0, 1)
    torch.testing.assert_close(climbed.images[0], x, atol=1e-4, rtol=1e-4)
    assert climbed.values[:, 0].tolist() == pytest.approx(values, abs=1e-4)


def test_penalties_pull_and_functions_are_penalties() -> None:
    net = small()
    free, tied = climb(net, "class:1"), climb(net, "class:1", regularizers="tv:1e4")
    own = climb(net, "class:1", regularizers=[lambda images: 1e4 * images.square().mean(dim=(1, 2, 3))])

    def variation(images: Tensor) -> float:
        return float(torch.diff(images).square().mean())

    assert variation(tied.images) < 0.5 * variation(free.images)
    assert float(own.images.mean()) < 0.45


def test_schedules_and_views_count() -> None:
    net = small()
    base = climb(net, "class:1", transforms="noise:0.1")
    for changed in ({"schedule": "linear"}, {"schedule": "cosine"}, {"views": 3}, {"schedule": lambda done: 0.1}):
        assert not torch.equal(climb(net, "class:1", transforms="noise:0.1", **changed).images, base.images)
    still = climb(net, "class:1", schedule=lambda done: 0.0, steps=2)
    again = climb(net, "class:1", schedule=lambda done: 0.0, steps=9)
    assert torch.equal(still.images, again.images)


def test_items_of_a_batch_climb_alone() -> None:
    net = small()
    together = climb(net, "class:1", count=3, transforms="jitter:3 rotate:5")
    alone = climb(net, "class:1", seed=2, transforms="jitter:3 rotate:5")
    torch.testing.assert_close(together.images[2:], alone.images, atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_pixels() -> None:
    net = small()
    one, two = (climb(net, "class:1", transforms="jitter:3 noise:0.1") for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(climb(net, "class:1", transforms="jitter:3 noise:0.1", seed=7).images, one.images)


def test_dead_starts_come_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    net = dead()
    assert not net.gradient(torch.full((3, 4, 4), 0.5), "class:0").any()
    # Units that need more than the box allows never fire, but the image moves where they would.
    assert float(climb(net, "class:0").images.mean()) > 0.6
    monkeypatch.setattr(loop, "_REDIRECTED", 0)
    assert float(climb(net, "class:0").images.mean()) == pytest.approx(0.5, abs=0.05)


def test_watchers_see_each_step_and_may_stop() -> None:
    seen: list[Progress] = []

    def watcher(progress: Progress) -> bool | None:
        seen.append(progress)
        return progress.done < 4

    with pytest.raises(Cancelled, match="stopped after 4 of 10 steps") as stopped:
        climb(small(), "class:1", watcher=watcher)
    assert [each.done for each in seen] == [1, 2, 3, 4]
    assert stopped.value.so_far.shape == (1, 3, 24, 24)
    assert seen[0].preview.shape == (1, 3, 24, 24)


def test_what_is_no_number_stops_with_the_last_good_image() -> None:
    calls = 0

    def value(seen: Any) -> Tensor:
        nonlocal calls
        calls += 1
        sums: Tensor = seen.images.sum(dim=(1, 2, 3))
        return sums * (math.nan if calls > 3 else 1)

    with pytest.raises(StepFailed, match=r"step 4 of 10: .* no number .* smaller rate") as failed:
        climb(small(), Objective("broken", value))
    good = climb(small(), Objective("sum", lambda seen: seen.images.sum(dim=(1, 2, 3))), steps=2).images
    assert torch.equal(failed.value.so_far, good)


def test_memory_that_runs_out_stops_with_the_last_good_image() -> None:
    def value(seen: Any) -> Tensor:
        sums: Tensor = seen.images.sum(dim=(1, 2, 3))
        if float(sums.detach()) != first.setdefault("value", float(sums.detach())):
            raise torch.OutOfMemoryError("out of memory: tried to allocate much")
        return sums

    first: dict[str, float] = {}
    with pytest.raises(StepFailed, match=r"step 2 of 10: memory ran out .* smaller size") as failed:
        climb(small(), Objective("greedy", value))
    assert failed.value.so_far is not None


def test_other_errors_are_not_taken_for_memory() -> None:
    def value(seen: Any) -> Tensor:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        climb(small(), Objective("broken", value))


def test_too_large_is_known_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.network.memory.bytes_free", lambda device: 2**16)
    with pytest.raises(NetworkError, match=r"need about .* GiB .* at most \d+ × \d+"):
        climb(small(), "class:1")


def test_objectives_are_checked() -> None:
    with pytest.raises(TargetError, match=r"gave shape \(\), expected one number an image"):
        climb(small(), Objective("sum", lambda seen: seen.images.sum()))
    with pytest.raises(TargetError, match="doesn't depend on the image"):
        climb(small(), Objective("constant", lambda seen: torch.zeros(len(seen.images))))


def test_a_transform_may_show_another_size() -> None:
    half = climb(small(), "class:1", transforms=[lambda images: images[..., ::2, ::2]])
    assert half.images.shape == (1, 3, 24, 24)


def test_a_network_that_cannot_be_traced() -> None:
    class Wild(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            if float(x.mean()) > 1e9:
                return x
            result: Tensor = self.last(x.relu().mean(dim=(2, 3)))
            return result

    net = cs.Network(Wild(), input_size=12)
    assert climb(net, "class:1", steps=5).values[-1] > climb(net, "class:1", steps=5).values[0]
    assert measured(net, energy("first"), torch.rand(2, 3, 12, 12)).shape == (2,)


def test_the_neutral_image_is_fed_as_zero() -> None:
    for normalize in (
        Normalization((0.4, 0.5, 0.6), (0.2, 0.2, 0.2)),
        Normalization((103.0, 116.0, 123.0), None, (0.0, 255.0), "BGR"),
        Normalization((127.0,), (128.0,), (0.0, 255.0)),
        Normalization(None, None, (-1.0, 1.0)),
    ):
        net = cs.Network(small().module, input_size=24, normalize=normalize)
        grey = neutral(net).expand(1, 3, 4, 4)
        torch.testing.assert_close(normalize(grey), torch.zeros(1, 3, 4, 4), atol=1e-4, rtol=0)
    assert neutral(small()).flatten().tolist() == [0.5] * 3
