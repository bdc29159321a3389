"""Scans that the Explorer makes in the background, what can be asked of them meanwhile, and mistakes."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from tests.explorer.conftest import explorer_of
from tests.explorer.serving import Client, serving
from tests.scanning.little import little_network, little_pictures

import convscope as cs
from convscope.explorer import growing, own_folder
from convscope.explorer.cache import Cache
from convscope.explorer.explorer import Explorer
from convscope.explorer.guard import Policy, new_token
from convscope.scanning import scan as scanning

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return little_pictures(tmp_path_factory.mktemp("many") / "photos", 150)


@pytest.fixture
def client(pictures: Path, tmp_path: Path) -> Iterator[Client]:
    with serving(explorer_of(pictures, tmp_path)) as served:
        yield served


def _network(client: Client) -> str:
    return client.explorer.networks.all()[0].id


def _asked(client: Client, **more: Any) -> dict[str, Any]:
    return {"kind": "scan", "network": _network(client), **more}


def _own(client: Client) -> Any:
    return next((each for each in client.ask("/api/scans").json if each["own"]), None)


def _until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def _slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is followed by a wait, and each opens the scan anew."""
    usual = scanning.scan

    def slow(*given: Any, progress: Any, **options: Any) -> cs.Scan:
        def watch(step: Any) -> Any:
            time.sleep(0.3)
            return progress(step)

        return usual(*given, progress=watch, **options)

    monkeypatch.setattr(growing, "scan", slow)
    monkeypatch.setattr(growing, "_BETWEEN", 0.0)
    monkeypatch.setattr(growing, "_TIMES", 0)


def test_a_scan_is_that_of_the_library(client: Client, pictures: Path, tmp_path: Path) -> None:
    told = client.made(_asked(client))["told"]
    assert (told["images"], told["labelled"], told["unreadable"]) == (150, 150, 0)
    own = _own(client)
    assert (own["id"], own["images"], own["total"], own["growing"]) == (told["scan"], 150, 150, False)
    assert {"3", "5"} <= set(own["names"])
    made = cs.scan(little_network(), pictures, layers=["3"], out=tmp_path / "own.scan", engine="torch", workers=0)
    channels = client.ask(f"/api/scans/{own['id']}/channels?layer=3").json
    units = made.units("3").rows
    assert channels["measured"] == "classes"
    for field in ("selectivity", "share", "mean", "spread", "largest"):
        np.testing.assert_allclose(channels[field], [getattr(each, field) for each in units], rtol=1e-3, atol=1e-6)
    patches = client.made({"kind": "patches", "scan": own["id"], "layer": "3", "channel": 2, "k": 3})["told"]
    found = made.top_patches("3", channel=2, k=3).rows[0]
    np.testing.assert_allclose(
        [each["value"] for each in patches["patches"]], [each.value for each in found], rtol=1e-4
    )
    for patch, expected in zip(patches["patches"], found, strict=True):
        assert client.ask(f"/api/images/{patch['image']}").json["name"] == Path(expected.path).name
    panel = client.ask(
        f"/api/unit?network={_network(client)}&image=sample-chelsea&layer=3&channel=2&scan={own['id']}"
    ).json
    assert panel["usual"]["images"] == 150
    assert client.ask(f"/api/scans/{own['id']}/channels?layer=nothing").status == 422
    assert client.ask("/api/scans/nothing/channels?layer=3").status == 404
    # All is there: the same again is no work.
    assert client.post("/api/jobs", _asked(client)).json["state"] == "done"


def test_it_can_be_used_while_it_grows_and_stopped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    _slowly(monkeypatch)
    job = client.post("/api/jobs", _asked(client)).json
    some = _until(lambda: (own := _own(client)) and own["images"] and own)
    assert 0 < some["images"] < some["total"] == 150
    assert some["growing"]
    asked = {"kind": "patches", "scan": some["id"], "layer": "3", "channel": 1, "k": 2}
    # Others go first.
    assert some["images"] <= client.made(asked)["told"]["images"] < 150
    early = client.ask(f"/api/scans/{some['id']}/channels?layer=3").json
    assert some["images"] <= early["images"] < 150
    # The first are of all classes.
    assert set(early["prefers"]) == {"class 0", "class 1"}
    status = client.ask(f"/api/jobs/{job['id']}").json
    assert status["state"] == "running"
    assert status["done"] < status["total"]
    client.ask(f"/api/jobs/{job['id']}", method="DELETE")
    assert client.ended(job["id"])["state"] == "cancelled"
    stopped = _until(lambda: (own := _own(client)) and not own["growing"] and own)
    assert stopped["images"] < 150
    monkeypatch.undo()
    told = client.made(_asked(client))["told"]
    assert (told["images"], told["scan"]) == (150, some["id"])
    later = client.ask(f"/api/scans/{some['id']}/channels?layer=3").json
    assert later["images"] == 150


