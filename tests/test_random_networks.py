"""Whether random networks are what they are said to be: each runs, and together they show every kind."""

from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from tests.random_networks import KINDS, Made, RandomNetwork, modules


@pytest.mark.slow
def test_every_network_runs_and_every_kind_is_drawn() -> None:
    counts: Counter[str] = Counter()

    # Hypothesis draws numbers that stand in the modules loaded by then, too, so not the same in every run: enough of
    # them that a kind which is drawn once in a hundred networks is not missed.
    @given(modules())
    @settings(max_examples=900, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def draw(made: Made) -> None:
        module, size = made
        assert isinstance(module, RandomNetwork)
        batch = torch.rand(2, 3, *size, dtype=torch.float64)
        with torch.no_grad():
            together, alone = module(batch.clone()), module(batch[:1].clone())
        assert together.dtype == torch.float64
        assert together.shape[:2] == (2, 3)
        assert together.dim() == (4 if "dense output" in module.kinds else 2)
        assert together.isfinite().all()
        torch.testing.assert_close(together[:1], alone, rtol=1e-9, atol=1e-9)
        counts.update(module.kinds)
        counts["non-square"] += size[0] != size[1]

    draw()
    assert set(counts) == KINDS | {"non-square"}


def test_the_random_numbers_of_others_are_left_alone() -> None:
    before = torch.get_rng_state()

    @given(modules())
    @settings(max_examples=3, deadline=None, database=None)
    def draw(made: Made) -> None:
        assert torch.equal(torch.get_rng_state(), before)

    draw()
