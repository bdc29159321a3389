"""convscope: a microscope for convolutional networks.

>>> import convscope as cs
>>> net = cs.load("efficientnet-lite0")
>>> image = net.prepare(cs.read_image("chelsea"))
>>> net.predict(image, top=1)[0].label
'tiger cat'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.6.0"

if TYPE_CHECKING:
    from convscope.anatomy.arithmetic import Arithmetic, convolution, linear, pooling
    from convscope.anatomy.filters import Filters, filters
    from convscope.anatomy.layer_table import LayerTable, layer_table
    from convscope.anatomy.matching import Matching, matching
    from convscope.anatomy.natural_filters import NaturalFilters, natural_filters
    from convscope.anatomy.pooling_compared import PoolingCompared, pooling_compared
    from convscope.anatomy.sliding_product import SlidingProduct, sliding_product
    from convscope.attribution.activations import Activations, activations
    from convscope.attribution.attribution import Attribution
    from convscope.attribution.drill_down import DrillDown, drill_down
    from convscope.attribution.faithfulness import Faithfulness, faithfulness
    from convscope.attribution.grad_cam import GradCam, grad_cam
    from convscope.attribution.guided_grad_cam import guided_grad_cam
    from convscope.attribution.integrated_gradients import IntegratedGradients, integrated_gradients
    from convscope.attribution.occlusion import Occlusion, occlusion
    from convscope.attribution.randomization import Randomization, randomization
    from convscope.attribution.saliency import saliency
    from convscope.attribution.segment import Segmentation, segment
    from convscope.attribution.smooth_grad import smooth_grad
    from convscope.attribution.verdict import Verdict, verdict
    from convscope.errors import (
        Cancelled,
        ConvscopeError,
        ImageError,
        LayerError,
        MissingExtra,
        NetworkError,
        RecipeError,
        RuleError,
        RuleMatchedNothing,
        StepFailed,
        Stopped,
        TargetError,
        WeightsError,
    )
    from convscope.fooling.add_template import TemplateAdded, add_template
    from convscope.fooling.adversarial import Adversarial
    from convscope.fooling.adversarial_patch import AdversarialPatch, adversarial_patch
    from convscope.fooling.bim import bim
    from convscope.fooling.box_lbfgs import box_lbfgs
    from convscope.fooling.carlini_wagner import carlini_wagner
    from convscope.fooling.compare_regularization import RegularizationCompared, compare_regularization
    from convscope.fooling.deep_fool import deep_fool
    from convscope.fooling.defences.defences import Defences, defences
    from convscope.fooling.evolved import Evolved, evolve
    from convscope.fooling.fgsm import fgsm
    from convscope.fooling.fool import Fooled, fool
    from convscope.fooling.hog import hog
    from convscope.fooling.hog_twin import HogTwin, hog_twin
    from convscope.fooling.linear_classifier import LinearClassifier, linear_classifier
    from convscope.fooling.linear_example import LinearExample, linear_example
    from convscope.fooling.linear_table import LinearTable, linear_table
    from convscope.fooling.pgd import pgd
    from convscope.fooling.robustness import Robustness, robustness
    from convscope.fooling.targeted_gradient import targeted_gradient
    from convscope.fooling.universal import Universal, universal
    from convscope.image.read import read_image
    from convscope.image.recipe import Recipe
    from convscope.network.heads import Prediction
    from convscope.network.network import Network
    from convscope.network.zoo import load
    from convscope.plates.checking.check import Check, check
    from convscope.plates.explanation import Explanation, explanation
    from convscope.plates.facets import Facets, facets
    from convscope.plates.faithfulness_table import FaithfulnessTable, faithfulness_table
    from convscope.plates.inversions import Identified, Inversions, identified, inversions
    from convscope.plates.patch_plates import LayerPlate, layer_page, layer_plate
    from convscope.plates.preferred import Preferred, preferred
    from convscope.plates.redo import redo
    from convscope.plates.report import report
    from convscope.plates.sheet import Sheet, sheet
    from convscope.progress import Progress
    from convscope.scanning.patches import TopPatches
    from convscope.scanning.scan import scan
    from convscope.scanning.stored import Scan, open_scan
    from convscope.synthesis.copied import CopiedTexture
    from convscope.synthesis.dream import Dream, dream
    from convscope.synthesis.dream_film import dream_film
    from convscope.synthesis.efros_leung import efros_leung
    from convscope.synthesis.fast_style.loading import load_styles
    from convscope.synthesis.filming import DreamFilm
    from convscope.synthesis.invert import Inversion, invert
    from convscope.synthesis.maximize import Maximized, maximize
    from convscope.synthesis.quilting import quilting
    from convscope.synthesis.style import Style, style
    from convscope.synthesis.stylize import Stylized, export_onnx, stylize
    from convscope.synthesis.stylize_film import StylizedFilm, stylize_film
    from convscope.synthesis.texture import Texture, texture
    from convscope.synthesis.train_style import Training, train_style
    from convscope.synthesis.zoom_dream import zoom_dream

# Where each public name lives. They are imported at first use, so that `import convscope` is instant.
_HOMES = {
    "anatomy.arithmetic": "Arithmetic convolution linear pooling",
    "anatomy.filters": "Filters filters",
    "anatomy.layer_table": "LayerTable layer_table",
    "anatomy.matching": "Matching matching",
    "anatomy.natural_filters": "NaturalFilters natural_filters",
    "anatomy.pooling_compared": "PoolingCompared pooling_compared",
    "anatomy.sliding_product": "SlidingProduct sliding_product",
    "attribution.activations": "Activations activations",
    "attribution.attribution": "Attribution",
    "attribution.drill_down": "DrillDown drill_down",
    "attribution.faithfulness": "Faithfulness faithfulness",
    "attribution.grad_cam": "GradCam grad_cam",
    "attribution.guided_grad_cam": "guided_grad_cam",
    "attribution.integrated_gradients": "IntegratedGradients integrated_gradients",
    "attribution.occlusion": "Occlusion occlusion",
    "attribution.randomization": "Randomization randomization",
    "attribution.saliency": "saliency",
    "attribution.segment": "Segmentation segment",
    "attribution.smooth_grad": "smooth_grad",
    "attribution.verdict": "Verdict verdict",
    "errors": "Cancelled ConvscopeError ImageError LayerError MissingExtra NetworkError RecipeError RuleError "
    "RuleMatchedNothing StepFailed Stopped TargetError WeightsError",
    "fooling.add_template": "TemplateAdded add_template",
    "fooling.adversarial": "Adversarial",
    "fooling.adversarial_patch": "AdversarialPatch adversarial_patch",
    "fooling.bim": "bim",
    "fooling.box_lbfgs": "box_lbfgs",
    "fooling.carlini_wagner": "carlini_wagner",
    "fooling.compare_regularization": "RegularizationCompared compare_regularization",
    "fooling.deep_fool": "deep_fool",
    "fooling.defences.defences": "Defences defences",
    "fooling.evolved": "Evolved evolve",
    "fooling.fgsm": "fgsm",
    "fooling.fool": "Fooled fool",
    "fooling.hog": "hog",
    "fooling.hog_twin": "HogTwin hog_twin",
    "fooling.linear_classifier": "LinearClassifier linear_classifier",
    "fooling.linear_example": "LinearExample linear_example",
    "fooling.linear_table": "LinearTable linear_table",
    "fooling.pgd": "pgd",
    "fooling.robustness": "Robustness robustness",
    "fooling.targeted_gradient": "targeted_gradient",
    "fooling.universal": "Universal universal",
    "image.read": "read_image",
    "image.recipe": "Recipe",
    "network.heads": "Prediction",
    "network.network": "Network",
    "network.zoo": "load",
    "plates.checking.check": "Check check",
    "plates.explanation": "Explanation explanation",
    "plates.facets": "Facets facets",
    "plates.faithfulness_table": "FaithfulnessTable faithfulness_table",
    "plates.inversions": "Identified Inversions identified inversions",
    "plates.patch_plates": "LayerPlate layer_page layer_plate",
    "plates.preferred": "Preferred preferred",
    "plates.redo": "redo",
    "plates.report": "report",
    "plates.sheet": "Sheet sheet",
    "progress": "Progress",
    "scanning.patches": "TopPatches",
    "scanning.scan": "scan",
    "scanning.stored": "Scan open_scan",
    "synthesis.copied": "CopiedTexture",
    "synthesis.dream": "Dream dream",
    "synthesis.dream_film": "dream_film",
    "synthesis.efros_leung": "efros_leung",
    "synthesis.fast_style.loading": "load_styles",
    "synthesis.filming": "DreamFilm",
    "synthesis.invert": "Inversion invert",
    "synthesis.maximize": "Maximized maximize",
    "synthesis.quilting": "quilting",
    "synthesis.style": "Style style",
    "synthesis.stylize": "Stylized export_onnx stylize",
    "synthesis.stylize_film": "StylizedFilm stylize_film",
    "synthesis.train_style": "Training train_style",
    "synthesis.texture": "Texture texture",
    "synthesis.zoom_dream": "zoom_dream",
}
_HOME_OF = {name: f"convscope.{home}" for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(["__version__", *_HOME_OF])


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'convscope' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
