"""In which orders a list of labels may have got."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convscope.network.labels import imagenet_labels


@dataclass(frozen=True)
class LabelOrder:
    """An order of the classes: the network's output p means what its labels (or numbers) call class `order[p]`."""

    name: str
    order: tuple[int, ...]

    def outputs(self, classes: Sequence[int]) -> list[int]:
        """The output that stands for each of these classes.

        >>> LabelOrder("reversed", (2, 1, 0)).outputs([0, 0, 1])
        [2, 2, 1]
        """
        output_of = {class_: output for output, class_ in enumerate(self.order)}
        return [output_of[class_] for class_ in classes]


def label_orders(labels: Sequence[str] | None, classes: int) -> tuple[LabelOrder, ...]:
    """The orders that lists of labels get by mistake, each once, none that changes nothing.

    >>> [order.name for order in label_orders(["cat", "ant", "dog", "bee"], 4)]
    ['alphabetical', 'of photographs numbered alphabetically', 'reversed', 'shifted up by one', 'shifted down by one']
    """
    unchanged = tuple(range(classes))
    taken = {unchanged}
    orders = []
    for order in _orders(labels, classes):
        if order.order not in taken:
            taken.add(order.order)
            orders.append(order)
    return tuple(orders)


def _orders(labels: Sequence[str] | None, classes: int) -> Iterator[LabelOrder]:
    numbers = range(classes)
    if labels is not None:
        if sorted(labels) == sorted(imagenet_labels()):
            yield LabelOrder("ImageNet's", _like(labels, imagenet_labels()))
        alphabetical = sorted(numbers, key=lambda at: labels[at])
        yield LabelOrder("alphabetical", tuple(alphabetical))
        yield LabelOrder(
            "alphabetical, whatever the case", tuple(sorted(numbers, key=lambda at: labels[at].casefold()))
        )
        yield LabelOrder("of photographs numbered alphabetically", _inverse(alphabetical))
    as_text = sorted(numbers, key=str)
    yield LabelOrder("of numbers sorted as text (0, 1, 10, 100, …, 2)", tuple(as_text))
    yield LabelOrder("of labels that were sorted by their numbers as text", _inverse(as_text))
    yield LabelOrder("reversed", tuple(reversed(numbers)))
    yield LabelOrder("shifted up by one", (classes - 1, *numbers[:-1]))
    yield LabelOrder("shifted down by one", (*numbers[1:], 0))


def _like(labels: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Where each of `wanted` is among the labels; what stands there twice, in turn."""
    places = defaultdict(list)
    for at, label in enumerate(labels):
        places[label].append(at)
    return tuple(places[label].pop(0) for label in wanted)


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def answered_order(classes: Sequence[int], answers: Sequence[int], total: int) -> LabelOrder | None:
    """The order that makes most of these answers right, pairing classes and outputs greedily; None if it is as it was.

    >>> answered_order([0, 0, 1, 1, 2], [1, 1, 0, 0, 2], 3).order
    (1, 0, 2)
    """
    class_of: dict[int, int] = {}
    for (class_, answer), _ in sorted(Counter(zip(classes, answers, strict=True)).items(), key=lambda each: -each[1]):
        if answer not in class_of and class_ not in class_of.values():
            class_of[answer] = class_
    left = [class_ for class_ in range(total) if class_ not in set(class_of.values())]
    for output in range(total):
        if output not in class_of and output in left:
            class_of[output] = output
            left.remove(output)
    for output in range(total):
        if output not in class_of:
            class_of[output] = left.pop(0)
    order = tuple(class_of[output] for output in range(total))
    return None if order == tuple(range(total)) else LabelOrder("as its answers tell", order)
