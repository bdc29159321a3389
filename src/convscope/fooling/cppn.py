"""CPPN: an image as a small network from where a pixel lies to what colour it has (Stanley 2007).

Its nodes are sines, bells, sigmoids …; it grows by mutations as in NEAT (Stanley and Miikkulainen 2002). What it
draws is regular: stripes, rings, symmetric and repeated forms.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from convscope.synthesis.parts import LARGEST, check

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "sine": lambda x: torch.sin(math.pi * x),
    "gaussian": lambda x: 2 * torch.exp(-2.5 * x * x) - 1,
    "sigmoid": lambda x: torch.tanh(1.5 * x),
    "absolute": lambda x: x.abs(),
}
"""What a node makes of the sum that comes in."""

INPUTS = ("x", "y", "r", "bias")
"""What is known of a pixel: its place in [−1, 1], how far from the middle that is, and 1."""

_KINDS = tuple(FUNCTIONS.values())
_LARGEST = 1e3
_TOGETHER = 8
"""Images drawn at once: more take memory, and are no faster."""


@dataclass(frozen=True)
class Cppn:
    """Nodes in the order in which they are worked out, the outputs last.

    `functions` are those of the nodes, by their place in `FUNCTIONS`; `weights` `(nodes, inputs + nodes)` of what comes
    in, 0 where nothing does: no node reads one that is not before it, nor an output.
    """

    functions: tuple[int, ...]
    weights: Tensor
    outputs: int

    @property
    def nodes(self) -> int:
        """How many there are, without inputs."""
        return len(self.functions)


@dataclass(frozen=True)
class CppnEncoding:
    """Grows from no hidden node to `most` hidden ones at most.

    A mutation changes each weight with a probability of `rate`, by a normal number of the `deviation`, and with the
    probabilities `node`, `connection` and `function` it adds a node within a connection, adds a connection, and gives
    a node another function. Three outputs are hue, saturation and brightness, as in Nguyen et al. (2015); of an image
    of other than three channels, each is a channel.
    """

    most: int = 24
    rate: float = 0.3
    deviation: float = 1.0
    node: float = 0.4
    connection: float = 0.5
    function: float = 0.1

    def __post_init__(self) -> None:
        check(self, most=(0, 1000), deviation=(0, LARGEST))
        check(self, **dict.fromkeys(("rate", "node", "connection", "function"), (0, 1)))

    def first(self, shape: tuple[int, int, int], draw: Generator) -> Cppn:
        outputs = shape[0]
        weights = torch.zeros(outputs, len(INPUTS) + outputs)
        weights[:, : len(INPUTS)] = 1.5 * torch.randn(outputs, len(INPUTS), generator=draw)
        genome = Cppn(tuple(_whole(len(_KINDS), draw) for _ in range(outputs)), weights, outputs)
        # Without a few nodes all would be stripes or rings.
        for _ in range(min(self.most, _whole(4, draw))):
            genome = with_node(genome, draw)
        return genome

    def mutated(self, genome: Cppn, draw: Generator, generation: int) -> Cppn:
        if _chance(self.node, draw) and genome.nodes - genome.outputs < self.most:
            genome = with_node(genome, draw)
        if _chance(self.connection, draw):
            genome = with_connection(genome, draw)
        if _chance(self.function, draw):
            genome = with_function(genome, draw)
        return self._with_weights(genome, draw)

    def images(self, genomes: Sequence[Cppn], shape: tuple[int, int, int], device: torch.device) -> Tensor:
        chunks = [genomes[at : at + _TOGETHER] for at in range(0, len(genomes), _TOGETHER)]
        seen = torch.cat([coloured(drawn(chunk, shape, device)) for chunk in chunks])
        return (seen * 255).round() / 255

    def _with_weights(self, genome: Cppn, draw: Generator) -> Cppn:
        """Some weights moved: one at least, so that a mutation is one."""
        there = genome.weights.nonzero()
        chosen = torch.rand(len(there), generator=draw) < self.rate
        if len(there) and not chosen.any():
            chosen[_whole(len(there), draw)] = True
        rows, columns = there[chosen].T
        weights = genome.weights.clone()
        weights[rows, columns] += self.deviation * torch.randn(len(rows), generator=draw)
        return replace(genome, weights=weights)


def with_node(genome: Cppn, draw: Generator) -> Cppn:
    """A node within a connection: it reads what was read, by a weight of 1, and is read instead, by the old weight."""
    there = genome.weights.nonzero()
    if not len(there):
        return genome
    reader, read = there[_whole(len(there), draw)].tolist()
    # Before the outputs, and before what reads it.
    at = min(reader, genome.nodes - genome.outputs)
    column = len(INPUTS) + at
    weights = genome.weights.new_zeros(genome.nodes + 1, genome.weights.shape[1] + 1)
    rows = [row for row in range(genome.nodes + 1) if row != at]
    columns = [each for each in range(weights.shape[1]) if each != column]
    weights[torch.tensor(rows)[:, None], torch.tensor(columns)] = genome.weights
    reader_now, read_now = reader + (reader >= at), read + (read >= column)
    weights[reader_now, column] = weights[reader_now, read_now]
    weights[reader_now, read_now] = 0
    weights[at, read_now] = 1
    functions = (*genome.functions[:at], _whole(len(_KINDS), draw), *genome.functions[at:])
    return Cppn(functions, weights, genome.outputs)


def with_connection(genome: Cppn, draw: Generator) -> Cppn:
    """A connection where there was none; as it is where all are there."""
    allowed = torch.ones_like(genome.weights).tril(len(INPUTS) - 1)
    allowed[:, len(INPUTS) + genome.nodes - genome.outputs :] = 0
    free = ((genome.weights == 0) & (allowed == 1)).nonzero()
    if not len(free):
        return genome
    row, column = free[_whole(len(free), draw)].tolist()
    weights = genome.weights.clone()
    weights[row, column] = torch.randn((), generator=draw)
    return replace(genome, weights=weights)


def with_function(genome: Cppn, draw: Generator) -> Cppn:
    """Another function, or the same, for one node."""
    at = _whole(genome.nodes, draw)
    functions = (*genome.functions[:at], _whole(len(_KINDS), draw), *genome.functions[at + 1 :])
    return replace(genome, functions=functions)


def drawn(genomes: Sequence[Cppn], shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """What the outputs are at each pixel, `(N, C, H, W)`; all genomes together, node by node."""
    channels, rows, columns = shape
    most = max(each.nodes for each in genomes)
    weights, functions = _aligned(genomes, most)
    places = _places(rows, columns).to(device)
    values = places.new_zeros(len(genomes), len(INPUTS) + most, rows * columns)
    values[:, : len(INPUTS)] = places
    for node in range(most):
        before = len(INPUTS) + node
        sums = torch.bmm(weights[:, node : node + 1, :before].to(device), values[:, :before])[:, 0]
        # Sums of sums may grow without bound, and a sine of infinity is no number.
        sums = sums.clamp(-_LARGEST, _LARGEST)
        for kind in sorted(set(functions[:, node].tolist())):
            alike = (functions[:, node] == kind).to(device)
            values[alike, before] = _KINDS[kind](sums[alike])
    return values[:, -channels:].reshape(len(genomes), channels, rows, columns)


def _aligned(genomes: Sequence[Cppn], most: int) -> tuple[Tensor, Tensor]:
    """Weights `(N, most, inputs + most)` and functions `(N, most)`, with nodes that do nothing before the others."""
    weights = torch.zeros(len(genomes), most, len(INPUTS) + most)
    functions = torch.zeros(len(genomes), most, dtype=torch.long)
    for index, each in enumerate(genomes):
        idle = most - each.nodes
        weights[index, idle:, : len(INPUTS)] = each.weights[:, : len(INPUTS)]
        weights[index, idle:, len(INPUTS) + idle :] = each.weights[:, len(INPUTS) :]
        functions[index, idle:] = torch.tensor(each.functions)
    return weights, functions


def _places(rows: int, columns: int) -> Tensor:
    """The inputs of each pixel, `(inputs, rows · columns)`."""
    down = torch.linspace(-1, 1, rows) if rows > 1 else torch.zeros(1)
    across = torch.linspace(-1, 1, columns) if columns > 1 else torch.zeros(1)
    y, x = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([x, y, (x * x + y * y).sqrt(), torch.ones_like(x)]).flatten(1)


def coloured(values: Tensor) -> Tensor:
    """Outputs `(N, C, H, W)` as images in [0, 1]: by hue, saturation and brightness where there are three of them.

    What most functions rest at, −1, 0 and 1, are blue, red and green, and no colour, half of it and all.

    >>> coloured(torch.tensor([0.0, 1.0, 1.0]).reshape(1, 3, 1, 1)).flatten()
    tensor([1., 0., 0.])
    """
    if values.shape[1] != 3:
        return values.abs().clamp(0, 1)
    hue, brightness = values[:, 0], values[:, 2].abs().clamp(0, 1)
    saturation = (0.5 + 0.5 * values[:, 1]).clamp(0, 1)
    turned = [torch.remainder(offset + 2 * hue, 6) for offset in (5, 3, 1)]
    kept = [torch.minimum(each, 4 - each).clamp(0, 1) for each in turned]
    return torch.stack([brightness * (1 - saturation * each) for each in kept], dim=1)


def _whole(below: int, draw: Generator) -> int:
    return int(torch.randint(below, (), generator=draw))


def _chance(probability: float, draw: Generator) -> bool:
    return float(torch.rand((), generator=draw)) < probability
