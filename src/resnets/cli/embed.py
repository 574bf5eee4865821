"""`resnets embed`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from typer import Exit, Option

from resnets.cli import options


def embed(
    weights: options.Trained,
    out: Annotated[
        Path,
        Option(
            "--out", "-o", help="File for the features: .npz or .parquet; or a folder for many.", show_default=False
        ),
    ],
    images: options.ImagesOrData = None,
    data: options.ImageSource = None,
    device: options.Device = "auto",
    part_images: options.PartImages = 1_000,
) -> None:
    """Write the features of images: what the network's classifier is given, such as for `neighbours`.

    The file holds the images' names and a row of numbers for each. Files that are not images are listed on standard
    error at the end, the others are processed, and the exit code is 1.

    Into a folder they are written in parts, as `predict` does.
    """
    from resnets.cli.answers import counted, print_answers
    from resnets.cli.in_parts import is_folder, write_shown
    from resnets.cli.output import outlive
    from resnets.errors import DataError
    from resnets.inference.embeddings import collected, embed_into, require_embeddings_file, write_embeddings
    from resnets.inference.images import find_images
    from resnets.inference.model import load
    from resnets.quantities import plural
    from resnets.runtime.launch import require_alone

    names = options.images_of(images, data)
    if is_folder(out):
        how: dict[str, Any] = {"device": device, "part_images": part_images}
        write_shown(lambda observe: embed_into(weights, names, out, observe=observe, **how))
        return
    require_alone("embed without a folder as --out")
    require_embeddings_file(out)
    outlive()
    files, model, kept = find_images(names), load(weights, device=device), []

    def answers() -> Iterator[tuple[Path | str, Any]]:
        for image, features in counted(model.each_features(files), "images", files, printed=False):
            if not isinstance(features, DataError):
                kept.append((image, features))
            yield image, features

    complete = print_answers(answers(), lambda _: {}, lambda _: None)
    found = collected(model, kept)
    write_embeddings(out, found)
    print(f"{out}: {plural(len(kept), 'image')} of {plural(found.features.shape[1], 'feature')} each")
    if not complete:
        raise Exit(1)
