"""The keys of a `net.toml`: what each means and may be. The one table by which such files are read and written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from convscope.errors import NetworkError, nearest
from convscope.image.resize import Fit, Interpolation
from convscope.network.heads import Head
from convscope.network.normalization import ChannelOrder
from convscope.network.zoo.user_code import FUNCTION

# Of a wrong value in a message.
SHOWN = 60


@dataclass(frozen=True)
class Kind:
    """What a value may be: in words for messages, as a test, and the words to choose from if there are such."""

    expected: str
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """One key: its kind, what it is for in one or more lines, and an example that is its default where it has one."""

    name: str
    kind: Kind
    comment: str
    example: Any


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is a list, not empty, of what passes `test`."""
    return lambda value: isinstance(value, list) and bool(value) and all(map(test, value))


def one_of(choices: tuple[str, ...]) -> Kind:
    return Kind("one of " + ", ".join(choices), lambda value: value in choices, choices)


def is_range(value: Any) -> bool:
    return list_of(is_number)(value) and len(value) == 2 and value[0] != value[1]


def is_size(value: Any) -> bool:
    sides = value if isinstance(value, list) else [value]
    return all(is_whole(side) and side > 0 for side in sides) and (sides is not value or len(sides) == 2)


TEXT = Kind("text in quotes", is_text)
FUNCTION_NAME = Kind(
    'text such as "package.module:function"', lambda value: is_text(value) and bool(FUNCTION.fullmatch(value))
)
COUNT = Kind("a whole number of at least 1", lambda value: is_whole(value) and value > 0)
SIZE = Kind("a number of pixels, or two: [rows, columns]", is_size)
NUMBERS = Kind("a list of numbers, one for each channel", list_of(is_number))
RANGE = Kind("two different numbers: [low, high]", is_range)
FRACTION = Kind("a number above 0 and at most 1", lambda value: is_number(value) and 0 < value <= 1)
LABELS = Kind(
    'a list of names, a file or folder, or "imagenet"',
    lambda value: is_text(value) or list_of(is_text)(value) or (isinstance(value, dict) and bool(value)),
)
PART = Kind("a key in quotes, a whole number, or a function", lambda value: is_text(value) or is_whole(value))
OPTIONS = Kind("a table of keyword arguments", lambda value: isinstance(value, dict))

NETWORK = (
    Key(
        "factory",
        FUNCTION_NAME,
        "Your own function, or class, that returns the nn.Module: looked for in this file's folder, in the working "
        "folder, and among what is installed. Its arguments go to [factory_options], at the end.",
        "models:build",
    ),
    Key(
        "network",
        TEXT,
        "Instead of a factory, a network by name, whose own settings hold wherever this file has none.",
        "torchvision:resnet50",
    ),
    Key(
        "weights",
        TEXT,
        "The trained weights: safetensors, or a checkpoint of torch.save or Lightning. No code in it is ever run.",
        "best.ckpt",
    ),
    Key("weights_key", TEXT, "Where in that file they are, if it holds several sets of weights.", "ema"),
    Key(
        "name",
        TEXT,
        "What recipes call the network. By default this file's name, by which `convscope redo` finds it again.",
        "net.toml",
    ),
)
INPUT = (
    Key("channels", COUNT, "Channels of an image; 3 by default. 1 makes colour pictures grey.", 3),
    Key("input_size", SIZE, "Pixels: a number for a square, or [rows, columns]. 224 by default.", 224),
    Key(
        "fit",
        one_of(get_args(Fit)),
        "How pictures of another size are fitted: crop (the default), resize, which loses their aspect, or pad.",
        "crop",
    ),
    Key(
        "crop_fraction",
        FRACTION,
        "With crop: the part of the scaled picture's shorter side that is kept. Scaled to 256 and cropped to 224 is "
        "0.875, the default.",
        0.875,
    ),
    Key("interpolation", one_of(get_args(Interpolation)), "How they are scaled; bicubic by default.", "bicubic"),
    Key(
        "window",
        RANGE,
        "Values in a picture's file that become 0 and 1. By default the whole range of its type, as 0 to 65535.",
        [0, 4095],
    ),
    Key(
        "value_range",
        RANGE,
        "What 0 and 1 become before the mean is subtracted: [0, 1] by default; often [-1, 1] or [0, 255].",
        [0, 1],
    ),
    Key("channel_order", one_of(get_args(ChannelOrder)), "RGB, or BGR as OpenCV reads pictures.", "RGB"),
    Key("mean", NUMBERS, "Subtracted, in the units of value_range; none by default.", [0.485, 0.456, 0.406]),
    Key("std", NUMBERS, "Divided by, after that; none by default.", [0.229, 0.224, 0.225]),
    Key(
        "normalize",
        FUNCTION_NAME,
        "Instead of the four above, your own differentiable function from a batch in [0, 1] to what the module takes.",
        "models:normalize",
    ),
    Key(
        "loader",
        FUNCTION_NAME,
        "Your own function from a path to an image, a float tensor (channels, rows, columns) in [0, 1].",
        "models:read",
    ),
)
OUTPUT = (
    Key(
        "labels",
        LABELS,
        'The classes in the order of the outputs: a list; "imagenet"; a text file with a name a line; a JSON file; or '
        "the folder of training pictures, whose sorted subfolders are the classes.",
        ["cat", "dog"],
    ),
    Key(
        "head",
        one_of(get_args(Head)),
        "What makes outputs probabilities: softmax (the default); sigmoid, each class by itself; single-logit, one "
        "output that speaks for the second of two classes; or none.",
        "softmax",
    ),
    Key(
        "output",
        PART,
        "Where the logits are if the module returns more: the key in a dict, the index in a tuple, or your own "
        'function, "module:function".',
        "logits",
    ),
)
SECTIONS = {"The network": NETWORK, "What it is fed": INPUT, "What it answers": OUTPUT}
FACTORY_OPTIONS = Key(
    "factory_options",
    OPTIONS,
    "Keyword arguments of the factory. This table stays last: what follows it belongs to it.",
    {"num_classes": 2},
)
KEYS = {key.name: key for key in (*NETWORK, *INPUT, *OUTPUT, FACTORY_OPTIONS)}


def check(key: str, value: Any) -> None:
    """Raise NetworkError if there is no such key, or it can't have that value."""
    if key not in KEYS:
        raise NetworkError(f"unknown key {key!r}; {nearest(key, KEYS)}")
    kind = KEYS[key].kind
    if not kind.accepts(value):
        near = f"; {nearest(value, kind.choices)}" if kind.choices and isinstance(value, str) else ""
        shown = repr(value) if len(repr(value)) <= SHOWN else f"{repr(value)[:SHOWN]}…"
        raise NetworkError(f"{key} = {shown}; expected {kind.expected}{near}")
