"""Draws the picture of `docs/hog.md`: `python -m docs.pictures.hog`, some minutes."""

from pathlib import Path

import convscope as cs

HERE = Path(__file__).parent


def main() -> None:
    image, start = (cs.read_image(name, 120, channels=1) for name in ("chelsea", "coffee"))
    twin = cs.hog_twin(image, start=start)
    twin.save(HERE / "hog-twin.png")


if __name__ == "__main__":
    main()
