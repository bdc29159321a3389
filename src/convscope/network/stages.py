"""Which of a network's many layers to look at where nobody says."""

from convscope.errors import LayerError
from convscope.network.network import Network
from convscope.network.trace import refs_in

_SMALLEST_MAP = 4
_NO_FEATURES = ("padding", "pointwise", "reshape", "permute", "transpose", "split", "index", "dropout")
_DEPTH = 2
_CEILINGS = ("hardtanh", "relu6")


def stage_ends(network: Network) -> list[str]:
    """The ends of the network's stages, and the vector that its classifier reads, from the image on.

    A stage is what works on maps of one size; it ends with the last module there that is no part of a smaller one than
    a block (`layer1.2`, `blocks.4`, `features.8`). The vector is the last before the classes; where there is none,
    because maps or the image itself are all that there is, it is left out.

    Where a stage ends with a rectifier that has a ceiling (ReLU6), it is what goes into it: many pictures reach the
    ceiling, and would all be the strongest.

    >>> import convscope as cs
    >>> stage_ends(cs.load("efficientnet-lite0"))
    ['blocks.0', 'blocks.2', 'blocks.4', 'blocks.10', 'head.norm', 'flatten']
    """
    layers = network.layers
    called: dict[str, list[str]] = {}
    for name in layers.names:
        called.setdefault(layers[name].name, []).append(name)
    ends: dict[tuple[int, ...], str] = {}
    vector = None
    for own, names in called.items():
        layer = layers[own]
        shallow = [name for name in names if name.count(".") < _DEPTH]
        if layer.has_space and shallow and layer.kind not in _NO_FEATURES and min(layer.shape[1:]) >= _SMALLEST_MAP:
            ends.pop(layer.shape[1:], None)
            ends[layer.shape[1:]] = max(shallow, key=lambda name: name.count("."))
        elif len(layer.shape) == 1 and layer.kind != "dropout" and layer.shape[0] != network.classes:
            vector = own
    return [*(below_ceiling(network, name) for name in ends.values()), *([vector] if vector else [])]


def middle_layer(network: Network) -> str:
    """A layer of parts of things: the end of the last stage but one of those with space.

    Raises LayerError where no layer has space.

    >>> import convscope as cs
    >>> middle_layer(cs.load("efficientnet-lite0"))
    'blocks.10'
    """
    spatial = [name for name in stage_ends(network) if network.layers[name].has_space]
    if not spatial:
        raise LayerError(f"{network.name} has no layer with maps; ask for a class, as class:0")
    return spatial[max(0, len(spatial) - 2)]


def below_ceiling(network: Network, name: str) -> str:
    """The layer that a rectifier with a ceiling reads; any other layer itself."""
    graph = network.graph((network.channels, *network.input_size))
    if network.layers[name].kind not in _CEILINGS or graph is None:
        return name
    node = graph.nodes[graph.names[network.layers[name].name].node]
    read = [each for each, ref in graph.names.items() if ref in refs_in((node.args, node.kwargs))]
    return read[0] if read else name
