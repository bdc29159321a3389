"""The command line. Commands parse, call the library and write; torch is imported only when one runs."""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run `convscope`. Bad input ends with exit code 2 and one line; `--debug` shows where it came from.

    Work that was stopped ends with 130, as programs do that Ctrl-C stops.
    """
    from convscope.cli.app import app
    from convscope.errors import Cancelled, ConvscopeError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal or file that lacks a character gets another
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(arguments, prog_name="convscope")
    except ConvscopeError as error:
        if "--debug" in sys.argv:
            raise
        print(f"convscope: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        raise SystemExit(130 if isinstance(error, Cancelled) else 2) from error
