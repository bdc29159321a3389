"""How long a newcomer waits for `--help`, and a script for `import convscope`."""

import subprocess
import sys
from functools import partial

from benchmarks.timing import interleaved, milliseconds, print_table

RUNS = 7
LIMIT = 0.4
COMMANDS = {
    "python -m convscope --help": ["-m", "convscope", "--help"],
    "import convscope": ["-c", "import convscope"],
    "(python alone)": ["-c", ""],
}


def main() -> None:
    runs = [partial(_run, arguments) for arguments in COMMANDS.values()]
    timings = interleaved(*runs, repetitions=RUNS, warm_up=1)
    rows = []
    for name, timing in zip(COMMANDS, timings, strict=True):
        limit = "" if name.startswith("(") else milliseconds(LIMIT)
        rows.append([name, *map(milliseconds, (timing.median, timing.minimum, timing.maximum)), limit])
    print(f"wall time of a fresh process, {RUNS} runs each")
    print_table(["command", "median", "min", "max", "limit"], rows)


def _run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
