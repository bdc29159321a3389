"""The photographs that scikit-image and scikit-learn ship, by name."""

from importlib.util import find_spec
from pathlib import Path

from convscope.errors import ImageError, MissingExtra, nearest

_SKIMAGE = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}
_SKLEARN = {"china": "china.jpg", "flower": "flower.jpg"}

_PLACES = {name: ("skimage", "data", file) for name, file in _SKIMAGE.items()} | {
    name: ("sklearn", "datasets/images", file) for name, file in _SKLEARN.items()
}

PHOTOGRAPHS: tuple[str, ...] = tuple(sorted(_PLACES))
"""The names `read_image` knows without a file."""


def photograph(name: str) -> Path:
    """The file of the bundled photograph `name`, one of `PHOTOGRAPHS`. Imports neither package.

    Raises MissingExtra if the package that ships it is not installed, ImageError for any other name.

    >>> photograph("chelsea").name
    'chelsea.png'
    """
    if name not in _PLACES:
        raise ImageError(f"no bundled photograph {name!r}; {nearest(name, PHOTOGRAPHS)}")
    package, folder, file = _PLACES[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(f"the bundled photograph {name!r}", extra="photos")
    path = Path(spec.origin).parent / folder / file
    if not path.is_file():
        raise ImageError(f"the installed {package} has no {file}: upgrade it to read the bundled photograph {name!r}")
    return path
