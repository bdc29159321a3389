"""The job `mistakes`: where a network's answers are not the classes that the folder tells."""

from convscope.errors import ConvscopeError
from convscope.explorer.cache import Outcome, key_of
from convscope.explorer.growing import Growing, GrowingScan
from convscope.explorer.images import Images
from convscope.explorer.lens import Lens
from convscope.explorer.making import Prepared, download, finite, outcome
from convscope.explorer.models import MistakesAsked
from convscope.explorer.results import ConfusionTold, MistakesFound, MistakeTold
from convscope.network.class_names import classes_of
from convscope.progress import Steps, Watcher, part_of
from convscope.scanning.mistakes import Mistake, mistakes
from convscope.scanning.stored import Scan

_CONFUSIONS = 100


def mistakes_prepared(
    asked: MistakesAsked, lens: Lens, images: Images, growing: Growing, given: Scan | None
) -> Prepared:
    """The work: of a scan that was `given`, or of the Explorer's own, which is brought to its end first.

    Raises ConvscopeError where the pictures have no classes, or none that the network knows.
    """
    network = lens.network
    if given is not None and given.header.weights != network.weights_sha256:
        raise ConvscopeError(f"that scan is of {given.header.network}; expected one of {network.name}")
    own = growing.of(asked.network) if given is None else None
    if own is not None:
        _check_classes(lens, images)
    if asked.partial and own is not None and own.scan is None:
        raise ConvscopeError("nothing has been scanned yet; ask again when the first pictures have")
    layers = [] if own is None else own.layers_with([])
    complete = own is None or own.is_complete(layers)

    def work(watcher: Watcher) -> Outcome:
        scan = _scanned(own, layers, given, watcher, partial=asked.partial or complete)
        found = mistakes(scan, limit=asked.limit, neighbours=0)
        steps = Steps(len(found.worst), part_of(watcher, 1, 2))
        told = []
        for each in found.worst:
            told.append(_told(each, scan, lens, images))
            steps.done()
        result = MistakesFound(
            images=found.images, total=len(scan) if own is None else own.total, wrong=found.wrong,
            accuracy=found.accuracy, top=found.top, top_accuracy=found.top_accuracy, mistakes=told,
            confusions=[
                ConfusionTold(label=each.truth, predicted=each.said, count=each.count, images=each.images)
                for each in found.confusions[:_CONFUSIONS]
            ],
            recipe=found.recipe.to_json(),
        )  # fmt: skip
        return outcome(result, {"picture.png": download(found)})

    known = given if given is not None else None if own is None else own.scan
    fields = asked.fields()
    fields |= {"weights": network.weights_sha256, "of": own.id if own else given and given.path.name}
    # Of some of the pictures it is another answer than of all.
    fields["seen"] = len(known) if known is not None and (asked.partial or complete) else None
    whole = not asked.partial and not complete
    return Prepared(key_of("mistakes", fields), work, behind=whole, anew=whole)


def _scanned(
    own: GrowingScan | None, layers: list[str], given: Scan | None, watcher: Watcher, *, partial: bool
) -> Scan:
    if own is None:
        assert given is not None
        return given
    scan = own.scan if partial else own.run(layers, part_of(watcher, 0, 2) or watcher)
    assert scan is not None
    return scan


def _check_classes(lens: Lens, images: Images) -> None:
    """Raises ConvscopeError unless the folder tells classes that the network has."""
    network, pictures = lens.network, images.labelled
    if network.classes is None:
        raise ConvscopeError(f"{network.name} has no classes, so it can't be mistaken about any")
    if not pictures:
        raise ConvscopeError("there is no folder of pictures; open one: convscope explore FOLDER, a folder a class")
    told = [each for each in pictures if each.label is not None or each.index is not None]
    if not told:
        raise ConvscopeError(
            "the pictures have no classes; put them into folders that are named after the network's classes, or a list "
            "with the columns file and label beside them, and start again"
        )
    known, _ = classes_of(pictures, network.labels, network.classes)
    if all(each is None for each in known):
        raise ConvscopeError(
            f"the pictures have labels such as {told[0].label or told[0].index!r}, which the network doesn't know; "
            "name the folders after its classes, by their names, WordNet ids or numbers, and start again"
        )


def _told(mistake: Mistake, scan: Scan, lens: Lens, images: Images) -> MistakeTold:
    row = scan.images.row(mistake.id)
    truth, said = int(scan.images.classes[row]), int(scan.images.answers[row, 0])
    id = images.id_at(scan.source.path(mistake.name))
    own = mistake.truth_probability
    if own is None and id is not None:
        # The scan keeps the five most probable alone.
        answers, _ = lens.look(images.prepared(id, lens.network))
        own = finite(float(answers.probabilities[0, truth]))
    return MistakeTold(
        image=id, name=mistake.name.rpartition("/")[2], label=mistake.truth, label_index=truth, label_probability=own,
        predicted=mistake.said, predicted_index=said, probability=mistake.probability,
        target=f"class:{said} - class:{truth}",
    )  # fmt: skip
