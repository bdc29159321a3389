"""Little scans that many tests look at: of photographs by a real network, of digits by one that is trained here."""

from pathlib import Path

import pytest
from PIL import Image
from tests.digits_network import digits_network

import convscope as cs
from convscope.image.bundled import photograph
from convscope.image.write import to_picture
from convscope.scanning.scan import scan
from convscope.scanning.stored import Scan

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "flower", "motorcycle", "rocket")


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundled photographs and parts of them: 24 pictures in six folders that name them."""
    folder = tmp_path_factory.mktemp("crops")
    for name in PHOTOGRAPHS:
        with Image.open(photograph(name)) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((480, 480))
        width, height = picture.size
        parts = {"whole": picture, "left": picture.crop((0, 0, width // 2, height))}
        parts |= {
            "right": picture.crop((width // 2, 0, width, height)),
            "mirrored": picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        }
        (folder / name).mkdir()
        for part, each in parts.items():
            each.save(folder / name / f"{part}.jpg", quality=92)
    return folder


@pytest.fixture(scope="session")
def net() -> cs.Network:
    return cs.load("efficientnet-lite0")


@pytest.fixture(scope="session")
def photographs_scan(net: cs.Network, crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """EfficientNet-Lite0's answers to these, from an early layer to the last vector."""
    out = tmp_path_factory.mktemp("scans") / "photographs.scan"
    return scan(
        net, crops, layers=["blocks.0", "blocks.4", "head.activation", "flatten"], out=out, engine="torch", workers=0
    )


@pytest.fixture(scope="session")
def digits_scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A small network's answers to digits that it was not trained on, all labelled."""
    planted = digits_network()
    folder = tmp_path_factory.mktemp("digits")
    for at, (image, label) in enumerate(zip(planted.images, planted.labels.tolist(), strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        to_picture(image).save(folder / str(label) / f"{at:04}.png")
    out = tmp_path_factory.mktemp("scans") / "digits.scan"
    return scan(planted.network, folder, out=out, engine="torch", workers=0)
