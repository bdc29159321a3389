"""Whether one feeding fits better than another, on the same photographs and by more than chance."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convscope.plates.checking.normed import divergence
from convscope.plates.checking.trials import Answers

# Of the whole search: what one feeding must show is this divided by how many were tried (Bonferroni).
SEARCH_LEVEL = 0.05
# Of right answers alone, whose gain must be convincing too, since probabilities may only have got milder.
_ANSWERS_LEVEL = 0.02
_PROMISING_LEVEL = 0.1
# Gains below these are no fault worth a word: of accuracy, and of strangeness in nats.
_LEAST_ACCURACY = 0.01
_LEAST_STRANGENESS = 0.05
# The normal distribution's quantile that leaves 2.5% on either side.
_Z = 1.959964
_RESAMPLES = 400


@dataclass(frozen=True)
class Difference:
    """How much better than another a feeding did on the same photographs: `gain`, with its 95% interval.

    The gain is in accuracy where the right classes are known, else in nats of `strangeness`; less than `least` is not
    worth a word. `chance` is the one-sided p-value of the mean log-probability of the right class, or of the
    strangeness; `answers_chance` that of the accuracy, or the same again.
    """

    gain: float
    low: float
    high: float
    chance: float
    answers_chance: float
    least: float

    def convincing(self, tried: int) -> bool:
        """Whether it is large enough to matter, and no luck, although the best of so many was picked."""
        lucky = self.chance * tried > SEARCH_LEVEL or self.answers_chance > _ANSWERS_LEVEL
        return self.gain >= self.least and not lucky

    @property
    def promising(self) -> bool:
        """Whether it is worth building on: better than by the luck of one look, at a level of 10%."""
        return self.gain > 0 and self.chance <= _PROMISING_LEVEL


def compare(current: Answers, other: Answers, *, seed: int) -> Difference:
    """How much better the other feeding did than the current one, by right answers where these are known."""
    return _by_answers(current, other) if current.classes_known else _by_strangeness(current, other, seed)


def _by_answers(current: Answers, other: Answers) -> Difference:
    """The other's share of right answers less the current's.

    The interval is the adjusted one for paired shares (Bonett & Price 2012). With g answers won and l lost of n, and
    p = (g + 1) / (n + 2), q = (l + 1) / (n + 2), it is p − q ± 1.96 √((p + q − (p − q)²) / (n + 2)). The chance of the
    answers is McNemar's exact one: that of the g + l that changed, g or more would be won by tossing a coin. That of
    the log-probabilities is by a paired t statistic, taken as normal.
    """
    won = int((other.right & ~current.right).sum())
    lost = int((current.right & ~other.right).sum())
    total = len(current)
    p, q = (won + 1) / (total + 2), (lost + 1) / (total + 2)
    half = _Z * math.sqrt((p + q - (p - q) ** 2) / (total + 2))
    changed = won + lost
    coin = sum(math.comb(changed, count) for count in range(won, changed + 1)) / 2**changed
    gains = other.log_probability.double() - current.log_probability.double()
    error = float(gains.std(correction=0)) / math.sqrt(total)
    chance = _tail(float(gains.mean()), error)
    return Difference(
        (won - lost) / total, max(-1.0, p - q - half), min(1.0, p - q + half), chance, coin, _LEAST_ACCURACY
    )


def _by_strangeness(current: Answers, other: Answers, seed: int) -> Difference:
    """The current's strangeness less the other's; its error is the spread over resampled photographs (Efron 1979)."""
    total = len(current)
    draws = torch.randint(total, (_RESAMPLES, total), generator=torch.Generator().manual_seed(seed))
    weights = torch.zeros(_RESAMPLES, total).scatter_add_(1, draws, torch.ones(_RESAMPLES, total)) / total
    gain = strangeness(current) - strangeness(other)
    error = float((_weighted_strangeness(current, weights) - _weighted_strangeness(other, weights)).std())
    chance = _tail(gain, error)
    return Difference(gain, gain - _Z * error, gain + _Z * error, chance, chance, _LEAST_STRANGENESS)


def _tail(gain: float, error: float) -> float:
    """The chance that a normal distribution of this error around 0 gives the gain or more."""
    return 0.5 * math.erfc(gain / error / math.sqrt(2)) if error else float(gain <= 0)


def strangeness(answers: Answers) -> float:
    """How little the module seems to know what it is fed, without the right classes: nats, lower is better.

    It is the mean entropy of its answers plus the divergence of what its batch norms got from what they got in
    training. Each guards the other: a wrong scaling may make a network surer, but not its batch norms content.
    """
    everyone = torch.full((1, len(answers)), 1 / len(answers))
    return float(_weighted_strangeness(answers, everyone))


def _weighted_strangeness(answers: Answers, weights: Tensor) -> Tensor:
    """The same of photographs that count by `weights`, `(draws, N)`: one a draw."""
    total, _, channels = answers.moments.shape
    moments = (weights @ answers.moments.reshape(total, -1)).view(len(weights), 2, channels)
    return weights @ answers.entropy + divergence(moments[:, 0], moments[:, 1])


def fitness(answers: Answers) -> tuple[float, float]:
    """What feedings are ranked by, higher is better: accuracy, then log-probability; else the strangeness."""
    if not answers.classes_known:
        return -strangeness(answers), 0.0
    return float(answers.right.float().mean()), float(answers.log_probability.mean())


def half_interval(share: float, total: int) -> float:
    """Half of the 95% interval of a share (Wilson 1927).

    >>> round(half_interval(0.9, 10), 3)
    0.193
    """
    inside = share * (1 - share) / total + _Z**2 / (4 * total**2)
    return _Z * math.sqrt(inside) / (1 + _Z**2 / total)
