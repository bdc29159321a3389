"""How long textures take that are copied from an example: by blocks, and pixel by pixel."""

import convscope as cs
from benchmarks.timing import interleaved, print_table
from convscope.synthesis.efros_leung import efros_leung
from convscope.synthesis.quilting import quilting

LIMIT = 10.0
"""Seconds for 512 × 512 by quilting, from 128 × 128."""


def main() -> None:
    blocks, pixels = cs.read_image("brick", 128), cs.read_image("brick", 64)
    sewn, narrow, wide = interleaved(
        lambda: quilting(blocks, size=512),
        lambda: efros_leung(pixels, size=96, window=11),
        lambda: efros_leung(pixels, size=96, window=23),
        repetitions=3,
        warm_up=1,
    )
    rows = [
        ["quilting, 512 × 512 from 128 × 128", f"{sewn.median:.2f} s", f"{LIMIT:.0f} s"],
        ["Efros–Leung, 96 × 96 from 64 × 64, window 11", f"{narrow.median:.2f} s", ""],
        ["Efros–Leung, 96 × 96 from 64 × 64, window 23", f"{wide.median:.2f} s", ""],
    ]
    print_table(["what", "median", "limit"], rows)


if __name__ == "__main__":
    main()
