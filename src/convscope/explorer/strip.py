"""The strip of layers: by what it folds them, and at which of them a page opens."""

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from convscope.network.layers import Layer

# Layers that lie directly in one container: with more of them they are folded by the size of their maps.
_MANY = 12
# A container that holds more of all layers than this is folded by what is inside it.
_MOST = 0.5
# Of the strip, where a page opens; and rows and columns that a map must have to be worth a look.
_DEPTH, _SMALLEST = 0.4, 7
_RECTIFIERS = frozenset("relu relu6 leaky_relu elu selu celu gelu silu mish hardswish prelu rrelu hardtanh".split())
_STEM, _HEAD = "stem", "head"


def stages(layers: Mapping[str, Layer]) -> dict[str, str]:
    """For each layer, in the order of the graph, the container by which the strip folds it.

    That is the path up to its first number (`blocks.3` of `blocks.3.0.conv`), or to where it holds layers of its own,
    but at most half of all. A container with many layers of its own is folded by the sizes of their maps. What lies in
    no container is the "stem" before the first, the "head" after the last, and part of the one before in between.

    >>> made = {name: Layer(name, "relu", (1, 8, 8)) for name in ("conv", "a.0.x.y", "a.1.x", "pool", "b.x", "fc")}
    >>> stages(made)
    {'conv': 'stem', 'a.0.x.y': 'a.0', 'a.1.x': 'a.1', 'pool': 'a.1', 'b.x': 'b', 'fc': 'head'}
    """
    found = {name: _container(name, layers) for name in layers}
    held = [stage for stage in found.values() if stage]
    for stage in {each for each in found.values() if held.count(each) > _MANY or not held}:
        own = [name for name in found if found[name] == stage and name.rpartition(".")[0] == stage]
        if len({_size(layers[name]) for name in own}) > 1 and len(own) == sum(each == stage for each in found.values()):
            found |= {name: f"{stage} {_size(layers[name])}".strip() for name in own}
    names = list(found)
    inside = [at for at, name in enumerate(names) if found[name]]
    for at, name in enumerate(names):
        if not found[name]:
            before = [each for each in inside if each < at]
            found[name] = _STEM if not before else _HEAD if before[-1] == inside[-1] else found[names[before[-1]]]
    return found


def opening_layer(layers: Mapping[str, Layer]) -> str:
    """A layer that shows something at once: maps of 7×7 or more in the middle of the network.

    The end of a stage, or where there is none a rectifier; of these the one nearest to two fifths of the depth.
    """
    names, staged = list(layers), stages(layers)
    large = [name for name in names if len(layers[name].shape) == 3 and min(layers[name].shape[1:]) >= _SMALLEST]
    ends = set(_ends(staged))
    blocks = [name for name in large if name in ends and "." in staged[name] and " " not in staged[name]]
    rectified = [name for name in large if layers[name].kind in _RECTIFIERS]
    maps = [name for name in names if len(layers[name].shape) == 3]
    choice = blocks or rectified or large or maps or names
    place = {name: at for at, name in enumerate(names)}
    return min(choice, key=lambda name: abs(place[name] - _DEPTH * len(names)))


def _container(name: str, layers: Mapping[str, Layer]) -> str:
    """The path of what a layer is folded into; empty for one that lies in no container."""
    *path, _ = name.split(".")
    longer = [".".join(path[: at + 1]) for at in range(len(path))]
    most = math.ceil(_MOST * len(layers))
    small = [each for each in longer if sum(other.startswith(f"{each}.") for other in layers) <= most]
    direct = {other.rpartition(".")[0] for other in layers}
    for each in longer:
        if each.rpartition(".")[2].isdigit() or (each in small and each in direct):
            return each
    return next(iter(small), ".".join(path))


def _size(layer: Layer) -> str:
    return f"{layer.shape[1]}×{layer.shape[2]}" if len(layer.shape) == 3 else "vectors"


def _ends(staged: Mapping[str, str]) -> Iterator[str]:
    """The last layer of each stage."""
    yield from (name for (name, stage), (_, after) in pairwise(staged.items()) if stage != after)
