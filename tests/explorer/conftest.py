"""One server for the tests that leave it as it was: a tiny network, a folder of tiny pictures, a scan of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.explorer.serving import Client, serving
from tests.scanning.little import little_network, little_pictures, scan_little

from convscope.explorer.cache import Cache
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import Policy, new_token


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, beside one that a link leads out to, and a folder whose name begins with that of this one."""
    place = tmp_path_factory.mktemp("served")
    inside = little_pictures(place / "photos", 6)
    little_pictures(place / "photos-private", 1)
    (place / "secret.png").write_bytes(next(inside.rglob("*.png")).read_bytes())
    (inside / "out.png").symlink_to(place / "secret.png")
    (inside / "within.png").symlink_to(next(inside.rglob("0*.png")))
    (inside / "private").symlink_to(place / "photos-private")
    return inside


def explorer_of(folder: Path, cache: Path, **options: object) -> Explorer:
    """A tiny network's Explorer of a folder."""
    network = little_network()
    policy = options.pop("policy", None) or Policy(new_token(), json_limit=4096, upload_limit=100_000)
    return Explorer.of(
        folder=folder, networks=[network], policy=policy, cache=Cache(cache), **options,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="session")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    place = tmp_path_factory.mktemp("explorer")
    scan = scan_little(little_pictures(place / "scanned", 10), place / "little.scan", layers=["1", "3"])
    with serving(explorer_of(folder, place / "cache", scans=[scan])) as served:
        yield served
