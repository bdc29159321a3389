"""Measure what natural images have in common: how colours go together, and how strong each frequency is.

`python -m benchmarks.natural_statistics FOLDER` prints the numbers that stand in
`convscope/synthesis/parameterizations/natural.py`. They were measured on 259 photographs of ImageNet's classes.
"""

import sys
from pathlib import Path

import torch

import convscope as cs
from convscope.image.resize import fit_image

SIDE = 256


def main(folder: str) -> None:
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpeg", ".jpg", ".png"))
    images = torch.stack([fit_image(cs.read_image(path), (SIDE, SIDE), crop_fraction=1.0) for path in files]).double()
    deviation = images - images.mean(dim=(0, 2, 3), keepdim=True)
    pixels = deviation.movedim(1, -1).reshape(-1, 3)
    values, vectors = torch.linalg.eigh(pixels.T @ pixels / len(pixels))
    # Lightness, blue against yellow, green against magenta; signs so that the first number of each is positive.
    order = values.argsort(descending=True)
    vectors = vectors[:, order] * vectors[:, order][0].sign()
    deviations = values[order].sqrt()
    print(len(files), "photographs\naxes, a column each\n", vectors, "\nstandard deviations\n", deviations)
    plane = torch.einsum("cd,nchw->ndhw", vectors, images - images.mean(dim=(2, 3), keepdim=True))
    window = torch.hann_window(SIDE, periodic=False, dtype=torch.float64)
    window = window[:, None] * window
    spectrum = torch.fft.rfft2(plane * window / window.square().mean().sqrt(), norm="ortho").abs().square().mean(dim=0)
    radius = torch.hypot(torch.fft.fftfreq(SIDE)[:, None].double(), torch.fft.rfftfreq(SIDE).double())
    for channel in spectrum:
        seen = (radius > 0.01) & (radius < 0.4)
        x, y = radius[seen].log(), channel[seen].log() / 2
        # Each octave counts alike, though the higher has more places.
        weight = radius[seen].reciprocal().square()
        mean_x, mean_y = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
        slope = (weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x).square()).sum()
        print(f"magnitude {float((mean_y - slope * mean_x).exp()):.4f} · f^{float(slope):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
