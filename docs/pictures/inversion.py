"""Draws the pictures of `docs/inversion.md`: `python -m docs.pictures.inversion`, some ten minutes on two cores."""

from pathlib import Path
from typing import Any

import convscope as cs
from convscope.plates.inversions import identified, inversions
from convscope.plates.sheet import sheet
from convscope.render.result import Pictured

HERE = Path(__file__).parent
NAMES = ("chelsea", "coffee", "astronaut", "rocket")


def main() -> None:
    network = cs.load("efficientnet-lite0")
    cat, cup = network.read("chelsea"), network.read("coffee")
    _save(inversions(network, cat), "inversions.png", cell=160)
    prior: dict[str, Any] = {"layer": "blocks.10", "preset": "exact", "steps": 100}
    _save(
        sheet("invert", network, cup, grid={"tv.weight": [0, 10, 100, 1000]}, **prior), "inversion-prior.png", cell=160
    )
    photographs = [network.read(name) for name in NAMES]
    _save(identified(network, photographs, judge=cs.load("efficientnet-lite1"), steps=200), "identified.png", cell=128)


def _save(result: Pictured, name: str, **options: object) -> None:
    result.save(HERE / name, **options)


if __name__ == "__main__":
    main()
