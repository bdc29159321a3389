"""Draws the pictures of `docs/stylize.md`: `python -m docs.pictures.stylize`, some seconds."""

from pathlib import Path

from PIL import Image

import convscope as cs
from convscope.image.write import to_picture
from convscope.render.grid import grid

HERE = Path(__file__).parent
PHOTOGRAPHS, HEIGHT = ("astronaut", "chelsea", "coffee", "china", "motorcycle"), 200
BLENDED, STEPS = "chelsea", 5


def main() -> None:
    styles = cs.load_styles().styles
    photographs = [cs.read_image(each, 512) for each in PHOTOGRAPHS]
    shown = [to_picture(each) for each in photographs]
    shown += [to_picture(cs.stylize(each, style).image) for style in styles for each in photographs]
    _save("styles", grid([_cut(each) for each in shown], columns=len(PHOTOGRAPHS)))
    first, second = styles[0], styles[2]
    shares = [at / (STEPS - 1) for at in range(STEPS)]
    blended = [cs.stylize(photographs[1], {first: 1 - share, second: share}).image for share in shares]
    labels = [f"{first} {1 - share:.0%}, {second} {share:.0%}" for share in shares]
    _save("styles-blended", grid([_cut(to_picture(each)) for each in blended], labels=labels, columns=STEPS))


def _cut(picture: Image.Image) -> Image.Image:
    """The middle, as high as all others and square."""
    scaled = picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)
    left = (scaled.width - HEIGHT) // 2
    return scaled.crop((left, 0, left + HEIGHT, HEIGHT))


def _save(name: str, picture: Image.Image) -> None:
    """As JPEG: strokes and grain make large PNGs."""
    picture.convert("RGB").save(HERE / f"{name}.jpg", quality=88, optimize=True)


if __name__ == "__main__":
    main()
