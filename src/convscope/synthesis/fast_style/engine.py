"""The fastest way to run a style network: ONNX Runtime on a processor where it is installed, else torch."""

import copy
import warnings
from collections.abc import MutableMapping
from typing import Any, Protocol, get_args
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from convscope.errors import MissingExtra, NetworkError, nearest
from convscope.network.engine import EngineName
from convscope.network.onnx_engine import is_installed
from convscope.synthesis.fast_style.loading import State, state_of
from convscope.synthesis.fast_style.onnx_file import onnx_model
from convscope.synthesis.fast_style.style_network import MULTIPLE, SMALLEST, StyleNetwork

_AGREES = 1e-3
# Memory that smaller pictures took is kept for the next: taking it anew costs a twentieth of the time.
_KEPT_PIXELS = 2**20


class StyleEngine(Protocol):
    """Runs a style network on images of any size. `name` stands in recipes."""

    name: str
    bytes_a_pixel: int
    """About how much memory it needs."""

    def __call__(self, images: Tensor, mix: Tensor) -> Tensor:
        """Images `(N, 3, H, W)` in [0, 1] in that mix of styles `(1, styles)`, of the same size."""
        ...


class TorchStyles:
    """Torch itself, wherever the network is."""

    def __init__(self, network: StyleNetwork) -> None:
        self.name = f"torch {torch.__version__}"
        # At most, of widths from 8 to 32 and pictures from 0.8 to 12 megapixels.
        self.bytes_a_pixel = 128 + 32 * network.architecture.width
        # What trains counts statistics of what it sees; a picture of it mustn't.
        self._network = copy.deepcopy(network).eval() if network.training else network

    def __call__(self, images: Tensor, mix: Tensor) -> Tensor:
        weight = next(self._network.parameters())
        with torch.no_grad():
            given, shares = images.to(weight), mix.to(weight).expand(len(images), -1)
            made: Tensor = self._network(_enlarged(given), shares)
        return made[..., : images.shape[-2], : images.shape[-1]].to(images)


class OnnxStyles:
    """ONNX Runtime on a processor; one session for all sizes and styles."""

    def __init__(self, network: StyleNetwork) -> None:
        if not is_installed():
            raise MissingExtra("ONNX Runtime", extra="onnx")
        if not _on_processor(network):
            raise NetworkError("ONNX Runtime is used on a processor and in float32; use engine='torch'")
        import onnxruntime

        self.name = f"onnxruntime {onnxruntime.__version__}"
        # As above; narrow networks are run as if they were of 16.
        self.bytes_a_pixel = 320 + 16 * network.architecture.width
        self._session, self._returning = _session(onnx_model(network))
        self._check(network)

    def __call__(self, images: Tensor, mix: Tensor) -> Tensor:
        given = {"image": images, "mix": mix}
        feeds = {name: each.detach().cpu().float().contiguous().numpy() for name, each in given.items()}
        large = len(images) * images.shape[-2] * images.shape[-1] > _KEPT_PIXELS
        (made,) = self._session.run(None, feeds, self._returning if large else None)
        return torch.from_numpy(made).to(images)

    def _check(self, network: StyleNetwork) -> None:
        image = torch.linspace(0, 1, 3 * 18 * 21).view(1, 3, 18, 21)
        mix = torch.full((1, len(network.styles)), 1 / len(network.styles))
        if not torch.allclose(TorchStyles(network)(image, mix), self(image, mix), rtol=0, atol=_AGREES):
            raise NetworkError("ONNX Runtime gives another result than torch")


_sessions: MutableMapping[StyleNetwork, tuple[tuple[State, int], OnnxStyles]] = WeakKeyDictionary()


def engine_for(network: StyleNetwork, prefer: EngineName = "auto") -> StyleEngine:
    """The engine that runs a network as it now is.

    Raises NetworkError and MissingExtra where "onnx" was asked for and can't be had.
    """
    if prefer not in get_args(EngineName):
        raise NetworkError(f"unknown engine {prefer!r}; {nearest(str(prefer), get_args(EngineName))}")
    if prefer == "torch" or (prefer == "auto" and not (is_installed() and _on_processor(network))):
        return TorchStyles(network)
    key = state_of(network), torch.get_num_threads()
    known = _sessions.get(network)
    if known is None or known[0] != key:
        try:
            known = _sessions[network] = key, OnnxStyles(network)
        except NetworkError as error:
            if prefer == "onnx":
                raise
            warnings.warn(f"{error}; torch runs it", RuntimeWarning, stacklevel=2)
            return TorchStyles(network)
    return known[1]


def _session(model: bytes) -> tuple[Any, Any]:
    """A session, and the options of a run after which it gives its memory back."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    returning = onnxruntime.RunOptions()
    returning.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]), returning


def _on_processor(network: StyleNetwork) -> bool:
    return all(each.device.type == "cpu" and each.dtype == torch.float32 for each in network.parameters())


def _enlarged(images: Tensor) -> Tensor:
    """With the last row and column repeated until the network takes their size."""
    below, right = (max(SMALLEST, -(-side // MULTIPLE) * MULTIPLE) - side for side in images.shape[-2:])
    return F.pad(images, (0, right, 0, below), mode="replicate") if below or right else images
