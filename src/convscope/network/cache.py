"""Where convscope keeps what it fetched or made and can make again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$CONVSCOPE_CACHE`, or `convscope` in the user's cache folder."""
    if chosen := os.environ.get("CONVSCOPE_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convscope"
