"""The incremental engine: whatever the network and the windows, it gives what running every occluded image gives."""

from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.random_networks import modules
from torch import Tensor, nn

import convscope as cs

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


@dataclass(frozen=True)
class Question:
    """A network, the size of its images, and how they are occluded."""

    module: nn.Module
    size: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]
    fill: Any
    batch: int | None

    def asked(self, dtype: torch.dtype, **options: Any) -> cs.Occlusion:
        network = cs.Network(self.module.to(dtype), input_size=self.size, mean=MEAN, std=STD)
        torch.manual_seed(0)
        image = torch.rand(3, *self.size, dtype=torch.float64).to(dtype)
        fill = image.flip(-1) if self.fill == "image" else self.fill
        return cs.occlusion(
            network, image, everything, window=self.window, stride=self.stride, fill=fill, batch=self.batch, **options
        )


def everything(output: Any) -> Tensor:
    """One number that every output has a share of, each another."""
    flat: Tensor = output.flatten(1)
    return flat @ torch.linspace(-1, 1.7, flat.shape[1], dtype=flat.dtype)


@st.composite
def questions(draw: st.DrawFn) -> Question:
    module, (rows, columns) = draw(modules())
    window = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    stride = draw(st.integers(max(1, rows // 9), rows)), draw(st.integers(max(1, columns // 9), columns))
    fill = draw(st.sampled_from(["gray", "mean", "zero", 0.3, "image"]))
    return Question(module, (rows, columns), window, stride, fill, draw(st.sampled_from([None, 1, 5])))


def assert_same(incremental: cs.Occlusion, dense: cs.Occlusion, tolerance: float) -> None:
    assert (incremental.method, dense.method) == ("incremental", "dense")
    largest = float(dense.values.abs().max())
    scale = max(float(dense.baseline.abs()), largest) if tolerance < 1e-6 else largest
    assert float((incremental.values - dense.values).abs().max()) <= tolerance * scale + 1e-12
    assert float((incremental.scores - dense.scores).abs().max()) <= tolerance * max(scale, float(dense.baseline.abs()))


@given(questions())
@settings(max_examples=100, deadline=None)
def test_equals_dense_on_random_networks(question: Question) -> None:
    double = torch.float64
    assert_same(question.asked(double, method="incremental"), question.asked(double, method="dense"), 1e-10)
