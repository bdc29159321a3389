"""The bar: drawn on a terminal and taken away, silent elsewhere, honest about the end, and stopped by Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convscope as cs
from convscope.cli import main
from convscope.cli import progress as module
from convscope.cli.progress import Pace, bar
from convscope.progress import Progress

CURSOR_BACK = "\x1b[?25h"


def on_a_terminal(code: str, *, interrupt_after: str | None = None) -> tuple[int, str]:
    """Run Python code with its error stream on a terminal; its exit code and all that came there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # what Linux says when the other end is closed
            part = b""
        if not part:
            break
        seen += part
        if interrupt_after is not None and interrupt_after.encode() in seen:
            running.send_signal(signal.SIGINT)
            interrupt_after = None
    os.close(ours)
    return running.wait(), seen.decode()


# What a shell runs in the background doesn't hear Ctrl-C, nor does what that runs.
LONG = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from convscope import cli
from convscope.cli import app as commands
from convscope.cli.progress import bar
from convscope.image.write import atomic_path
from convscope.progress import Steps

@commands.app.command()
def count() -> None:
    with atomic_path("counted.txt") as path, bar("counting") as watcher:
        path.write_text("half")
        steps = Steps(COUNT, watcher)
        for _ in range(COUNT):
            time.sleep(0.05)
            steps.done()
    print("counted")

sys.argv = ["convscope", "count"]
cli.main()
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_bar_on_a_terminal_is_drawn_and_taken_away() -> None:
    code, seen = on_a_terminal(LONG.replace("COUNT", "30"))
    assert code == 0
    assert "counting" in seen
    assert "/30" in seen
    assert "a second" in seen
    # Erased and the cursor shown again before what comes next.
    assert CURSOR_BACK in seen
    assert seen.rstrip().endswith("counted")
    assert seen.rfind(CURSOR_BACK) < seen.rfind("counted")


def test_short_work_draws_nothing() -> None:
    assert on_a_terminal(LONG.replace("COUNT", "3")) == (0, "counted\r\n")


def test_ctrl_c_leaves_one_line_and_no_file() -> None:
    code, seen = on_a_terminal(LONG.replace("COUNT", "4000"), interrupt_after="/4000")
    assert code == 130
    said = seen[seen.rfind("convscope: ") :]
    assert said.startswith("convscope: counting stopped after ")
    assert said.rstrip().endswith("of 4,000 steps")
    assert CURSOR_BACK in seen
    assert "Traceback" not in seen
    assert os.listdir() == []


def test_nothing_is_drawn_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("work") as watcher:
        for done in range(1, 4):
            watcher(Progress(done=done, total=3, seconds=100.0 * done))
    assert capsys.readouterr() == ("", "")


def work(error: BaseException, *, done: int | None = None) -> None:
    """Begin something, and fail."""
    with bar("[bold]work") as watcher:
        if done is not None:
            watcher(Progress(done=done, total=5, seconds=2.0))
        raise error


def test_errors_pass_and_the_bar_is_gone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    with pytest.raises(cs.ImageError, match="mid-way"):
        work(cs.ImageError("mid-way"), done=1)
    assert "[bold]work" in capsys.readouterr().err


def test_ctrl_c_is_cancelled() -> None:
    with pytest.raises(cs.Cancelled, match=r"work stopped after 2 of 5 steps$"):
        work(KeyboardInterrupt(), done=2)
    with pytest.raises(cs.Cancelled, match=r"work stopped$"):
        work(KeyboardInterrupt())


def test_cancelled_work_ends_as_ctrl_c_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cancelled(*_: object, **__: object) -> None:
        raise cs.Cancelled("stopped after 1 of 2 steps")

    monkeypatch.setattr("convscope.cli.app.app", cancelled)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "convscope: stopped after 1 of 2 steps\n"


# --- What it says of the end ---


def paced(*behind: tuple[float, int], total: int) -> str:
    pace = Pace()
    progress = Progress(0, total, 0.0)
    for seconds, done in behind:
        progress = Progress(done, total, seconds)
        pace.note(progress)
    return pace.words(progress)


def test_too_early_to_tell() -> None:
    assert paced((0.5, 10), total=100) == ""


def test_a_slow_start_is_left_behind() -> None:
    """Ten seconds of preparing, then a step a tenth of a second: the mean would say 400 seconds more."""
    assert paced((10.0, 1), (25.0, 151), total=400) == "10 a second, 25 s left"


@given(st.floats(0.01, 1e3), st.integers(2, 400), st.integers(1, 10**6))
def test_even_work_ends_when_it_says(seconds_a_step: float, done: int, more: int) -> None:
    words = paced(*((index * seconds_a_step, index) for index in range(1, done + 1)), total=done + more)
    if done * seconds_a_step < 1:
        assert words == ""
    elif more * seconds_a_step < 59:
        left = int(words.split(", ")[-1].split()[0])
        assert abs(left - more * seconds_a_step) <= 1


def test_importing_the_bar_is_instant() -> None:
    code = "import convscope.cli.progress, sys; print('rich' in sys.modules, 'torch' in sys.modules)"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert time.monotonic() - started < 10
