"""DeepFool: exact on what is linear, and close to its definition on what is not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fooling.attacked import CLASSES, SIDE, affine, curved, pictures, targets_of
from torch import Tensor, nn

import convscope as cs
from convscope.errors import ImageError
from convscope.fooling.ball import Norm


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 500), norm=st.sampled_from(["l2", "linf"]))
def test_on_an_affine_network_one_step_is_the_exact_projection(seed: int, norm: Norm) -> None:
    network = affine(seed % 5)
    # Away from the box, which would cut it.
    x = 0.4 + 0.2 * pictures(1, seed)[0]
    result = cs.deep_fool(network, x, overshoot=1e-6, norm=norm)
    logits = network.logits(x)
    first = int(logits.argmax())
    weight = network.module[1].weight.detach()  # type: ignore[index]
    dual = 2 if norm == "l2" else 1
    ways = [
        float((logits[first] - logits[k]) / torch.linalg.vector_norm(weight[k] - weight[first], ord=dual))
        for k in range(CLASSES) if k != first
    ]  # fmt: skip
    norms = result.norms_before_rounding
    assert float(norms.l2 if norm == "l2" else norms.linf) == pytest.approx(min(ways), rel=2e-6)
    # A query for the rivals, one before and one after the step, two for rounding.
    assert int(result.gradients) >= 2 * (CLASSES - 1)
    after = network.logits(result.exact[0])
    best = after.topk(2)
    assert first in best.indices.tolist()
    assert float(best.values[0] - best.values[1]) == pytest.approx(0, abs=1e-4)


def slowly(network: cs.Network, x: Tensor, overshoot: float) -> Tensor:
    label = int(network.logits(x).argmax())
    total = torch.zeros_like(x)
    y = x
    for _ in range(50):
        logits = network.logits(y)
        if int(logits.argmax()) != label:
            break
        best, step = float("inf"), torch.zeros_like(x)
        own = network.gradient(y, label)
        for k in range(CLASSES):
            if k == label:
                continue
            w = network.gradient(y, k) - own
            w[((y == 0) & (w < 0)) | ((y == 1) & (w > 0))] = 0
            f = float(logits[k] - logits[label])
            far = abs(f) / float((w**2).sum() ** 0.5)
            if far < best:
                best, step = far, abs(f) / float((w**2).sum()) * w
        total = total + step
        y = (x + (1 + overshoot) * total).clip(0, 1)
    return y


def test_against_a_slow_twin() -> None:
    images = pictures(4, seed=11)
    result = cs.deep_fool(curved(), images)
    for x, made in zip(images, result.exact, strict=True):
        torch.testing.assert_close(made, slowly(curved(), x, 0.02), atol=1e-9, rtol=0)
    assert bool(result.successes.all())


def test_fewer_candidates_find_no_nearer_border() -> None:
    images = pictures(6, seed=12)
    few, all_ = (cs.deep_fool(affine(), images, candidates=each) for each in (2, 10))
    assert bool((few.norms_before_rounding.l2 >= all_.norms_before_rounding.l2 - 1e-9).all())
    assert bool((few.gradients <= all_.gradients).all())


def test_towards_a_target() -> None:
    images = pictures(4, seed=13)
    targets = targets_of(curved(), images)
    result = cs.deep_fool(curved(), images, target=targets)
    assert [each[0].index for each in result.after] == targets
    free = cs.deep_fool(curved(), images)
    assert bool((result.norms_before_rounding.l2 >= 0.99 * free.norms_before_rounding.l2).all())


def test_two_classes_of_one_logit() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 1)).double()
    network = cs.Network(module, input_size=SIDE, head="single-logit")
    assert cs.deep_fool(network, pictures(1)[0]).success


def test_bad_options() -> None:
    for options in ({"candidates": 1}, {"overshoot": -1.0}, {"overshoot": float("nan")}, {"steps": 0}):
        with pytest.raises(ImageError, match="expected"):
            cs.deep_fool(curved(), pictures(1)[0], **options)
