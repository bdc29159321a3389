"""What a watcher of an occlusion is shown on the way."""

import math
from typing import Literal

import pytest
import torch
from tests.scanning.little import little_network

import convscope as cs
from convscope.attribution.occluded import SoFar
from convscope.attribution.occluder import Windows
from convscope.errors import Cancelled
from convscope.progress import Progress


def test_a_map_so_far_is_the_mean_over_known_windows() -> None:
    windows = Windows.over(torch.zeros(3, 7, 9), (3, 4), (2, 3))
    values = torch.randn(windows.shape, dtype=torch.float64)
    values[torch.rand(windows.shape) < 0.5] = torch.nan
    seen = SoFar(values, windows, "logit").heatmap
    for row in range(7):
        for column in range(9):
            own = []
            for at in range(windows.shape[0]):
                for across in range(windows.shape[1]):
                    top, left, bottom, right = windows.box(at, across)
                    if top <= row < bottom and left <= column < right and not math.isnan(values[at, across]):
                        own.append(float(values[at, across]))
            mean = sum(own) / len(own) if own else math.nan
            assert float(seen[row, column]) == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize("method", ["incremental", "dense"])
def test_what_is_shown_fills_in_to_the_map(method: Literal["incremental", "dense"]) -> None:
    network, image = little_network(), torch.rand(3, 24, 24)
    shown: list[SoFar] = []

    def watch(progress: Progress) -> None:
        assert isinstance(progress.preview, SoFar)
        assert int((~progress.preview.values.isnan()).sum()) == progress.done
        shown.append(progress.preview)

    options: dict[str, object] = {"window": 6, "stride": 4, "batch": 3, "method": method, "engine": "torch"}
    made = cs.occlusion(network, image, ["class:2", "class:3"], progress=watch, **options)[0]  # type: ignore[call-overload]
    assert len(shown) >= 5
    assert not shown[0].heatmap.isfinite().all()
    torch.testing.assert_close(shown[-1].heatmap, made.values)
    torch.testing.assert_close(shown[-1].values, made.baseline - made.scores)
    # What was shown stays as it was.
    assert int((~shown[0].values.isnan()).sum()) == 3


def test_what_was_known_when_it_stopped_is_not_lost() -> None:
    with pytest.raises(Cancelled) as stopped:
        cs.occlusion(little_network(), torch.rand(3, 24, 24), 1, window=6, stride=4, batch=3, progress=lambda _: False)
    assert isinstance(stopped.value.so_far, SoFar)
