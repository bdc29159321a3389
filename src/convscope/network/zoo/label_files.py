"""Labels as users keep them: a list, a text or JSON file, the folders of the training pictures."""

import json
from pathlib import Path
from typing import Any

from convscope.errors import NetworkError, nearest
from convscope.network.labels import imagenet_labels


def read_labels(given: Any, folder: Path) -> tuple[str, ...]:
    """The names in the order of the classes; paths are relative to `folder`.

    `given` is a list; a mapping from index to name or from name to index; "imagenet"; a JSON file of either; any
    other file, with a name a line; or a folder, whose subfolders in sorted order are the classes, as
    `torchvision.datasets.ImageFolder` numbers them.

    Raises
    ------
    NetworkError
        There is no such file, or it holds something else.

    >>> read_labels({"1": "dog", "0": "cat"}, Path())
    ('cat', 'dog')
    """
    if not isinstance(given, str):
        return _names(given, "labels")
    path = folder / given
    if given == "imagenet" and not path.exists():
        return imagenet_labels()
    try:
        if path.is_dir():
            return _subfolders(path)
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return _names(json.loads(text), given)
    except OSError as error:
        known = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
        raise NetworkError(f"{path} can't be read: {error.strerror}; {nearest(path.name, known)}") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise NetworkError(f"{path} is damaged ({error}); expected text in UTF-8, a name a line, or JSON") from error
    names = tuple(line.strip() for line in text.rstrip().splitlines())
    if "" in names:
        raise NetworkError(f"{given} has nothing in line {names.index('') + 1}; expected the name of a class a line")
    return names


def _subfolders(path: Path) -> tuple[str, ...]:
    names = tuple(sorted(each.name for each in path.iterdir() if each.is_dir()))
    if not names:
        raise NetworkError(f"{path} has no subfolders; expected one for each class")
    return names


def _names(content: Any, where: str) -> tuple[str, ...]:
    if isinstance(content, dict) and content:
        if all(isinstance(index, int) for index in content.values()):
            content = {index: name for name, index in content.items()}
        by_index = {str(index): name for index, name in content.items()}
        wanted = [str(index) for index in range(len(by_index))]
        if by_index.keys() != set(wanted):
            raise NetworkError(f"{where} numbers {len(by_index)} classes, but not as 0 to {len(by_index) - 1}")
        content = [by_index[index] for index in wanted]
    if not (isinstance(content, list) and content and all(isinstance(name, str) for name in content)):
        raise NetworkError(f'{where} holds no names; expected ["cat", "dog"] or {{"0": "cat", "1": "dog"}}')
    return tuple(content)
