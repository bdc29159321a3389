"""Paths as they are shown and kept."""

import os
from pathlib import Path


def tidy(path: str | os.PathLike[str]) -> Path:
    """The absolute path, without steps up where they only undo a step down. Links keep the names they were given.

    A step up from a link leads elsewhere than the letters say: it stays.

    >>> tidy("/nowhere/../photos/./cat").as_posix()
    '/photos/cat'
    """
    whole = Path(path).absolute()
    kept = Path(whole.anchor)
    for part in whole.relative_to(kept).parts:
        undone = part == ".." and kept.name != ".." and not kept.is_symlink()
        kept = kept.parent if undone else kept / part
    return kept
