"""ONNX Runtime as an engine: a part of a graph exported once, kept in the cache, and run on a processor."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convscope import __version__
from convscope.errors import MissingExtra, NetworkError
from convscope.image.write import atomic_path
from convscope.network.cache import cache_folder
from convscope.network.engine import Part
from convscope.network.graph import resolved
from convscope.network.ops import name_of
from convscope.network.trace import Ref, leaves_of, map_leaves, tensors_in

_AGREES = 1e-4
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def is_installed() -> bool:
    """Whether the extra `onnx` is there."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class OnnxEngine:
    """Runs a part of a graph by ONNX Runtime, for batches of any size on a processor, in float32.

    `example` holds the values of the part's given nodes for one image. Unless it runs `alone`, its threads sleep where
    they have to wait.

    Raises
    ------
    MissingExtra
        The extra `onnx` is not installed.
    NetworkError
        The part can't be exported, or gives another result than torch does: by more than 1e-4 of its largest value.
    """

    def __init__(self, part: Part, example: tuple[Tensor, ...], *, alone: bool = True) -> None:
        if not is_installed():
            raise MissingExtra("ONNX Runtime", extra="onnx")
        if any(each.device.type != "cpu" or each.dtype != torch.float32 for each in example):
            raise NetworkError("ONNX Runtime is used on a processor and in float32; use engine='torch'")
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__}"
        self._part = part
        self._session = _session(part, example, alone)
        self._names = [each.name for each in self._session.get_inputs()]
        self._check(example)

    def __call__(self, *given: Tensor) -> tuple[Any, dict[str, Tensor]]:
        feeds = {name: each.contiguous().numpy() for name, each in zip(self._names, given, strict=True)}
        results = iter([torch.from_numpy(each) for each in self._session.run(None, feeds)])
        graph, batch = self._part.graph, len(given[0])
        kept = {name: next(results) for name in self._part.keep}
        if not self._part.whole:
            return None, kept
        output = map_leaves(
            graph.output, lambda leaf: next(results) if isinstance(leaf, Ref) else resolved(leaf, [], batch)
        )
        return output, kept

    def _check(self, example: tuple[Tensor, ...]) -> None:
        doubled = tuple(torch.cat([each, each.flip(-1)]) for each in example)
        with torch.no_grad():
            expected = self._part.run(doubled, 2)
        for one, other in zip(_flat(self._part, expected), _flat(self._part, self(*doubled)), strict=True):
            if not torch.allclose(one, other, rtol=0, atol=_AGREES * float(one.abs().max()), equal_nan=True):
                raise NetworkError("ONNX Runtime gives another result than torch")


def _session(part: Part, example: tuple[Tensor, ...], alone: bool) -> Any:
    """A session of the export that is kept, or of a new one where there is none or it is damaged."""
    path = exported_path(part, example)
    if path.exists():
        with contextlib.suppress(Exception):  # whatever ONNX Runtime raises for a damaged file
            return _loaded(path, alone)
    _export(part, example, path)
    try:
        return _loaded(path, alone)
    except Exception as error:  # or for an operation that it lacks
        raise NetworkError(f"ONNX Runtime can't run the network ({_said(error)})") from error


def _loaded(path: Path, alone: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(alone)))
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _said(error: Exception) -> str:
    """The first line of what it says, of what it came of where it came of something; its name if it says nothing."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


def _flat(part: Part, returned: tuple[Any, dict[str, Tensor]]) -> Iterator[Tensor]:
    """The layers in the order in which they were asked for, and the tensors of the output."""
    output, kept = returned
    yield from (kept[name] for name in part.keep)
    yield from tensors_in(output)


class _Exported(nn.Module):
    """A part of a graph as a module that returns a flat list of tensors."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given: Tensor) -> list[Tensor]:
        return list(_flat(self.part, self.part.run(given, given[0].shape[0])))


def exported_path(part: Part, example: tuple[Tensor, ...]) -> Path:
    """Where the export of a part is kept: by its calls, its weights, the shapes of its input, the versions."""
    digest = hashlib.sha256()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", *_PACKAGES)]
    digest.update(f"convscope {__version__} {versions} {[tuple(each.shape[1:]) for each in example]}".encode())
    digest.update(f"{part.given} {part.keep} {part.whole} {part.graph.output}".encode())
    for index in part.graph.order(part.given, part.keep, whole=part.whole):
        node = part.graph.nodes[index]
        if index in part.given:
            continue
        digest.update(f"{index} {name_of(node.function)} {map_leaves((node.args, node.kwargs), _described)}".encode())
        constants = [node.value] if part.graph.constant[index] else leaves_of((node.args, node.kwargs))
        for tensor in tensors_in(constants):
            digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return cache_folder() / "onnx" / f"{digest.hexdigest()}.onnx"


def _described(leaf: Any) -> Any:
    return (tuple(leaf.shape), leaf.dtype) if isinstance(leaf, Tensor) else leaf


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Exporters print, warn and log on their way."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _export(part: Part, example: tuple[Tensor, ...], path: Path) -> None:
    doubled = tuple(torch.cat([each, each]) for each in example)
    batch = {0: torch.export.Dim.DYNAMIC}
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                _Exported(part).eval(), doubled, dynamo=True, verbose=False, dynamic_shapes=((batch,) * len(doubled),)
            )
            assert program is not None
            with atomic_path(path) as temporary:
                program.save(temporary)
    except Exception as error:  # whatever exporters raise for what they can't export
        raise NetworkError(f"the network can't be exported to ONNX ({_said(error)})") from error
