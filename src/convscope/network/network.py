"""Network: a trained module together with how it is fed and what its outputs are called."""

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope import __version__
from convscope.errors import LayerError, NetworkError, TargetError
from convscope.image.check import check_image
from convscope.image.preparation import Preparation
from convscope.image.provenance import recall
from convscope.image.read import read_image
from convscope.image.recipe import JSON, Recipe
from convscope.image.resize import CROP_FRACTION, Fit, Interpolation, fit_image, place, unfit_map
from convscope.network.answers import Answers, Reader
from convscope.network.differentiation import image_gradient, layer_gradient
from convscope.network.graph import Graph
from convscope.network.heads import Head, Prediction, check_head
from convscope.network.layers import Layers
from convscope.network.normalization import ChannelOrder, Normalization
from convscope.network.passage import pair
from convscope.network.rules import Rule
from convscope.network.runner import Runnable, Runner
from convscope.network.target import GRAMMAR, Grammar, Mask, Target, TargetLike


class Network:
    """A trained module with its normalization, its input and its labels.

    The module is only read: what runs is a replica that shares its weights, in evaluation mode, without its hooks.
    Nothing is left behind on it, and calls may be made from several threads at once.

    Parameters
    ----------
    module
        Any `torch.nn.Module` that takes a batch `(N, C, H, W)`.
    input_size
        Rows and columns that `prepare` makes; an int for a square.
    mean, std, value_range, channel_order
        The module is fed `(x - mean) / std`, one number a channel, where x is the image in `channel_order` ("RGB" or
        "BGR") with its 0 and 1 brought to `value_range`.
    normalize
        Instead of these, any differentiable function from batches in [0, 1] to what the module is fed.
    labels
        The classes' names in the order of the outputs.
    channels
        Of an image; 1 makes colour pictures grey.
    fit, crop_fraction, interpolation
        How `prepare` brings a picture to `input_size`: "crop" scales it to cover `input_size / crop_fraction` and
        keeps the middle, "resize" loses its aspect, "pad" puts it on grey.
    window
        Values as a file stores them that become 0 and 1; by default the whole range of the file's type.
    loader
        `path → image`, instead of `read_image`.
    head
        What turns logits into probabilities: "softmax", "sigmoid" for each class by itself, "single-logit" for one
        output that is the logit of the second of two classes, or "none" where outputs are taken as they are.
    output
        Takes the tensor of logits out of what the module returns, where that is not plain.
    name
        What `load` found it by; recipes use it to load it again.

    >>> net = Network(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)), input_size=8)
    Traceback (most recent call last):
    convscope.errors.NetworkError: the module has lazy parameters; run it once on a batch, then wrap it
    >>> net = Network(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)), input_size=8)
    >>> net.logits(torch.zeros(3, 8, 8)).shape
    torch.Size([2])
    >>> list(net.layers)
    ['0', '1', '2', '3']
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        input_size: int | tuple[int, int] = (224, 224),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        channel_order: ChannelOrder = "RGB",
        labels: Sequence[str] | None = None,
        channels: int = 3,
        normalize: Callable[[Tensor], Tensor] | None = None,
        fit: Fit = "crop",
        crop_fraction: float = CROP_FRACTION,
        interpolation: Interpolation = "bicubic",
        window: tuple[float, float] | None = None,
        loader: Callable[[str], Tensor] | None = None,
        head: Head = "softmax",
        output: Callable[[Any], Tensor] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise NetworkError(f"got {type(module).__name__}, expected a torch.nn.Module")
        if any(nn.parameter.is_lazy(tensor) for tensor in module.parameters()):
            raise NetworkError("the module has lazy parameters; run it once on a batch, then wrap it")
        usual = Normalization.checked(mean, std, value_range, channel_order, channels=channels)
        if normalize is not None and usual != Normalization():
            raise NetworkError(
                "got normalize= beside mean=, std=, value_range= or channel_order=; give one or the other"
            )
        self.module = module
        self.input_size = pair(input_size)
        self.labels = tuple(labels) if labels is not None else None
        self.channels = channels
        self.normalize = normalize or usual
        self.fit: Fit = fit
        self.crop_fraction = crop_fraction
        self.interpolation: Interpolation = interpolation
        self.window = window
        self.loader = loader
        self.head = check_head(head)
        self.output = output
        self.name = name or type(module).__name__
        place(self.input_size, self.input_size, fit=fit, crop_fraction=crop_fraction)  # says what is wrong with them
        self._runner = Runner(module)
        self._fed_shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._checksum: tuple[object, str] | None = None

    def __repr__(self) -> str:
        rows, columns = self.input_size
        return f"Network({self.name!r}, {type(self.module).__name__}, input {self.channels}×{rows}×{columns})"

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made of the module at first need, and what can't be sent to another process."""
        return {name: value for name, value in vars(self).items() if name not in ("_runner", "_checksum")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _runner=Runner(state["module"]), _checksum=None)

    def with_module(self, module: nn.Module) -> "Network":
        """Another module looked at in the same way: fed, read and labelled as this one's is."""
        other = object.__new__(type(self))
        other.__setstate__({**self.__getstate__(), "module": module})
        return other

    # What it is

    @property
    def layers(self) -> Layers:
        """The layers for images of `input_size`, in the order of the graph."""
        return self._runnable((self.channels, *self.input_size)).layers

    def layers_for(self, image: Tensor) -> Layers:
        """The same for images of the size of this one, or of this batch's."""
        check_image(image, channels=self.channels)
        return self._runnable(tuple(image.shape[-3:])).layers

    @property
    def classes(self) -> int | None:
        """How many classes it tells apart; None where its output is maps without labels."""
        return self._classes(self._runnable((self.channels, *self.input_size)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how this network is seen, in plain words."""
        notes = []
        untraceable = self._runnable((self.channels, *self.input_size)).untraceable
        if untraceable:
            notes.append(
                f"the network can't be traced: {untraceable}. Its layers are its submodules; receptive fields and what "
                "else needs the graph are not available"
            )
        if self._runner.foreign_hooks:
            notes.append(f"hooks on the module are not run: {self._runner.foreign_hooks} found")
        return tuple(notes)

    @property
    def device(self) -> torch.device:
        """Where its weights are, and where images are moved to."""
        return self._like.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights, in which it runs."""
        return self._like.dtype

    @property
    def weights_sha256(self) -> str:
        """SHA-256 over names, types, shapes and values of the module's parameters and buffers, as they are now."""
        seen = self._runner.state()
        if self._checksum is None or self._checksum[0] != seen:
            state = {name: value for name, value in self.module.state_dict().items() if isinstance(value, Tensor)}
            digest = hashlib.sha256()
            for name, value in sorted(state.items()):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            self._checksum = seen, digest.hexdigest()
        return self._checksum[1]

    @property
    def feeding(self) -> dict[str, JSON]:
        """How images come to the module, as keyword arguments of `Network`; functions by their names."""
        if isinstance(self.normalize, Normalization):
            normalization = asdict(self.normalize)
        else:
            normalization = {"normalize": getattr(self.normalize, "__qualname__", type(self.normalize).__qualname__)}
        return {
            "input_size": self.input_size,
            "channels": self.channels,
            "fit": self.fit,
            "crop_fraction": self.crop_fraction,
            "interpolation": self.interpolation,
            "window": self.window,
            "head": self.head,
            **normalization,
        }

    # Images

    @property
    def preparation(self) -> Preparation:
        """How pictures are read and brought to the input, but for a `loader`."""
        return Preparation(
            input_size=self.input_size,
            channels=self.channels,
            fit=self.fit,
            crop_fraction=self.crop_fraction,
            interpolation=self.interpolation,
            window=self.window,
        )

    def open(self, path: str | Path, *, page: int = 0) -> Tensor:
        """The picture at `path` (or a bundled photograph's name), read as this network needs it; of its own size."""
        if self.loader is not None:
            return self.loader(str(path))
        return self.preparation.open(path, page=page)

    def read(self, path: str | Path, *, page: int = 0) -> Tensor:
        """The same brought to the input size: an image `(C, H, W)` ready to be looked at."""
        return self.prepare(self.open(path, page=page))

    def prepare(self, image: Tensor) -> Tensor:
        """An image or batch in [0, 1] of any size brought to the input size, as `fit` says.

        One that has the input size already is returned as it is.
        """
        return self.preparation.prepare(image)

    def to_original(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        """A map `(…, h, w)` of the input brought to `(…, H, W)`, the pixels of the picture of that `size` it came from.

        What `prepare` cropped away gets 0.
        """
        # `prepare` takes what has the input size already as it is.
        fit: Fit = "resize" if tuple(size) == self.input_size else self.fit
        return unfit_map(values, size, self.input_size, fit=fit, crop_fraction=self.crop_fraction)

    # Running it

    def logits(self, image: Tensor) -> Tensor:
        """The network's output before softmax or sigmoid: `(K,)` for an image, `(N, K)` for a batch.

        Where the output is maps, they follow: `(N, K, rows, columns)`. A single logit z is two: `(-z, z)`.
        """
        batch, single = self._batch(image)
        logits = self.answers(batch).logits
        return logits[0] if single else logits

    def score(self, image: Tensor, target: TargetLike) -> Tensor:
        """The value of a target: a number without dimensions for an image, `(N,)` for a batch."""
        batch, single = self._batch(image)
        asked = self.target(target, image)
        scores = self.answers(batch, [asked]).score(asked)
        return scores[0] if single else scores

    def feed(self, batch: Tensor) -> Tensor:
        """What the module is fed for a batch `(N, C, H, W)`; never the batch itself, which the module may write to."""
        own = batch.to(self.device, self.dtype)
        fed = self.normalize(own)
        return fed.clone() if fed is batch else fed

    def answers(self, batch: Tensor, targets: Sequence[Target] = ()) -> Answers:
        """All that these targets ask about a batch `(N, C, H, W)`, by one forward pass; without any, its output."""
        layers = tuple({layer: None for target in targets for layer in target.layers})
        whole = not targets or any(target.needs_output for target in targets)
        with torch.no_grad():
            return self._forward(batch, layers, whole)

    def predict(self, image: Tensor, top: int = 5) -> Any:
        """The `top` most probable classes, as a list of `Prediction`; for a batch, a list of such lists."""
        if self.classes is None:
            raise TargetError(f"{self.name} has no classes to predict: its output is maps; capture its layers instead")
        batch, single = self._batch(image)
        predictions = [self._predictions(row, top) for row in self.answers(batch).probabilities]
        return predictions[0] if single else predictions

    def capture(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of `layers`, by the names asked for: each `(C, H, W)` or `(C,)`, with the batch in front of it.

        Runs no further than the last of them.
        """
        batch, single = self._batch(image)
        known = self._runnable(tuple(batch.shape[1:])).layers
        wanted = {name: known[name].name for name in ([layers] if isinstance(layers, str) else layers)}
        with torch.no_grad():
            _, kept = self.run(batch, tuple(wanted.values()), whole=False)
        for name, own in wanted.items():
            if own not in kept:
                raise LayerError(
                    f"layer {name!r} is not run for this image: the network's path depends on what it sees"
                )
        return {name: kept[own][0] if single else kept[own] for name, own in wanted.items()}

    def gradient(
        self, image: Tensor, target: TargetLike, *, rule: Rule = "gradient", smooth: str | None = None
    ) -> Tensor:
        """The gradient of the target with respect to the image, in the image's shape and type.

        Parameters
        ----------
        target
            A label, `class:207`, `LAYER:CHANNEL@ROW,COLUMN`, … (see `Target`), a class's index, or a function from what
            the module returns (or `output` takes out of it) to one number an image.
        rule
            How rectifiers pass it back: "gradient", "guided" or "deconvnet" (see `convscope.network.rules`).
        smooth
            "positive" lets `guided` and `deconvnet` pass nonlinearities that are no rectifiers, keeping the positive
            part of what arrives and their ordinary derivative.

        Raises
        ------
        RuleMatchedNothing
            No rectifier lies between the image and the target.
        RuleError
            A nonlinearity lies there for which the rule is not defined.
        TargetError
            The target is not understood, or doesn't depend on the image.
        """
        batch, single = self._batch(image)
        gradient = image_gradient(self._forward, batch, self.target(target, image), rule=rule, smooth=smooth)
        return gradient[0] if single else gradient

    def layer_gradient(self, image: Tensor, target: TargetLike, layer: str) -> tuple[Tensor, Tensor]:
        """The activations of a layer and the gradient of the target with respect to them.

        Both `(C, H, W)` or `(C,)`, with the batch in front if there is one. Of a layer that is later overwritten they
        are those before.

        Raises
        ------
        LayerError
            There is no such layer, or the target doesn't depend on it.
        """
        batch, single = self._batch(image)
        runnable = self._runnable(tuple(batch.shape[1:]))
        name, copied = runnable.layers[layer].name, runnable.graph.writes
        pair_of = layer_gradient(self._forward, batch, self.target(target, image), name, copied=copied)
        return (pair_of[0][0], pair_of[1][0]) if single else pair_of

    def run(self, batch: Tensor, layers: Sequence[str] = (), *, whole: bool = True) -> tuple[Any, dict[str, Tensor]]:
        """What the module returns for a batch `(N, C, H, W)`, None unless `whole`, and these layers by their own names.

        Gradients flow if the batch requires them.
        """
        return self._runnable(tuple(batch.shape[1:])).graph.run(self.feed(batch), layers, whole=whole)

    def run_fed(self, fed: Tensor, layers: Sequence[str] = (), *, whole: bool = True) -> tuple[Any, dict[str, Tensor]]:
        """What the module returns for a batch as it is fed, None unless `whole`, and these layers; no gradients."""
        shape = tuple(fed.shape[1:])
        with torch.no_grad():
            return self._runner.at(shape, self._like).graph.run(fed, layers, whole=whole)

    def graph(self, shape: tuple[int, ...]) -> Graph | None:
        """The traced graph for images of this shape `(C, H, W)`; None where the network can't be traced."""
        graph = self._runnable(shape).graph
        return graph if isinstance(graph, Graph) else None

    def target(self, target: TargetLike, image: Tensor | None = None) -> Target:
        """The target that a text, a class's index or a function means for this network."""
        if isinstance(target, Target):
            return target
        if callable(target):
            return Target(f"<function {getattr(target, '__qualname__', type(target).__name__)}>", function=target)
        shape = (self.channels, *self.input_size) if image is None else tuple(image.shape[-3:])
        runnable = self._runnable(shape)
        grammar = Grammar(self.labels, runnable.layers, lambda: self._classes(runnable), self._read_mask)
        if isinstance(target, str):
            return grammar.parse(target)
        try:
            index = operator.index(target) if not isinstance(target, bool) else None
        except TypeError:
            index = None
        if index is None:
            got = type(target).__name__
            raise TargetError(f"got a target of type {got}; expected {GRAMMAR}, an index or a function")
        return grammar.of_class(index)

    def recipe(
        self,
        method: str,
        parameters: Mapping[str, JSON],
        *,
        images: Sequence[Tensor] = (),
        batch: int | None = None,
        seed: int | None = None,
        engine: str | None = None,
    ) -> Recipe:
        """The recipe of a result that `method` makes with this network, by torch if no other `engine` is named."""
        return Recipe(
            method=method,
            parameters=parameters,
            network=self.name,
            weights=self.weights_sha256,
            feeding=self.feeding,
            inputs=tuple(recall(image) for image in images),
            engine=engine or f"torch {torch.__version__}",
            device=str(self.device),
            threads=torch.get_num_threads(),
            batch=batch,
            seed=seed,
            version=__version__,
        )

    # Inside

    @property
    def _like(self) -> Tensor:
        floating = (tensor for tensor in self.module.parameters() if tensor.is_floating_point())
        return next(floating, torch.zeros(()))

    def _batch(self, image: Tensor) -> tuple[Tensor, bool]:
        check_image(image, channels=self.channels)
        return (image[None], True) if image.dim() == 3 else (image, False)

    def _forward(self, batch: Tensor, layers: Sequence[str], whole: bool) -> Answers:
        output, kept = self.run(batch, layers, whole=whole)
        return Answers(output, kept, self.reader, len(batch))

    def _runnable(self, shape: tuple[int, ...]) -> Runnable:
        """What runs images of this shape."""
        if shape not in self._fed_shapes:
            self._fed_shapes[shape] = tuple(self.feed(torch.zeros(1, *shape)).shape[1:])
        return self._runner.at(self._fed_shapes[shape], self._like)

    def _classes(self, runnable: Runnable) -> int | None:
        shape = self.reader.logits(runnable.output).shape
        if len(shape) > 2 and self.labels is None:
            return None
        if self.labels is not None and len(self.labels) != shape[1]:
            raise NetworkError(f"got {len(self.labels)} labels for a network with {shape[1]} outputs")
        return shape[1]

    @property
    def reader(self) -> Reader:
        """How its output is read."""
        return Reader(self.head, self.output, self.name)

    def _read_mask(self, path: str) -> Mask:
        """A mask of a picture or of the prepared image, bright where it counts, as it lies on the input."""
        picture = mask = read_image(path)
        if tuple(mask.shape[-2:]) != self.input_size:
            mask = fit_image(mask, self.input_size, fit=self.fit, crop_fraction=self.crop_fraction)
        return Mask(picture, (mask.mean(dim=0) > 0.5).to(mask.dtype))

    def _predictions(self, probabilities: Tensor, top: int) -> list[Prediction]:
        values, indices = probabilities.topk(min(top, len(probabilities)))
        return [
            Prediction(self.labels[index] if self.labels else f"class {index}", index, value)
            for value, index in zip(values.tolist(), indices.tolist(), strict=True)
        ]
