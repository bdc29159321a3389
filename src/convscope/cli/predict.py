"""`convscope predict`: what a network takes a picture for."""

import json
from typing import Annotated

import typer

from convscope.cli.options import DEFAULT_NETWORK, Device, Json, NetworkName, Weights, WeightsKey, load_network

_BAR = 30


def predict(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Picture files or bundled photographs.")],
    network: NetworkName = DEFAULT_NETWORK,
    top: Annotated[int, typer.Option(min=1, help="How many classes.")] = 5,
    weights: Weights = None,
    weights_key: WeightsKey = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """What a network takes a picture for: its most probable classes.

    With --json, one JSON object a picture, each on its line.
    """
    net = load_network(network, weights, weights_key, device)
    for image in images:
        predictions = net.predict(net.read(image), top=top)
        if as_json:
            found = [{"index": p.index, "label": p.label, "probability": p.probability} for p in predictions]
            typer.echo(json.dumps({"image": image, "network": net.name, "predictions": found}, ensure_ascii=False))
            continue
        if len(images) > 1:
            typer.echo(image)
        width = max(len(prediction.label) for prediction in predictions)
        for each in predictions:
            bar = "█" * round(each.probability * _BAR)
            typer.echo(f"{each.probability:7.2%}  {each.label:<{width}}  {each.index:>4}  {bar}".rstrip())
