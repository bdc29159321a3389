"""Rounding to the 256 levels that a file holds, so that neither the ball is left nor what was reached is lost."""

import torch
from torch import Tensor

from convscope.fooling.answering import Answering
from convscope.fooling.ball import Ball
from convscope.fooling.wanted import Wanted

LEVELS = 255

# Levels by which the arithmetic of the bounds may be off.
_SLACK = 1e-4
# Of the largest score: by how much a margin must be above 0, since the network is run by another arithmetic later.
_CLEAR = 1e-4
# How often levels are changed at most; how much more is asked for than the gradient says is needed, and how that grows
# from round to round: rounding may have brought an image to where gradients promise too much.
_ROUNDS, _MORE, _GROWING = 30, 1.25, 1.3
# How many times as far as it was found a change goes, where nothing bounds it, before single levels do.
_STRETCHES = (1.05, 1.1, 1.15, 1.2, 1.3, 1.4)


def as_read(levels: Tensor, like: Tensor) -> Tensor:
    """Levels 0 to 255 as the image that is read from the file that holds them, in the type of another image."""
    return (levels.float() / LEVELS).to(like.dtype)


def rounded(exact: Tensor, starts: Tensor, ball: Ball | None) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest levels, and the least and the largest that are allowed.

    By "linf" these are all within the ball; where there are none, as with an epsilon below 1/510, it is the one
    nearest to the start. A length ("l2") can't be kept to a level by level, and is not.
    """
    low, high = torch.zeros_like(exact), torch.full_like(exact, LEVELS)
    if ball is not None and ball.norm == "linf":
        start = starts.double()
        low = ((start - ball.epsilon) * LEVELS - _SLACK).ceil().clamp(min=0)
        high = ((start + ball.epsilon) * LEVELS + _SLACK).floor().clamp(max=LEVELS)
        none, nearest = low > high, (start * LEVELS).round()
        low, high = (torch.where(none, nearest, bound).to(exact) for bound in (low, high))
    return (exact * LEVELS).round().clamp(low, high), low, high


def settled(
    answering: Answering, wanted: Wanted, at: Tensor, exact: Tensor, starts: Tensor, ball: Ball | None
) -> Tensor:
    """Levels of images `exact` such that what these have reached is not lost by rounding.

    Where it is, a change without a ball is made a little larger as a whole. Where that isn't enough, or there is a
    ball, those values whose gradients promise most go one level further, within it, until it is back.
    """
    levels, low, high = rounded(exact, starts, ball)
    lost = ~_clear(wanted, answering.scores(as_read(levels, exact), at))
    if bool(lost.any()):
        unclear = lost.nonzero()[:, 0]
        # Only what had been reached can be lost.
        lost[unclear] = wanted[unclear].reached(answering.scores(exact[unclear], at[unclear.cpu()]))
    for times in _STRETCHES if ball is None else ():
        left = lost.nonzero()[:, 0]
        if not len(left):
            break
        tried, _, _ = rounded(starts[left] + times * (exact[left] - starts[left]), starts[left], None)
        done = _clear(wanted[left], answering.scores(as_read(tried, exact), at[left.cpu()]))
        levels[left[done]] = tried[done]
        lost[left[done]] = False
    for turn in range(_ROUNDS):
        left = lost.nonzero()[:, 0]
        if not len(left):
            break
        images = as_read(levels[left], exact)
        scores, gradient = answering.gradient(images, at[left.cpu()], wanted[left].odds)
        done = _clear(wanted[left], scores)
        needed = _MORE * _GROWING**turn * (2 * _CLEAR * scores.abs().amax(dim=1) - wanted[left].margin(scores))
        for place, slope, need in zip(left[~done].tolist(), gradient[~done], needed[~done].tolist(), strict=True):
            levels[place] = _further(levels[place], slope, need, low[place], high[place])
        lost[left[done]] = False
    return levels


def _clear(wanted: Wanted, scores: Tensor) -> Tensor:
    return wanted.margin(scores) > _CLEAR * scores.abs().amax(dim=1)


def _further(levels: Tensor, gradient: Tensor, needed: float, low: Tensor, high: Tensor) -> Tensor:
    """The levels of one image after the fewest single steps that together promise a gain of `needed`."""
    moved = levels + gradient.sign()
    gains = torch.where((moved >= low) & (moved <= high), gradient.abs() / LEVELS, 0).flatten()
    ordered, places = gains.sort(descending=True)
    count = int((ordered.cumsum(0) < needed).sum()) + 1
    chosen = places[:count][ordered[:count] > 0]
    result = levels.flatten().clone()
    result[chosen] = moved.flatten()[chosen]
    return result.reshape(levels.shape)
