"""`convscope networks --new`: a commented net.toml from flags, or after a few questions."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer

from convscope.cli.options import say
from convscope.errors import ConvscopeError, NetworkError

# These name files, or may: typed relative to the working folder, kept relative to the net.toml.
_PATHS = ("weights", "labels")
_QUESTIONS = {
    "factory": "Your function that returns the nn.Module, as package.module:function",
    "factory_options": "Its arguments, as num_classes=2, pretrained=false",
    "weights": "File of trained weights",
    "channels": "Channels of an image [3]",
    "input_size": "Input size in pixels, as 224 or 224x160 [224]",
    "mean": 'Mean, a number a channel; or "imagenet" for its mean and std',
    "std": "Standard deviation, a number a channel",
    "value_range": "What 0 and 1 become before that: 0,1 or -1,1 or 0,255 [0,1]",
    "labels": "Labels: a, b, c; a file; a folder of training pictures; imagenet",
    "head": "Head: softmax, sigmoid, single-logit or none [softmax]",
}
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def ask(path: Path) -> dict[str, Any]:
    """The answers of the person at the terminal; an empty one leaves a key out, a wrong one is asked again."""
    say(f"A few questions for {path}; Enter leaves one out. The file explains itself, and can be changed by hand.")
    values: dict[str, Any] = {}
    for key, question in _QUESTIONS.items():
        if key not in values:
            values |= _answer(key, question, path)
    return values


def _answer(key: str, question: str, path: Path) -> dict[str, Any]:
    while True:
        text = typer.prompt(question, default="", show_default=False, err=True).strip()
        if not text:
            return {}
        try:
            return parse({key: text}, path)
        except NetworkError as error:
            say(str(error))


def parse(texts: Mapping[str, str | None], path: Path) -> dict[str, Any]:
    """Values for the net.toml at `path` from what was typed. Raises NetworkError for what is none."""
    from convscope.network.zoo.toml_keys import check

    values: dict[str, Any] = {}
    for key, text in texts.items():
        if text is None:
            continue
        if (key, text) == ("mean", "imagenet"):
            values |= _IMAGENET
            continue
        values[key] = _beside(path, _value(key, text)) if key in _PATHS else _value(key, text)
        check(key, values[key])
    return values


def check_target(path: Path, *, force: bool) -> None:
    """Raise NetworkError if `path` is there already, or not called as such files are."""
    if path.suffix.lower() != ".toml":
        raise NetworkError(f"got {str(path)!r}; expected a name ending in .toml, by which convscope knows such files")
    if path.exists() and not force:
        raise NetworkError(f"{path} is there already; name another file, or overwrite it with --force")


def write_new(path: Path, values: Mapping[str, Any]) -> None:
    """Write the file, and say whether the network loads by it."""
    from convscope.image.write import atomic_path
    from convscope.network.zoo import load
    from convscope.network.zoo.toml_template import template

    with atomic_path(path) as temporary:
        temporary.write_text(template(values, file=path.name), encoding="utf-8")
    typer.echo(str(path))
    if not {"factory", "network", "weights"} & values.keys():
        say(f"Set factory or network in it, then: convscope anatomy --network {path}")
        return
    try:
        network = load(path, on_line=say)
    except ConvscopeError as error:
        say(f"It doesn't load yet: {' '.join(str(error).split())}")
    else:
        say(f"It loads: {network!r}, {network.classes} classes. Try: convscope predict IMAGE --network {path}")


def _value(key: str, text: str) -> Any:
    """What was typed, as the value of a key: a number, several, text, or `name=value` pairs.

    >>> _value("input_size", "224x160"), _value("mean", "0.5 0.5 0.5"), _value("labels", "cat, dog")
    ([224, 160], [0.5, 0.5, 0.5], ['cat', 'dog'])
    >>> _value("factory_options", "num_classes=2, norm=batch")
    {'num_classes': 2, 'norm': 'batch'}
    """
    if key == "factory_options":
        pairs = (pair.partition("=") for pair in text.split(","))
        return {name.strip(): _scalar(value) for name, _, value in pairs}
    if key in ("channels", "input_size", "crop_fraction", "output"):
        return _several(text.lower().replace("×", "x").split("x")) if key == "input_size" else _scalar(text)
    if key in ("mean", "std", "value_range", "window"):
        return [_scalar(part) for part in text.strip("[]()").replace(",", " ").split()]
    if key == "labels" and "," in text:
        return [part.strip() for part in text.split(",")]
    return text


def _several(parts: Iterable[str]) -> Any:
    values = [_scalar(part) for part in parts]
    return values[0] if len(values) == 1 else values


def _scalar(text: str) -> Any:
    """A value as TOML would read it; any other is text."""
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _beside(path: Path, value: Any) -> Any:
    """A path from the working folder as one from the folder of `path`; any other value as it is."""
    if not isinstance(value, str) or not Path(value).exists():
        return value
    return Path(os.path.relpath(value, path.parent)).as_posix()
