"""The part of the report that says why: places, pixels and an object, each with its verdict."""

from collections.abc import Sequence

from torch import Tensor

from convscope.attribution.attribution import Attribution
from convscope.attribution.occlusion import Occlusion
from convscope.attribution.segment import segment
from convscope.attribution.verdict import Verdict
from convscope.errors import Cancelled, ConvscopeError
from convscope.network.network import Network
from convscope.plates.explanation import explanation, usual_style
from convscope.plates.stages import Stages
from convscope.progress import Watcher
from convscope.render.page import Html, figure, gallery, paragraph

_IN_WORDS = {
    "occlusion": "Red where the logit falls when a grey square covers the place, blue where it rises. It can't show "
    "what two places do together: where one eye is enough, covering the other changes little.",
    "grad-cam": "Which places of the last layer with maps speak for the class, enlarged. It points to objects, as "
    "coarsely as that layer; it can't show details, nor what speaks against.",
    "integrated-gradients": "How much of the difference to a black image each pixel makes. It adds up; it can't show "
    "what is black in the picture, and its speckles are no details.",
}
_PROBABILITY = (
    "The probability of the class with the grey square at each place: dark where the answer is lost with what is there."
)
_OBJECT = (
    "What Grad-CAM points to, cut out along the picture's own edges. It can't show an object of many colours whole, "
    "and its outline is the picture's, not what the network saw."
)
_TESTED = (
    "Each map is tested. Its verdict has three figures: by how many standard deviations the loss of its top tenth "
    "hurts the answer more than that of as many pixels elsewhere; how alike the map of a network is that forgot its "
    "weights (low is good); and how alike it is under a little noise (high is good)."
)
# Roughly the forward passes of each with its verdict, at the usual window.
_PASSES = {"occlusion": 900, "grad-cam": 50, "integrated-gradients": 800}
_LARGEST = 800
"""Pixels of a photograph's longer side above which the object is cut out of the prepared image, for the page's size."""


def reasons(
    network: Network,
    picture: Tensor,
    image: Tensor,
    targets: Sequence[str],
    *,
    verdicts: bool = True,
    progress: Watcher | None = None,
) -> list[Html]:
    """Occlusion, class activation, integrated gradients and the object of each target.

    `picture` is the photograph, `image` what was prepared from it. What a network does not allow is said instead.
    """
    stages = Stages({(target, name): share for target in targets for name, share in _PASSES.items()}, progress)
    blocks = [paragraph(_TESTED)] if verdicts else []
    for target in targets:
        shown: list[Html] = []
        found: list[Html] = []
        for name in _PASSES:
            watcher = stages.begin((target, name))
            try:
                made = explanation(network, image, [target], methods=[name], verdicts=verdicts, progress=watcher)
            except Cancelled:
                raise
            except ConvscopeError as error:
                shown.append(paragraph(f"{name}: {error}"))
                continue
            label = made.labels[0]
            shown += _shown(name, made.maps[0][0], made.verdicts[0][0], label)
            if name == "grad-cam":
                found.append(_object(network, picture, image, made.maps[0][0], label))
        blocks.append(gallery(*shown, *found))
    return blocks


def _shown(name: str, attribution: Attribution, verdict: Verdict | None, label: str) -> list[Html]:
    style = usual_style(attribution)
    told = [f"{label}, {name}.", _IN_WORDS[name]]
    told += [f"Note: {attribution.note}."] if attribution.note else []
    told += [f"Verdict: {verdict}."] if verdict is not None else []
    recipe = attribution.recipe.with_picture(style=style)
    found = [figure(attribution.picture(style=style), " ".join(told), recipe=recipe)]
    if isinstance(attribution, Occlusion) and attribution.probabilities is not None:
        recipe = attribution.recipe.with_picture(style="probability")
        beside = attribution.picture(style="probability")
        found.insert(0, figure(beside, f"{label}. {_PROBABILITY}", recipe=recipe))
    return found


def _object(network: Network, picture: Tensor, image: Tensor, attribution: Attribution, label: str) -> Html:
    """The outline of the object, or why there is none."""
    whole = max(picture.shape[-2:]) <= _LARGEST
    try:
        result = segment(picture, attribution, network=network) if whole else segment(image, attribution)
    except ConvscopeError as error:
        return paragraph(f"The object: {error}")
    shown = result.picture()
    return figure(shown, f"{label}, the object. {_OBJECT}", recipe=result.recipe, width=min(shown.width, 448))
