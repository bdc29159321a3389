"""Names for the values of a traced graph, as torchvision's feature extraction gives them.

A call of one of torch's own modules has the module's path; a functional operation its own name under the module that
makes it (`layer1.0.add`); a repeat gets `_1`, `_2`. A container's path stands for what it returns.
"""

import re
from collections import Counter

from torch import Tensor

from convscope.network.ops import name_of
from convscope.network.trace import Record, Ref

Names = dict[str, Ref]
Aliases = dict[str, str]


def name_layers(record: Record, sees_image: list[bool]) -> tuple[Names, Aliases]:
    """The layers' names in the graph's order, and further names for them."""
    leaves = {call.result: call.path for call in record.calls if call.leaf and _made_within(call.result, call.first)}
    used: Counter[str] = Counter()
    names: Names = {}
    for index, node in enumerate(record.nodes):
        if index == 0 or not sees_image[index]:
            continue
        own = ".".join(filter(None, (node.path, name_of(node.function))))
        for ref, value in _items(index, node.value):
            fallback = own if ref.item is None else ".".join(filter(None, (node.path, "getitem")))
            if value.is_floating_point():
                names[_numbered(leaves.get(ref) or fallback, used)] = ref
    return names, _aliases(record, names)


def _items(index: int, value: object) -> list[tuple[Ref, Tensor]]:
    if isinstance(value, Tensor):
        return [(Ref(index), value)]
    several = value if isinstance(value, (tuple, list)) else ()
    return [(Ref(index, item), each) for item, each in enumerate(several) if isinstance(each, Tensor)]


def _made_within(result: Ref | None, first: int) -> bool:
    return result is not None and result.node >= first


def _numbered(name: str, used: Counter[str]) -> str:
    count = used[name]
    used[name] += 1
    return f"{name}_{count}" if count else name


def _aliases(record: Record, names: Names) -> Aliases:
    by_ref = {ref: name for name, ref in names.items()}
    by_node = {ref.node: name for name, ref in names.items()}
    used: Counter[str] = Counter()
    aliases: Aliases = {}
    for call in sorted(record.calls, key=lambda call: (call.first, -call.end)):
        if not call.path:
            continue
        within = (by_node[node] for node in reversed(range(call.first, call.end)) if node in by_node)
        name = by_ref.get(call.result) if call.result else None
        meant = name or next(within, None)
        path = _numbered(call.path, used)
        if meant is not None and path not in names:
            aliases[path] = meant
    return aliases


def vgg_aliases(kinds: dict[str, str]) -> Aliases:
    """`conv3_2`, `relu3_2`, `pool3`, … where the layers are a plain chain in `features`, as in VGG.

    >>> vgg_aliases({"features.0": "convolution", "features.1": "relu", "features.2": "max pooling"})
    {'conv1_1': 'features.0', 'relu1_1': 'features.1', 'pool1': 'features.2'}
    """
    chain = {name: kind for name, kind in kinds.items() if re.fullmatch(r"features\.\d+", name)}
    if set(chain.values()) - {"convolution", "relu", "max pooling", "average pooling", "batch norm"} or not chain:
        return {}
    aliases: Aliases = {}
    stage, place = 1, 0
    for name, kind in chain.items():
        if kind == "convolution":
            place += 1
            aliases[f"conv{stage}_{place}"] = name
        elif kind == "relu":
            aliases[f"relu{stage}_{place}"] = name
        elif kind.endswith("pooling"):
            aliases[f"pool{stage}"] = name
            stage, place = stage + 1, 0
    return aliases
