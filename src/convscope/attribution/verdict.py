"""The verdict on a map: three checks, and whether it can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.canvas import canvas
from convscope.attribution.measure import BATCH, Measure, masked, measure_of
from convscope.attribution.randomizing import randomized, weighted_layers
from convscope.attribution.ranking import moved, order, pixel_values, spearman
from convscope.network.network import Network
from convscope.progress import Steps, Watcher

Word = Literal["holds", "weak", "fails"]

TOPS = (0.1, 0.2)
"""The shares of the pixels that are taken away; the one that tells more counts."""

ELSEWHERE = 32
"""How many times as many pixels are taken away elsewhere."""

_TRIES = 8
"""How many times another place is drawn that doesn't lie on the same pixels."""

DRAWS = 5
"""How many times the weights are randomized."""

NOISE = 0.02
"""The noise on the image, of its range: what a camera adds in fair light."""

# What each figure must reach to hold, and beyond which it fails; measured as `verdict` tells.
_DELETION = (20.0, 1.0)
_RANDOMIZED = (0.25, 0.5)
_NOISE = (0.5, 0.2)


@dataclass(frozen=True)
class Verdict:
    """Whether a map can be believed, with the three figures that say so.

    `deletion` is by how many standard deviations the loss of its top pixels hurts more than that of as many others,
    `randomized` the rank correlation with the map of a network that forgot (low is good), `noise` that with the map of
    the image under a little noise (high is good). `is_class` says whether the target has a probability.

    >>> verdict = Verdict(deletion=26.12, randomized=0.03, noise=0.91)
    >>> print(verdict)
    holds: deletion z 26.1, randomized weights ρ 0.03, noise ρ 0.91
    """

    deletion: float
    randomized: float
    noise: float
    is_class: bool = True

    @property
    def word(self) -> Word:
        """`holds` where all three figures do, `fails` where one of them does, else `weak`."""
        words = (
            _judged(self.deletion, *_DELETION),
            _judged(-self.randomized, *(-limit for limit in _RANDOMIZED)),
            _judged(self.noise, *_NOISE),
        )
        if "fails" in words:
            return "fails"
        return "holds" if set(words) == {"holds"} and self.is_class else "weak"

    def to_dict(self) -> dict[str, str | float]:
        """The word and its figures, for JSON."""
        return {"word": self.word, "deletion": self.deletion, "randomized": self.randomized, "noise": self.noise}

    def __str__(self) -> str:
        figures = (
            f"deletion z {self.deletion:z.1f}, randomized weights ρ {self.randomized:z.2f}, noise ρ {self.noise:z.2f}"
        )
        unsure = "" if self.is_class or self.word == "fails" else " (no class, so it can't hold)"
        return f"{self.word}: {figures}{unsure}"


def _judged(figure: float, holds: float, fails: float) -> Word:
    if figure >= holds:
        return "holds"
    return "fails" if figure < fails else "weak"