def test_it_is_found_by_the_next_server_and_takes_further_layers(pictures: Path, tmp_path: Path) -> None:
    with serving(explorer_of(pictures, tmp_path)) as client:
        first = client.made(_asked(client))["told"]
        assert "0" not in first["layers"]
    with serving(explorer_of(pictures, tmp_path)) as client:
        client.ask(f"/api/networks/{_network(client)}")
        assert _own(client)["images"] == 150
        told = client.made(_asked(client, layers=["0"]))["told"]
        assert "0" in told["layers"]
        channels = client.ask(f"/api/scans/{told['scan']}/channels?layer=0").json
        assert len(channels["share"]) == 6
        answer = client.post("/api/jobs", _asked(client, layers=["nothing"]))
        assert answer.status == 422
        assert "no layer 'nothing'" in answer.json["error"]
    shutil.rmtree(tmp_path / "scans")
    with serving(explorer_of(pictures, tmp_path)) as client:
        # The result is kept, but not what it was of.
        assert client.made(_asked(client))["told"]["images"] == 150
        assert _own(client)["images"] == 150


def _emptied(scan: Path) -> None:
    for each in scan.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def _broken(text: bytes) -> Callable[[Path], object]:
    return lambda scan: (scan / "header.json").write_bytes(text)


def _filled(scan: Path) -> None:
    _emptied(scan)
    (scan / "notes.txt").write_text("other things than a scan")


def _a_file(scan: Path) -> None:
    shutil.rmtree(scan)
    scan.write_bytes(b"a file")


