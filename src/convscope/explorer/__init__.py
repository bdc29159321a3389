"""The Explorer: the browser app over the library. Here is its server; nothing is imported before it is needed."""

from importlib.util import find_spec

from convscope.errors import MissingExtra


def check_installed() -> None:
    """Raises MissingExtra unless what serves the Explorer is installed."""
    if any(find_spec(name) is None for name in ("fastapi", "uvicorn", "websockets", "python_multipart")):
        raise MissingExtra("the Explorer", extra="explorer")
