"""Draws the pictures of `docs/what-units-answer-to.md`: `python -m docs.pictures.what_units_answer_to`.

The scan is of pieces of the bundled photographs, some 200: few, and of few things, but everybody has them.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import convscope as cs
from convscope.image.bundled import PHOTOGRAPHS
from convscope.image.write import to_picture

HERE = Path(__file__).parent
PIECE = 150
MOST = 4


def cut(folder: Path) -> None:
    """Pieces of all bundled photographs, side by side, each about 150 pixels wide and high or more."""
    for name in PHOTOGRAPHS:
        photograph = cs.read_image(name)
        height, width = photograph.shape[-2:]
        rows, columns = (min(MOST, max(1, side // PIECE)) for side in (height, width))
        for row in range(rows):
            for column in range(columns):
                top, bottom = (height * each // rows for each in (row, row + 1))
                left, right = (width * each // columns for each in (column, column + 1))
                to_picture(photograph[:, top:bottom, left:right]).save(folder / f"{name}-{row}-{column}.png")


def main() -> None:
    network = cs.load("efficientnet-lite0")
    with TemporaryDirectory() as folder:
        pieces = Path(folder) / "pieces"
        pieces.mkdir()
        cut(pieces)
        layers = ["stem.norm", "blocks.2", "blocks.4", "head.norm"]
        scan = cs.scan(network, pieces, layers=layers, out=Path(folder) / "pieces.scan", engine="torch", workers=0)
        cs.layer_plate(scan, channels=5).save(HERE / "layer-plate.png")
        scan.top_patches("blocks.4", projections=["guided", "deconvnet"], order="selective", limit=3).save(
            HERE / "top-patches.png"
        )


if __name__ == "__main__":
    main()
