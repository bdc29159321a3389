"""What the pages' types are made from is what the server says of itself.

`python -m tests.explorer.test_openapi` writes it anew; then `npm run types --prefix web`.
"""

import json
import tempfile
from pathlib import Path

from convscope import __version__
from convscope.explorer.app import plain_app
from convscope.explorer.cache import Cache
from convscope.explorer.explorer import Explorer

FILE = Path(__file__).parents[2] / "web" / "openapi.json"


def described() -> str:
    """The server's description, without its version, which changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        explorer = Explorer.of(cache=Cache(Path(folder)))
        told = plain_app(explorer).openapi()
        explorer.jobs.close()
    assert told["info"]["version"] == __version__
    told["info"]["version"] = ""
    return json.dumps(told, indent=1, sort_keys=True) + "\n"


def test_the_pages_know_the_api_as_it_is() -> None:
    assert described() == FILE.read_text(encoding="utf-8"), "python -m tests.explorer.test_openapi writes it anew"


if __name__ == "__main__":
    FILE.write_text(described(), encoding="utf-8")