def _without_a_plan(scan: Path) -> None:
    for each in (scan / "plan").iterdir():
        each.write_bytes(b"PAR1 and nothing more")


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": _emptied, "gone": shutil.rmtree, "other things": _filled, "a file": _a_file, "plan": _without_a_plan,
    "header missing": lambda scan: (scan / "header.json").unlink(), "header cut off": _broken(b'{"format": 1,'),
    "header a list": _broken(b"[1, 2]"), "header of other fields": _broken(b'{"format": 1, "other": 2}'),
    "rows": lambda scan: [each.write_bytes(b"") for each in (scan / "lance").rglob("*.lance") if each.is_file()],
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a scan in it."""
    place = tmp_path_factory.mktemp("whole")
    with serving(explorer_of(pictures, place)) as client:
        client.made(_asked(client))
    return place


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_scan_of_its_own_is_made_anew(damage: str, whole: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    [scan] = (tmp_path / "scans").iterdir()
    _DAMAGES[damage](scan)
    with serving(explorer_of(pictures, tmp_path)) as client:
        assert client.ask("/api/scans").status == 200
        assert client.made(_asked(client))["told"]["images"] == 150
        assert _own(client)["images"] == 150
        patches = {"kind": "patches", "scan": _own(client)["id"], "layer": "3", "channel": 2, "k": 3}
        assert len(client.made(patches)["told"]["patches"]) == 3


@pytest.mark.parametrize("damage", ["emptied", "gone", "other things", "header missing"])
def test_a_scan_that_goes_while_it_is_served_is_made_anew(
    damage: str, whole: Path, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    [scan] = (tmp_path / "scans").iterdir()
    with serving(explorer_of(pictures, tmp_path)) as client:
        client.ask(f"/api/networks/{_network(client)}")
        assert _own(client)["images"] == 150
        _DAMAGES[damage](scan)
        assert _own(client) is None
        assert client.made(_asked(client))["told"]["images"] == 150
        assert _own(client)["images"] == 150


def test_of_too_many_scans_those_not_used_longest_go(pictures: Path, tmp_path: Path) -> None:
    for at in range(3):
        old = tmp_path / "scans" / f"old-{at}"
        old.mkdir(parents=True)
        (old / "header.json").write_bytes(bytes(1000))
        os.utime(old / "header.json", (at, at))
    explorer = explorer_of(pictures, tmp_path)
    small = growing.Growing(explorer.images, explorer.networks, tmp_path / "scans", limit=2500)
    own = small.of(explorer.networks.all()[0].id)
    assert sorted(each.name for each in (tmp_path / "scans").iterdir()) == ["old-1", "old-2"]
    own.run(["3"], lambda _: None)
    # That is larger than all of the limit, and in use.
    others = growing.Growing(explorer.images, explorer.networks, tmp_path / "scans", limit=2500)
    assert others.of(explorer.networks.all()[0].id).scan
    assert [each.name for each in (tmp_path / "scans").iterdir()] == [own.path.name]
    with FileLock(own.path / "lock"):  # as another who scans into it
        assert not own_folder.remove(own.path)
        assert own.scan
    assert own_folder.remove(own.path)
    assert own_folder._LOCK == scanning._LOCK
    explorer.jobs.close()


def test_without_a_folder_the_samples_are_scanned(tmp_path: Path) -> None:
    explorer = Explorer.of(networks=[little_network()], policy=Policy(new_token()), cache=Cache(tmp_path))
    with serving(explorer) as client:
        told = client.made(_asked(client))["told"]
        assert told["images"] == client.ask("/api/images?kind=sample").json["total"]
        assert _own(client)["name"] == "samples"
        channels = client.ask(f"/api/scans/{told['scan']}/channels?layer=3").json
        assert channels["measured"] == "spread"
        expected = [
            (largest - mean) / spread if spread else None
            for largest, mean, spread in zip(channels["largest"], channels["mean"], channels["spread"], strict=True)
        ]
        assert channels["selectivity"] == pytest.approx(expected)
        patches = client.made({"kind": "patches", "scan": told["scan"], "layer": "3", "channel": 2, "k": 1})["told"]
        assert patches["patches"][0]["image"].startswith("sample-")
        answer = client.post("/api/jobs", {"kind": "mistakes", "network": _network(client)})
        assert answer.status == 422
        assert "convscope explore FOLDER" in answer.json["error"]


def test_what_lies_outside_of_the_folder_is_not_scanned(folder: Path, tmp_path: Path) -> None:
    with serving(explorer_of(folder, tmp_path)) as client:
        told = client.made(_asked(client))["told"]
        assert told["images"] == client.ask("/api/images?kind=file").json["total"]
        scan = client.explorer.kinds.scan(told["scan"])
        assert not any("out" in name or "private" in name for name in scan.images.names)


def test_what_is_missing_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "find_spec", lambda _: None)
    answer = client.post("/api/jobs", _asked(client))
    assert answer.status == 422
    assert "pip install 'convscope[scan]'" in answer.json["error"]
    assert client.ask("/api/scans").json == []


def test_mistakes(client: Client, pictures: Path) -> None:
    network = little_network()
    result = client.made({"kind": "mistakes", "network": _network(client), "limit": 20})
    told = result["told"]
    said = {}
    for path in pictures.rglob("*.png"):
        image = network.prepare(cs.read_image(path))
        answers = {each.index: each.probability for each in network.predict(image, top=7)}
        said[path.name] = int(path.parent.name[-1]), answers
    wrong = {name: each for name, each in said.items() if max(each[1], key=lambda at: each[1][at]) != each[0]}
    assert (told["images"], told["total"], told["wrong"]) == (150, 150, len(wrong))
    assert told["accuracy"] == pytest.approx(1 - len(wrong) / 150)
    assert len(told["mistakes"]) == 20
    probabilities = [each["probability"] for each in told["mistakes"]]
    assert probabilities == sorted(probabilities, reverse=True)
    for each in told["mistakes"]:
        truth, answers = wrong[each["name"]]
        predicted = max(answers, key=lambda at: answers[at])
        assert (each["label_index"], each["predicted_index"]) == (truth, predicted)
        assert each["target"] == f"class:{predicted} - class:{truth}"
        assert each["probability"] == pytest.approx(answers[predicted], abs=1e-3)
        assert each["label_probability"] == pytest.approx(answers[truth], abs=1e-3)
        assert client.ask(f"/api/images/{each['image']}").json["name"] == each["name"]
    assert max(max(answers.values()) for _, answers in wrong.values()) == pytest.approx(probabilities[0], abs=1e-3)
    assert sum(each["count"] for each in told["confusions"]) == len(wrong)
    assert client.picture(result, "picture.png").size[0] > 100
    # Its target explains it.
    asked = {"kind": "explain", "network": _network(client), "method": "saliency"}
    first = told["mistakes"][0]
    assert client.made({**asked, "image": first["image"], "target": first["target"]})["told"]["target"]


def test_mistakes_of_those_that_were_scanned_so_far(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"kind": "mistakes", "network": _network(client), "partial": True}
    early = client.post("/api/jobs", asked)
    assert early.status == 422
    assert "nothing has been scanned yet" in early.json["error"]
    _slowly(monkeypatch)
    job = client.post("/api/jobs", _asked(client)).json
    _until(lambda: (own := _own(client)) and own["images"])
    told = client.made(asked)["told"]
    assert 0 < told["images"] < told["total"] == 150
    client.ask(f"/api/jobs/{job['id']}", method="DELETE")
    client.ended(job["id"])


def test_mistakes_of_a_scan_that_was_given(pictures: Path, tmp_path: Path) -> None:
    made = cs.scan(little_network(), pictures, layers=["3"], out=tmp_path / "own.scan", engine="torch", workers=0)
    with serving(explorer_of(pictures, tmp_path, scans=[made])) as client:
        [scan] = client.ask("/api/scans").json
        assert not scan["own"]
        told = client.made({"kind": "mistakes", "network": _network(client), "scan": scan["id"], "limit": 3})["told"]
        assert told["wrong"] == made.mistakes(neighbours=0).wrong
        assert all(each["image"] for each in told["mistakes"])


@pytest.mark.parametrize(
    ("classes", "words"), [(None, "no classes; put them into folders"), ("nothing", "labels such as 'nothing 0'")]
)
def test_classes_that_tell_nothing(pictures: Path, tmp_path: Path, classes: str | None, words: str) -> None:
    place = tmp_path / "photos"
    for at, path in enumerate(sorted(pictures.rglob("*.png"))[:4]):
        to = place if classes is None else place / f"{classes} {at % 2}"
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to / path.name)
    with serving(explorer_of(place, tmp_path / "cache")) as client:
        answer = client.post("/api/jobs", {"kind": "mistakes", "network": _network(client)})
        assert answer.status == 422
        assert words in answer.json["error"]
