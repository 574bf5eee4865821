"""`resnets neighbours`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from typer import Exit, Option

from resnets.cli import options


def neighbours(
    weights: options.Trained,
    images: options.Images,
    among: Annotated[str, Option(help="What embed wrote, or a folder of images, to search in.", show_default=False)],
    top: Annotated[int, Option(help="Number of images to show.", min=1)] = 5,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Show the images most similar to others: the cosine of the network's features is largest."""
    from resnets.cli.answers import counted, print_answers
    from resnets.errors import DataError
    from resnets.inference.embeddings import Neighbours, find_among, nearest_to
    from resnets.inference.images import find_images
    from resnets.inference.model import load

    def fields(found: Neighbours) -> dict[str, Any]:
        pairs = zip(found.names, found.similarities, strict=True)
        return {"neighbours": [{"image": name, "similarity": similarity} for name, similarity in pairs]}

    def text(found: Neighbours) -> str:
        pairs = zip(found.names, found.similarities, strict=True)
        return ", ".join(f"{name} {similarity:.4f}" for name, similarity in pairs)

    model = load(weights, device=device)
    others, files = find_among(model, among), find_images(images)

    def answers() -> Iterator[tuple[Path | str, Neighbours | DataError]]:
        for image, features in counted(model.each_features(files), "images", files, printed=True):
            if isinstance(features, DataError):
                yield image, features
            else:
                yield image, nearest_to(image, features, others, top)

    if not print_answers(answers(), fields, None if json else text):
        raise Exit(1)
