"""MAP-Elites: evolution that keeps the best of each kind (Mouret and Clune 2015; Nguyen et al. 2015).

The kinds are classes, and an image competes in all of them at once: what is good for one is often a step on the way to
another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from convscope.fooling.encoding import Encoding, Shape

Judge = Callable[[Tensor], Tensor]
"""From images `(N, C, H, W)` to how sure one is of each of the kinds, `(N, K)`."""


@dataclass(frozen=True)
class Elites:
    """The best of each of K kinds: `genomes`, how sure one is of them `(K,)`, and how many have been tried for it.

    `quartiles` `(generations, 3)` are those of `sure` after each generation, `tried_by` `(generations,)` how many had
    been tried by then.
    """

    genomes: tuple[Any, ...]
    sure: Tensor
    tried: int = 0
    generation: int = 0
    quartiles: Tensor = field(default_factory=lambda: torch.zeros(0, 3))
    tried_by: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    @classmethod
    def none(cls, kinds: int) -> "Elites":
        """Nothing tried yet."""
        return cls((None,) * kinds, torch.zeros(kinds))

    def after(self, genomes: Sequence[Any], sure: Tensor) -> "Elites":
        """With what these `genomes` are better in, by `sure` `(N, K)`; where they are as good, the old one stays."""
        best, which = sure.max(dim=0)
        empty = torch.tensor([each is None for each in self.genomes])
        better = (best > self.sure) | empty
        kept = tuple(
            genomes[at] if now else own
            for own, now, at in zip(self.genomes, better.tolist(), which.tolist(), strict=True)
        )
        now = torch.where(better, best, self.sure)
        tried = self.tried + len(genomes)
        quartiles = torch.quantile(now.double(), torch.tensor([0.25, 0.5, 0.75], dtype=torch.double)).float()
        return replace(
            self,
            genomes=kept,
            sure=now,
            tried=tried,
            generation=self.generation + 1,
            quartiles=torch.cat([self.quartiles, quartiles[None]]),
            tried_by=torch.cat([self.tried_by, torch.tensor([tried])]),
        )


def next_generation(
    elites: Elites, encoding: Encoding, shape: Shape, judge: Judge, *, count: int, seed: int, device: torch.device
) -> Elites:
    """The elites after `count` more: random ones at first, then each a changed copy of some elite.

    Its random numbers depend on the seed and on which generation it is, so that who goes on from kept elites comes to
    the same as who never stopped.
    """
    draw = torch.Generator().manual_seed(_mixed(seed, elites.generation))
    if elites.generation == 0:
        genomes = [encoding.first(shape, draw) for _ in range(count)]
    else:
        chosen = torch.randint(len(elites.genomes), (count,), generator=draw).tolist()
        genomes = [encoding.mutated(elites.genomes[each], draw, elites.generation) for each in chosen]
    return elites.after(genomes, judge(encoding.images(genomes, shape, device)))


def _mixed(seed: int, generation: int) -> int:
    """A seed of its own for each generation of each seed."""
    return (seed * 1_000_003 + generation) % 2**63
