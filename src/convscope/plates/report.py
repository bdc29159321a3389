"""The report: one page on what one network sees in one photograph."""

from collections.abc import Sequence

from torch import Tensor

from convscope.anatomy.filters import filters
from convscope.anatomy.layer_table import layer_table
from convscope.attribution.activations import activations
from convscope.attribution.saliency import saliency
from convscope.errors import LayerError, RuleError
from convscope.image.provenance import recall
from convscope.image.write import to_picture
from convscope.network.heads import Prediction
from convscope.network.network import Network
from convscope.network.rules import RULES, Rule
from convscope.plates.reasons import reasons
from convscope.progress import Watcher
from convscope.render.page import Html, Page, bars, details, figure, gallery, paragraph

_STRONGEST = 24
_SMALLEST_MAP = 4
_NO_FEATURES = ("padding", "pointwise", "reshape", "permute", "transpose", "split", "index")
_RULES_IN_WORDS: dict[Rule, str] = {
    "gradient": "how the logit answers to each pixel",
    "guided": "the same with only positive signals kept on the way back",
    "deconvnet": "positive signals back through all rectifiers, open or shut",
}


def report(
    network: Network,
    picture: Tensor,
    *,
    targets: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    top: int = 3,
    verdicts: bool = True,
    progress: Watcher | None = None,
) -> Page:
    """A page on `picture` `(C, H, W)`, of any size: prediction, reasons, saliency, activations, filters, layers.

    Parameters
    ----------
    targets
        What is explained; by default the saliency of the `top` most probable classes, and the first in full.
    layers
        Whose activations are shown; by default the last layer of each size of map.
    verdicts
        Whether the maps that say why are tested (see `verdict`), which takes most of the time.
    progress
        Told how far the reasons have come, which take nearly all of the time.

    Raises
    ------
    TargetError, LayerError, ImageError
    """
    image = network.prepare(picture)
    name = recall(picture).name or "an image from memory"
    predictions = network.predict(image, top=max(top, 5)) if network.classes is not None else []
    chosen = targets if targets is not None else [f"class:{each.index}" for each in predictions[:top]]
    page = Page(f"What {network.name} sees in {name}", lead=layer_table(network).summary)
    page.section("Prediction" if predictions else "Image", *_prediction(image, predictions))
    if chosen:
        explained = chosen if targets is not None else chosen[:1]
        why = reasons(network, picture, image, explained, verdicts=verdicts, progress=progress)
        page.section("Why this answer", *why)
        page.section("Where it looks", *_saliency(network, image, chosen, predictions))
    shown = layers if layers is not None else [each for each in typical_layers(network) if _runs(network, image, each)]
    page.section("What its layers answer", *_activations(network, image, shown))
    page.section("Its filters", *_filters(network))
    return page.section("Its layers", *_layers(network))


def typical_layers(network: Network) -> list[str]:
    """The last layer of each size of map, from large to small: one a stage in most networks."""
    last: dict[tuple[int, ...], str] = {}
    for name, layer in network.layers.items():
        if layer.has_space and layer.kind not in _NO_FEATURES and min(layer.shape[1:]) >= _SMALLEST_MAP:
            last[layer.shape[1:]] = name
    return [last[size] for size in sorted(last, reverse=True)]


def _prediction(image: Tensor, predictions: Sequence[Prediction]) -> list[Html]:
    shown = figure(to_picture(image), "What the network is given: resized and cropped as it was trained.", width=224)
    if not predictions:
        return [shown, paragraph("The network has no classes: its output is maps.")]
    answer = bars([(each.label, each.probability, f"{each.probability:.1%}") for each in predictions])
    return [gallery(shown, answer)]


def _saliency(network: Network, image: Tensor, targets: Sequence[str], predictions: Sequence[Prediction]) -> list[Html]:
    labels = {f"class:{each.index}": each.label for each in predictions}
    blocks = [
        paragraph(
            "Each map shows the largest absolute derivative over the colours, each on its own scale. The plain "
            "gradient is noisy but belongs to its class. The other two look much the same for every class: they show "
            "what the network can see here more than why it answers as it does. Deconvnet needs max pooling, whose "
            "switches tell it where things were; without, its map hardly depends on the picture."
        )
    ]
    photograph = to_picture(image)
    for target in targets:
        label = labels.get(target, target)
        maps = [_map(network, image, target, rule, label) for rule in RULES]
        blocks.append(gallery(figure(photograph, label), *maps))
    return blocks


def _map(network: Network, image: Tensor, target: str, rule: Rule, label: str) -> Html:
    caption = f"{rule}: {_RULES_IN_WORDS[rule]}"
    try:
        result = saliency(network, image, target, rule=rule)
    except RuleError as error:
        return paragraph(f"{caption}. {error}")
    return figure(result.picture(), caption, recipe=result.recipe, alt=f"{label}, {caption}")


def _runs(network: Network, image: Tensor, layer: str) -> bool:
    """Whether this image comes by the layer at all, where the network's path depends on what it sees."""
    try:
        return bool(network.capture(image, [layer]))
    except LayerError:
        return False


def _activations(network: Network, image: Tensor, layers: Sequence[str]) -> list[Html]:
    blocks: list[Html] = []
    for layer in layers:
        result = activations(network, image, layer)
        field = network.layers[layer].receptive_field
        sees = f" A unit sees {field.size[0]}×{field.size[1]} pixels." if field and not field.whole else ""
        options = {"strongest": _STRONGEST, "beside": False}
        shown = result.picture(strongest=_STRONGEST, beside=False)
        recipe = result.recipe.with_picture(**options)
        blocks.append(figure(shown, f"{layer}, its strongest channels.{sees}", recipe=recipe))
    return blocks


def _filters(network: Network) -> list[Html]:
    """The first convolution's filters, and those of the next that is neither 1×1 nor depthwise."""
    try:
        first = filters(network)
    except LayerError as error:
        return [paragraph(str(error))]
    later = [
        name
        for name, layer in network.layers.items()
        if layer.kind == "convolution" and max(layer.kernel or (1,)) > 1
        if layer.weight is not None and layer.weight.shape[1] > 1 and name != first.banks[0].layer
    ][:1]
    shown = [(first, "Filters of the first layer, in the image's own colours")]
    shown += [
        (filters(network, name), "Later filters: a row each, a tile for each channel they read") for name in later
    ]
    return [figure(result.picture(), caption, recipe=result.recipe) for result, caption in shown]


def _layers(network: Network) -> list[Html]:
    table = layer_table(network)
    notes = [paragraph(note) for note in table.notes]
    return [*notes, paragraph(table.summary), details(f"{len(table.rows)} layers", table.html())]
