"""Draws the pictures of `docs/what-units-answer-to.md`: `python -m docs.pictures.what_units_answer_to`.

The scan is of pieces of the bundled photographs, some 170: few, and of few things, but everybody has them.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import convscope as cs
from convscope.plates.pieces import write_pieces

HERE = Path(__file__).parent


def main() -> None:
    network = cs.load("efficientnet-lite0")
    with TemporaryDirectory() as folder:
        pieces = Path(folder) / "pieces"
        write_pieces(pieces)
        layers = ["stem.norm", "blocks.2", "blocks.4", "head.norm"]
        scan = cs.scan(network, pieces, layers=layers, out=Path(folder) / "pieces.scan", engine="torch", workers=0)
        cs.layer_plate(scan, channels=5).save(HERE / "layer-plate.png")
        scan.top_patches("blocks.4", projections=["guided", "deconvnet"], order="selective", limit=3).save(
            HERE / "top-patches.png"
        )


if __name__ == "__main__":
    main()
