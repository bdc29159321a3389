"""Trains a small generator and optimizes its code: `python -m docs.pictures.decoder photos/ decoder.safetensors`.

An encoder, the first stages of EfficientNet-Lite0 and a projection of them, turns a photograph into 256 numbers; the
decoder learns to make the photograph of these, so that it and its features are alike (Dosovitskiy and Brox 2016). Then
the numbers are what is optimized (Nguyen et al. 2016): only what the decoder can make is looked at. Some ten minutes on
one core, however many photographs there are; where the file of weights is there already, only the figure is drawn.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import convscope as cs
from convscope.image.sources import open_source
from convscope.image.write import atomic_path, to_picture
from convscope.network.differentiable import Differentiable
from convscope.progress import Watcher
from convscope.render.grid import rows
from convscope.synthesis.parameterizations import Generator

HERE = Path(__file__).parent
CODE = (16, 4, 4)
SEEN, MADE = 128, 64
"""Pixels of the crops that the encoder sees, and of the images that the decoder makes."""
LAYERS = ["blocks.0", "blocks.2", "blocks.4", "blocks.10"]
"""Layers in which image and photograph are to be alike; the last is what the code is made of."""
BATCH, RATE, BLURRED = 16, 2e-3, 0.2
CLASSES = ("daisy", "flamingo", "goldfish", "volcano", "lemon", "king penguin")


class Decoder(nn.Sequential):
    """Images `(N, 3, 64, 64)` in [0, 1] of codes `(N, 16, 4, 4)`: upsampled and convolved four times."""

    def __init__(self, widths: Sequence[int] = (192, 128, 96, 64, 32)) -> None:
        first = [nn.Conv2d(CODE[0], widths[0], 3, padding=1), nn.ReLU()]
        stages: list[nn.Module] = []
        for narrow, wide in zip(widths[1:], widths, strict=False):
            # Upsampled first and convolved then: transposed convolutions leave a chequered pattern.
            stages += [nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1), nn.BatchNorm2d(narrow)]
            stages += [nn.ReLU()]
        super().__init__(*first, *stages, nn.Conv2d(widths[-1], 3, 3, padding=1), nn.Sigmoid())


class Encoder(nn.Module):
    """Codes of the last layer's maps `(N, 112, 8, 8)`; each number has mean 0 and deviation 1, as random codes have."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, CODE[0], 3, padding=1)
        self.scale = nn.BatchNorm2d(CODE[0], affine=False)

    def forward(self, maps: Tensor) -> Tensor:
        code: Tensor = self.scale(F.adaptive_avg_pool2d(self.project(maps), CODE[1:]))
        return code


def crops(photographs: Sequence[Tensor], random: torch.Generator) -> Iterator[Tensor]:
    """Batches `(16, 3, 128, 128)` without end: random squares of random photographs, half of them mirrored."""

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=random))

    while True:
        batch = []
        for _ in range(BATCH):
            photograph = photographs[number(0, len(photographs) - 1)]
            height, width = photograph.shape[1:]
            side = number(SEEN, max(SEEN, min(height, width)))
            top, left = number(0, height - side), number(0, width - side)
            piece = photograph[:, top : top + side, left : left + side].float()[None] / 255
            piece = F.interpolate(piece, (SEEN, SEEN), mode="bilinear", antialias=True)
            batch.append(piece.flip(-1) if number(0, 1) else piece)
        yield torch.cat(batch)


def photographs(folder: str) -> list[Tensor]:
    """The pictures of a folder as bytes `(3, H, W)`, their shorter side 160 pixels."""
    found = []
    for entry in open_source(folder).entries():
        image = cs.read_image(Path(folder) / entry.name)
        height, width = image.shape[1:]
        factor = 160 / min(height, width)
        size = max(160, round(height * factor)), max(160, round(width * factor))
        image = F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]
        found.append((image * 255).round().to(torch.uint8))
    return found


def train(network: cs.Network, folder: str, steps: int, seed: int = 0) -> Decoder:
    """A decoder that makes photographs again of their codes."""
    torch.manual_seed(seed)
    seen = Differentiable(network, (3, SEEN, SEEN), layers=LAYERS, whole=False)
    source = LAYERS[-1]
    decoder, encoder = Decoder(), Encoder(network.layers[source].shape[0])
    optimizer = torch.optim.Adam([*decoder.parameters(), *encoder.parameters()], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    batches = crops(photographs(folder), torch.Generator().manual_seed(seed))
    for step in range(1, steps + 1):
        batch = next(batches)
        with torch.no_grad():
            wanted = seen(batch).layers
        code = encoder(wanted[source])
        # A little noise, so that codes near each other make images like each other.
        made = decoder(code + BLURRED * torch.randn_like(code))
        pixels = F.mse_loss(made, F.interpolate(batch, (MADE, MADE), mode="area"))
        found = seen(F.interpolate(made, (SEEN, SEEN), mode="bilinear")).layers
        errors = [F.mse_loss(found[name], wanted[name]) / wanted[name].var() for name in LAYERS]
        features = torch.stack(errors).sum()
        loss = 20 * pixels + features
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            logging.info("step %d of %d: pixels %.4f, features %.3f", step, steps, pixels.item(), features.item())
    return decoder.eval()


def generator(decoder: Decoder, size: tuple[int, int]) -> Generator:
    """The decoder as what is optimized: its images at the network's size, of codes that stay within 3 deviations."""

    def generate(codes: Tensor) -> Tensor:
        return F.interpolate(decoder(3 * torch.tanh(codes / 3)), size, mode="bicubic", antialias=True).clamp(0, 1)

    return Generator(generate, CODE, deviation=0.5)


def figure(network: cs.Network, decoder: Decoder) -> Image.Image:
    """The same classes optimized in pixels, in Fourier coefficients and in the decoder's code."""
    ways: dict[str, dict[str, Any]] = {
        "pixels": {"parameterization": "pixels:sigmoid", "optimizer": "adam:0.05"},
        "Fourier": {"parameterization": "fourier", "optimizer": "adam:0.05"},
        "decoder": {"parameterization": generator(decoder, network.input_size), "optimizer": "adam:0.05"},
    }
    table = []
    for name, options in ways.items():
        made = cs.maximize(network, CLASSES, steps=160, progress=_told(name), **options)
        logging.info("%s: probabilities %s", name, [f"{each:.2f}" for each in made.probabilities.tolist()])
        table.append((name, [to_picture(each) for each in made.images]))
    return rows(table, column_labels=CLASSES, title="what is optimized", cell=128)


def _told(name: str) -> Watcher:
    def told(progress: cs.Progress) -> None:
        if progress.done % 40 == 0:
            logging.info("%s: step %d of %d", name, progress.done, progress.total)

    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("photographs", help="a folder of them")
    options.add_argument("weights", type=Path, help="where the decoder's weights are kept, as .safetensors")
    options.add_argument("--steps", type=int, default=1200)
    options.add_argument("--out", type=Path, default=HERE / "generator.png")
    given = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    network = cs.load("efficientnet-lite0")
    if not given.weights.exists():
        made = train(network, given.photographs, given.steps)
        with atomic_path(given.weights) as temporary:
            save_file(made.state_dict(), temporary)
    decoder = Decoder().eval()
    decoder.load_state_dict(load_file(given.weights))
    decoder.requires_grad_(False)
    figure(network, decoder).quantize(256).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
