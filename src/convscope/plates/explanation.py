"""One figure of what several targets look at, under several backward rules (L16, L18–L20)."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from convscope.attribution.attribution import Attribution, Reduction, Style
from convscope.attribution.saliency import saliency
from convscope.image.recipe import JSON, Recipe
from convscope.image.write import to_picture
from convscope.network.network import Network
from convscope.network.rules import RULES, Rule
from convscope.network.target import TargetLike
from convscope.render.grid import rows
from convscope.render.result import Pictured


@dataclass(frozen=True)
class Explanation(Pictured):
    """Saliency maps of one image: `maps` holds a row a target and in it a map a rule."""

    image: Tensor
    maps: tuple[tuple[Attribution, ...], ...]
    rules: tuple[Rule, ...]
    recipe: Recipe

    def picture(self, *, style: Style = "heatmap", reduction: Reduction = "max") -> Image.Image:
        """The photograph and its maps, a row a target, a column a rule. Each map has its own scale, drawn below it."""
        photograph = to_picture(self.image)
        figure = [
            (row[0].target, [photograph, *(each.picture(style=style, reduction=reduction) for each in row)])
            for row in self.maps
        ]
        return rows(figure, column_labels=["image", *self.rules])


def explanation(
    network: Network,
    image: Tensor,
    targets: Sequence[TargetLike],
    *,
    rules: Sequence[Rule] = RULES,
    smooth: str | None = None,
) -> Explanation:
    """Saliency of each target under each rule, as one figure. Raises as `saliency` does."""
    asked = [network.target(target, image) for target in targets]
    maps = tuple(
        tuple(saliency(network, image, target, rule=rule, smooth=smooth) for rule in rules) for target in asked
    )
    masks = [mask for target in asked for mask in target.masks]
    parameters: dict[str, JSON] = {"targets": [target.text for target in asked], "rules": list(rules), "smooth": smooth}
    recipe = network.recipe("explanation", parameters, images=[image, *masks])
    return Explanation(image, maps, tuple(rules), recipe)
