"""What the network sees of the image at each step."""

from typing import Any

from convscope.synthesis.transforms.crop import Crop
from convscope.synthesis.transforms.jitter import Jitter
from convscope.synthesis.transforms.noise import Noise
from convscope.synthesis.transforms.pad import Pad
from convscope.synthesis.transforms.rotate import Rotate
from convscope.synthesis.transforms.scale import Scale
from convscope.synthesis.transforms.transform import Transform as Transform
from convscope.synthesis.transforms.transform import transformed as transformed

TRANSFORMS: dict[str, type[Any]] = {
    "jitter": Jitter,
    "scale": Scale,
    "rotate": Rotate,
    "pad": Pad,
    "crop": Crop,
    "noise": Noise,
}