def verdict(network: Network, attribution: Attribution, *, seed: int = 0, progress: Watcher | None = None) -> Verdict:
    """Test a map of one image: whether the answer comes from where it says, is the network's, and lasts.

    **Deletion.** The tenth of the pixels that the map ranks highest becomes the image's mean colour, and the class's
    probability falls. It also falls when as many pixels elsewhere go, 32 times: the same pattern moved, around the
    edges, and mirrored. Single random pixels would be no match for it, since a coherent patch hides more of an object
    than salt and pepper does, wherever it lies. z = (fall − mean fall elsewhere) / the standard deviation elsewhere;
    the same with a fifth of the pixels, and the larger z counts. It is large where the answer rests on these pixels
    *and on few others*. A network that learned its pictures by heart has no such places: what its logit depends on can
    be found, and its loss hurts, but so does the loss of much else. That is why the probability is looked at: a logit
    falls a little with every pixel, while a probability stays what it is as long as what matters is there.

    **Randomized weights.** Where the upper half of the layers has forgotten (see `randomization`), another map must
    come out; ρ is the mean of the rank correlations with five such networks. Not all layers: when even the first
    filters are random, guided backpropagation changes too, whose maps hardly tell one class from another. A map of
    magnitudes keeps a little, since edges matter to any network.

    **Noise.** ρ is the rank correlation with the map under normal noise of 0.02 of the range. A map that changes with
    what no eye can see is about the noise.

    It `holds` with z ≥ 20, ρ ≤ 0.25 and ρ ≥ 0.5, and `fails` with z < 1, ρ > 0.5 or ρ < 0.2. These limits were set on
    networks of which the truth is known. With a planted cue the maps of occlusion and integrated gradients hold, and
    those of guided backpropagation don't, though they lie on the cue: they would lie on another, too. With shuffled
    labels, learned by heart or hardly learned, less than one map in twenty holds. (Measured on further networks: of 360
    maps with a cue each, 96% of occlusion's and all but one of integrated gradients' held, and less than 1% of guided
    backpropagation's.) On photographs few maps hold, because objects are large and known by many of their parts: the
    loss of others hurts as well. Then `weak` says so, and no more.

    What it can't say: whether the network is right, or its cue a good one. Of a target that is no class it never says
    `holds`, since a score has no level at which it stays. Nor, as a rule, of a class that has little
    probability: with another object in the picture its answer rests on that one as much.

    Raises
    ------
    ImageError
        The attribution is of a batch, or not finite.
    NetworkError
        The network has no weights.
    Cancelled
        `progress`, called after each map and each batch, returned False.

    >>> import convscope as cs
    >>> net = cs.load("efficientnet-lite0")
    >>> image = net.prepare(cs.read_image("chelsea"))
    >>> verdict(net, cs.saliency(net, image, "tiger cat", rule="guided")).word
    'fails'
    """
    image = attribution.image
    measure = measure_of(network, image, attribution)
    values = pixel_values(attribution)
    steps = Steps(len(TOPS) * len(_batches(1 + ELSEWHERE)) + DRAWS + 1, progress)
    clean = float(measure(image[None]))
    deletion = max(_deletion(measure, image, clean, _masks(values, top, seed), steps) for top in TOPS)
    weighted = weighted_layers(network)
    upper = weighted[: (len(weighted) + 1) // 2]
    again = []
    for draw in range(DRAWS):
        other = attribution.again(randomized(network, upper, image, seed=DRAWS * seed + draw), image)
        again.append(spearman(values, pixel_values(other)))
        steps.done()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(image.shape, generator=generator, dtype=image.dtype).to(image.device)
    noisy = pixel_values(attribution.again(network, image + NOISE * noise))
    steps.done()
    return Verdict(deletion, sum(again) / DRAWS, spearman(values, noisy), measure.is_probability)


def _batches(count: int) -> list[range]:
    return [range(begin, min(begin + BATCH, count)) for begin in range(0, count, BATCH)]


def _masks(values: Tensor, top: float, seed: int) -> list[Tensor]:
    """The top pixels of a map, and as many elsewhere so many times."""
    generator = torch.Generator().manual_seed(seed)
    mask = top_pixels(values, top, generator)
    return [mask, *(elsewhere(mask, generator) for _ in range(ELSEWHERE))]


def _deletion(measure: Measure, image: Tensor, clean: float, masks: Sequence[Tensor], steps: Steps) -> float:
    """By how many standard deviations the loss of the first mask's pixels hurts more than that of the others'."""
    instead = canvas("mean", image)
    found = []
    for which in _batches(len(masks)):
        found.append(measure(masked(image, [masks[index] for index in which], instead)))
        steps.done()
    falls = clean - torch.cat(found)
    # Where nothing else matters at all the others have no spread; a fiftieth of the answer counts as none.
    spread = max(float(falls[1:].std()), abs(clean) / 50, torch.finfo(falls.dtype).tiny)
    return float(falls[0] - falls[1:].mean()) / spread


def top_pixels(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which pixels `(H, W)` are among the highest `share` of a map; those of equal value by chance."""
    count = max(1, round(share * values.numel()))
    mask = torch.zeros(values.numel(), dtype=torch.bool)
    mask[order(values, generator)[:count]] = True
    return mask.reshape(values.shape)


def elsewhere(mask: Tensor, generator: torch.Generator) -> Tensor:
    """The pattern of a mask `(H, W)` moved by chance, what leaves at one edge coming in at the other, and mirrored.

    One that lies on a quarter of the mask itself or less; if none of eight does, that which does least.

    >>> mask = torch.tensor([[True, True, False, False]])
    >>> elsewhere(mask, torch.Generator())
    tensor([[False, False,  True,  True]])
    """
    drawn = [moved(mask, generator)]
    while len(drawn) < _TRIES and (drawn[-1] & mask).sum() * 4 > mask.sum():
        drawn.append(moved(mask, generator))
    return min(drawn, key=lambda each: int((each & mask).sum()))
