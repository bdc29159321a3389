"""Training a network to stylize in one forward pass."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from convscope import __version__
from convscope.errors import Cancelled, ImageError, NetworkError, WeightsError
from convscope.image.check import check_image
from convscope.image.provenance import recall
from convscope.image.recipe import JSON, Recipe
from convscope.image.sources import SourceLike, open_source
from convscope.image.write import check_place
from convscope.network.network import Network
from convscope.progress import Steps, Watcher
from convscope.render.curves import Curve, curves
from convscope.render.result import Pictured
from convscope.synthesis.fast_style.course import Course, Pace
from convscope.synthesis.fast_style.crops import Crops
from convscope.synthesis.fast_style.files import read_network, write_network
from convscope.synthesis.fast_style.losses import PerceptualLoss, Weights
from convscope.synthesis.fast_style.scalars import Scalars
from convscope.synthesis.fast_style.sharing import Sharing
from convscope.synthesis.fast_style.style_network import MULTIPLE, SMALLEST, Architecture, StyleNetwork
from convscope.synthesis.objectives.statistics import STATISTICS
from convscope.synthesis.optimizers import SCHEDULES, Schedule
from convscope.synthesis.parts import part, text_of
from convscope.synthesis.style_options import LayersLike, known, layer_weights

VGG_LAYERS = {"content": ("relu3_3",), "style": ("relu1_2", "relu2_2", "relu3_3", "relu4_3")}
"""Those of Johnson, Alahi and Fei-Fei (2016)."""

# Of the lines in the picture, so many points at most: each the mean of its steps.
_POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Training(Pictured):
    """A trained `network`, and the terms of the loss at each step by name, `(steps,)` each, without their weights."""

    network: StyleNetwork
    curves: Mapping[str, Tensor]
    recipe: Recipe

    def picture(self, *, height: int = 300, width: int = 480) -> Image.Image:
        """How content and style were learned."""
        lines = [Curve(f"{name} error", *_smoothed(self.curves[name])) for name in ("content", "style")]
        return curves(lines, x_label="steps", y_label="relative error", size=(height, width))


def train_style(
    network: Network,
    styles: Mapping[str, Tensor],
    photographs: SourceLike,
    out: str | os.PathLike[str],
    *,
    add_to: str | os.PathLike[str] | None = None,
    width: int | None = None,
    blocks: int | None = None,
    kernel: int | None = None,
    norm: str | None = None,
    content_weight: float = 1.0,
    style_weight: float = 5.0,
    tv: float = 1.0,
    content_layers: LayersLike | None = None,
    style_layers: LayersLike | None = None,
    statistics: str = "gram",
    size: int = 256,
    batch: int = 4,
    steps: int = 40_000,
    rate: float = 1e-3,
    schedule: str | Schedule = "constant",
    seed: int = 0,
    save_every: int = 100,
    log: str | os.PathLike[str] | None = None,
    progress: Watcher | None = None,
) -> Training:
    """A network that does in one forward pass what `style` does step by step (Johnson, Alahi and Fei-Fei 2016).

        argmin over θ of the mean over photographs x and styles s of
            content_weight · ‖a(f(x, s)) − a(x)‖² / ‖a(x)‖² + style_weight · Σ ‖G(f(x, s)) − G_s‖² / ‖G_s‖² + tv · TV

    f is a `StyleNetwork`: all styles share its convolutions, and each has its own γ and β in the normalizations
    (Dumoulin, Shlens and Kudlur 2017). The weights mean what they mean to `style`.

    While it is trained there is a checkpoint beside `out`, NAME.checkpoint.safetensors, that `stylize` reads, too.
    Called again with the same settings after a stop, it goes on from there, and ends with the same weights: on one
    process and machine, to the bit. Started by `torchrun`, all processes share each batch.

    Parameters
    ----------
    network
        What is to judge the likeness, such as `load("vgg16-hed")`.
    styles
        Images `(3, h, w)` in [0, 1] by the names that the styles shall have, at the size at which their strokes are to
        be learned: beside photographs of `size` pixels.
    photographs
        Any source of `open_source`, such as a folder: thousands for the best, a few hundred will do.
    out
        A `.safetensors` file, not there yet.
    add_to
        A trained network to which the styles are added: only their γ and β are learned, and it stays as it is for the
        styles that it had.
    width, blocks, kernel, norm
        Of the network, see `Architecture`; by default 32, 5, 9 and "instance". "batch" is what Johnson had first, and
        learns more slowly (Ulyanov, Vedaldi and Lempitsky 2016).
    content_layers, style_layers
        Names, or weights by name; by default `VGG_LAYERS` where the network has them, else those of `style`.
    statistics
        As for `style`.
    size
        Of the square crops that are learned from, a multiple of 4.
    batch, steps, rate, schedule
        Of Adam; number n of all crops is stylized in style n modulo their number.
    save_every
        Steps from one checkpoint to the next.
    log
        A folder for TensorBoard's logs, which need the extra `tensorboard`.
    progress
        Called after each step, at checkpoints with one photograph in each style `(styles, 3, size, size)`; returning
        False stops after a checkpoint.

    Raises
    ------
    WeightsError
        `out` is there already, or its checkpoint is one of another training; nothing is lost.
    StepFailed, Cancelled, ImageError, LayerError, NetworkError, PartError, MissingExtra

    >>> import tempfile
    >>> import convscope as cs
    >>> net, cat = cs.load("efficientnet-lite0"), cs.read_image("chelsea", 64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = train_style(net, {"cat": cat}, ["coffee"], f"{folder}/cat.safetensors", width=4, size=64, steps=2)
    >>> made.network.styles
    ('cat',)
    """
    out, sharing = Path(out), Sharing()
    _check(network, styles, out, {"size": size, "batch": batch, "steps": steps, "save_every": save_every}, rate)
    changed: dict[str, Any] = {"width": width, "blocks": blocks, "kernel": kernel, "norm": norm}
    architecture = Architecture(**{name: value for name, value in changed.items() if value is not None})
    base = None if add_to is None else _base(Path(add_to), styles, changed)
    weights = Weights(
        content_layers=layer_weights(network, "content", _usual(network, "content", content_layers)),
        style_layers=layer_weights(network, "style", _usual(network, "style", style_layers)),
        content=content_weight, style=style_weight, tv=tv,
    )  # fmt: skip
    rates = part(schedule, SCHEDULES, "schedule")
    source = open_source(photographs)
    settings: dict[str, JSON] = {
        "content_weight": content_weight, "style_weight": style_weight, "tv": tv,
        "content_layers": dict(weights.content_layers), "style_layers": dict(weights.style_layers),
        "statistics": known(statistics, STATISTICS, "statistics"), "size": size, "batch": batch,
        "steps": steps, "rate": rate, "schedule": text_of(rates, SCHEDULES), "seed": seed,
        "add_to": None if add_to is None else Path(add_to).name, "network": network.name,
        "weights": network.weights_sha256, "images": [asdict(recall(each)) for each in styles.values()],
        "photographs": len(source.entries()), "version": __version__,
    }  # fmt: skip
    with torch.inference_mode(False):
        learner = _learner(base, list(styles), architecture, seed).to(network.device)
        sharing.check(learner, batch)
        loss = PerceptualLoss(network, weights, list(styles.values()), size, statistics=statistics)
        pace = Pace(steps=steps, batch=batch, rate=rate, schedule=rates)
        course = Course(learner, loss, Crops(source, size, seed), pace, sharing)
        _run(course, out.with_suffix(".checkpoint.safetensors"), settings, save_every, sharing, log, progress)
    finished = learner.eval() if base is None else base.joined(learner)
    if sharing.leads:
        write_network(out, finished, training=settings)
        out.with_suffix(".checkpoint.safetensors").unlink(missing_ok=True)
    recipe = network.recipe("train_style", settings, images=list(styles.values()), seed=seed)
    return Training(network=finished, curves=course.curves, recipe=recipe)


def _run(
    course: Course,
    checkpoint: Path,
    settings: Mapping[str, JSON],
    save_every: int,
    sharing: Sharing,
    log: str | os.PathLike[str] | None,
    progress: Watcher | None,
) -> None:
    """All steps that are left, with checkpoints on the way and when it is stopped."""
    if checkpoint.exists():
        course.resume(checkpoint, settings)
    steps = Steps(course.steps - course.step, progress)
    with Scalars(log if sharing.leads else None) as scalars:
        try:
            for done in course.run():
                scalars.add(done, course.last)
                due = done % save_every == 0 and done < course.steps
                if due and sharing.leads:
                    course.save(checkpoint, settings)
                steps.done(preview=course.preview() if due or done == course.steps else None)
        except (Cancelled, KeyboardInterrupt):
            if sharing.leads and course.whole:
                course.save(checkpoint, settings)
            raise


def _check(network: Network, styles: Mapping[str, Tensor], out: Path, counts: Mapping[str, int], rate: float) -> None:
    if network.channels != 3:
        raise NetworkError(f"{network.name} takes {network.channels} channels; expected 3, as pictures have")
    if not styles:
        raise ImageError("got no style; give one image or more by name")
    for name, image in styles.items():
        check_image(image, channels=3)
        if image.dim() != 3 or not image.isfinite().all():
            raise ImageError(f"style {name!r} has shape {tuple(image.shape)}; expected one image (3, H, W) of numbers")
    if out.suffix != ".safetensors":
        raise WeightsError(f"can't write {str(out)!r}: networks are written as safetensors; name it .safetensors")
    check_place(out)
    if out.exists():
        raise WeightsError(f"{out} is there already; give the new network another name, or remove the old")
    for name, value in counts.items():
        if value < 1:
            raise ImageError(f"got {name}={value}, expected 1 or more")
    if counts["size"] % MULTIPLE or counts["size"] < SMALLEST:
        raise ImageError(f"got size={counts['size']}, expected a multiple of {MULTIPLE} from {SMALLEST} on")
    if not 0 < rate < float("inf"):
        raise ImageError(f"got rate={rate}, expected more than 0, such as 0.001")


def _base(path: Path, styles: Mapping[str, Tensor], changed: Mapping[str, Any]) -> StyleNetwork:
    """The network that styles are added to."""
    base, _, _ = read_network(path)
    if twice := [name for name in styles if name in base.styles]:
        raise WeightsError(f"{path.name} has a style {twice[0]!r} already; give the new one another name")
    for name, value in changed.items():
        if value is not None and value != getattr(base.architecture, name):
            raise WeightsError(
                f"{path.name} has {name} {getattr(base.architecture, name)}, got {value}: "
                "a style is added to a network as it is; leave that out"
            )
    return base


def _learner(base: StyleNetwork | None, styles: list[str], architecture: Architecture, seed: int) -> StyleNetwork:
    """What is trained: a new network, or another's with only new γ and β to learn."""
    if base is not None:
        return base.with_styles(styles)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StyleNetwork(styles, architecture)


def _usual(network: Network, of: str, given: LayersLike | None) -> LayersLike | None:
    has_them = all(name in network.layers for name in VGG_LAYERS[of])
    return VGG_LAYERS[of] if given is None and has_them else given


def _smoothed(values: Tensor) -> tuple[Tensor, Tensor]:
    """Steps, and the means of the values around them."""
    pieces = torch.arange(1, len(values) + 1).float().tensor_split(min(_POINTS, len(values)))
    means = values.tensor_split(min(_POINTS, len(values)))
    return torch.stack([each.mean() for each in pieces]), torch.stack([each.mean() for each in means])
