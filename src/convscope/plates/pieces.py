"""Many pictures where there are only the bundled ones: pieces of them, so that there is something to rank."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from convscope.image.bundled import PHOTOGRAPHS
from convscope.image.read import read_image
from convscope.image.write import atomic_path, to_picture
from convscope.network.network import Network
from convscope.plates.patch_plates import layer_plate
from convscope.progress import Watcher
from convscope.render.result import Pictured
from convscope.scanning.scan import scan

_PIECE = 150
_MOST = 4
_QUESTION = "coffee"


def write_pieces(folder: Path, photographs: Sequence[str] = PHOTOGRAPHS) -> list[Path]:
    """Pieces of bundled photographs as PNG, side by side, each 150 pixels wide and high or more: some 170 in all.

    Each photograph's are in a folder of its name. Those that are there already stay.
    """
    written = []
    for name in photographs:
        photograph = read_image(name)
        height, width = photograph.shape[-2:]
        rows, columns = (min(_MOST, max(1, side // _PIECE)) for side in (height, width))
        for row in range(rows):
            for column in range(columns):
                path = folder / name / f"{row}-{column}.png"
                if not path.exists():
                    top, bottom = (height * each // rows for each in (row, row + 1))
                    left, right = (width * each // columns for each in (column, column + 1))
                    _write(path, to_picture(photograph[:, top:bottom, left:right]))
                written.append(path)
    return written


def _write(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary)


def look_at_pieces(
    network: Network, folder: Path, *, progress: Watcher | None = None
) -> Iterator[tuple[str, Pictured]]:
    """Scan pieces of the bundled photographs into `folder`, and what there is to see in them, by name.

    Raises MissingExtra where the extra `scan` is not installed.
    """
    write_pieces(folder / "pieces")
    made = scan(network, folder / "pieces", out=folder / "pieces.scan", progress=progress)
    yield "patches", layer_plate(made, channels=5)
    yield "map", made.map("t-sne", layout="grid", colour=None)
    yield "neighbours", made.neighbours(_QUESTION)
