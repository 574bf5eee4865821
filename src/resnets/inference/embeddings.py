"""`embed` and `neighbours`: features of images, in memory and in files, and the most similar images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnets.data.given_images import GivenImage
from resnets.errors import DataError, UsageError, first_line, import_extra, public, require_at_least
from resnets.files import require_expansion, require_file, sha256_of, size_on_disk, write_bytes
from resnets.inference.batches import all_read
from resnets.inference.images import find_images
from resnets.inference.model import Model, load
from resnets.inference.parts import (
    IMAGES,
    ImageParts,
    Observe,
    Work,
    is_parts_folder,
    read_parts,
    require_parts_folder,
    write_parts,
)
from resnets.inference.predictions import parquet_bytes, require_format, writable
from resnets.runtime.launch import joined
from resnets.weights.readers import read_arrays

SUFFIXES = (".npz", ".parquet")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Features of images: what the network's classifier is given for them.

    `names` are the images' paths, or of those that are no files their names; `weights` is the SHA-256 of the weights
    file, whose features alone compare with these.

    Shape: features (N, D) float32
    """

    names: tuple[str, ...]
    features: NDArray[np.float32]
    weights: str

    def nearest(self, features: NDArray[np.float32], top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the similarities (cosines) and the numbers of the images nearest to these features, nearest first.

        Shape: (M, D) -> twice (M, min(top, N))
        """
        from sklearn.neighbors import NearestNeighbors  # it takes a while to import

        search = NearestNeighbors(n_neighbors=min(top, len(self.names)), metric="cosine", algorithm="brute")
        distances, numbers = search.fit(self.features).kneighbors(features)
        return (1 - distances).astype(np.float32), numbers


@dataclass(frozen=True)
class Neighbours:
    """The images most similar to one, the most similar first, with the cosines of their features, in [-1, 1]."""

    image: Path | str
    names: tuple[str, ...]
    similarities: tuple[float, ...]


def require_embeddings_file(path: Path) -> None:
    """Make sure that features can be written to a file, before the hours that they take.

    Raises: UsageError, if it is a folder or of another suffix, or for Parquet where pyarrow is not installed; RunError,
        if nothing can be written there.
    """
    require_file(path)
    require_format(path, "features", SUFFIXES)


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write features whole or not at all, in the format of the file's suffix.

    A .npz holds the arrays `filename` (N,), `features` (N, D) and `weights`; a .parquet the columns `filename` and
    `features`, and `weights` in its metadata.

    Raises: UsageError, as `require_embeddings_file`; RunError, if the file cannot be written.
    """
    require_embeddings_file(path)
    names = [writable(name) for name in embeddings.names]
    content = io.BytesIO()
    if path.suffix.lower() == ".npz":
        np.savez(content, filename=np.array(names, np.str_), features=embeddings.features, weights=embeddings.weights)
    else:
        arrow = import_extra("pyarrow", "datasets")
        size = embeddings.features.shape[1]
        lists = arrow.FixedSizeListArray.from_arrays(arrow.array(embeddings.features.ravel()), size)
        table = arrow.table({"filename": arrow.array(names, arrow.string()), "features": lists})
        content.write(parquet_bytes(table.replace_schema_metadata({"weights": embeddings.weights})))
    write_bytes(path, content.getvalue())


def read_embeddings(path: Path) -> Embeddings:
    """Read what `write_embeddings` wrote, or the folder of a finished `embed_into`.

    Raises: DataError, if the file is missing, damaged or another one, or parts are missing; UsageError, if it has
        another suffix, or for Parquet where pyarrow is not installed.
    """
    if not is_parts_folder(path):
        require_format(path, "features", SUFFIXES)
    try:
        names, features, weights = _read(path)
        features = np.ascontiguousarray(features, np.float32)
        if features.ndim != 2 or len(names) != len(features) or not np.isfinite(features).all():
            raise ValueError(f"{len(names)} names and features of shape {features.shape}")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        raise DataError(f"{path}: not features that `resnets embed` wrote ({first_line(error)})") from error
    return Embeddings(tuple(map(str, names)), features, str(weights))


def _read(path: Path) -> tuple[Any, Any, Any]:
    if is_parts_folder(path):
        manifest, table = read_parts(path)
        table = table.filter(table["error"].is_null())
        return table["filename"].to_pylist(), _rows(table["features"]), manifest.weights
    require_expansion(path, size_on_disk(path)[0])
    return (_npz if path.suffix.lower() == ".npz" else _parquet)(path)


def _npz(path: Path) -> tuple[Any, Any, Any]:
    content = read_arrays(path)
    return content["filename"], content["features"], content["weights"]


def _parquet(path: Path) -> tuple[Any, Any, Any]:
    parquet = import_extra("pyarrow.parquet", "datasets")
    table = parquet.ParquetFile(path).read()
    return table["filename"].to_pylist(), _rows(table["features"]), table.schema.metadata[b"weights"].decode()


def _rows(features: Any) -> Any:
    """Return a column of lists of one size, of which none is missing, as an array. Shape: (N, D)"""
    lists = features.combine_chunks()
    return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), lists.type.list_size)


@public
def embed(
    path: str | Path | Model,
    images: GivenImage | Iterable[GivenImage],
    *,
    out: str | Path | None = None,
    device: str = "auto",
) -> Embeddings:
    """Return the features of images: what the classifier of a trained network is given.

    Args:
        path: a run folder, a weights file or a loaded model.
        images: as in `predict`.
        out: file for them, .npz or .parquet.
        device: `auto` is the first GPU, else the CPU; a loaded model keeps its own.

    Shape: features (N, D)
    Raises: WeightsError, as `load`; DataError, for the first file that is not an image; UsageError, RunError, if
        `out` is not a file for them, or cannot be written.
    """
    if out is not None:
        require_embeddings_file(Path(out))
    model = path if isinstance(path, Model) else load(path, device=device)
    found = collected(model, list(all_read(model.each_features(find_images(images)))))
    if out is not None:
        write_embeddings(Path(out), found)
    return found


def collected(model: Model, features: Sequence[tuple[Path | str, NDArray[np.float32]]]) -> Embeddings:
    """Return what a model's `each_features` gave for images that could be read."""
    rows = np.stack([one for _, one in features]) if features else model.embed([])
    return Embeddings(tuple(str(name) for name, _ in features), rows, sha256_of(model.path))


@public
def embed_into(
    path: str | Path | Model,
    images: GivenImage | Iterable[GivenImage],
    out: str | Path,
    *,
    device: str = "auto",
    part_images: int = IMAGES,
    observe: Observe = lambda progress: None,
) -> ImageParts:
    """Write the features of many images to a folder of Parquet files, as `predict_into` writes their classes.

    The columns are `filename`, `features` and `error`.

    Args:
        path: a run folder, a weights file or a loaded model.
        images, out, part_images, observe: as in `predict_into`.
        device: `auto` is the first GPU, else the CPU; a loaded model keeps its own.

    Raises: as `predict_into`.
    """
    require_parts_folder(Path(out), part_images)
    with joined(device) as world:
        model = path if isinstance(path, Model) else load(path, device=world.device)
        work = Work(
            content="features",
            weights=model.path,
            settings={},
            columns=["filename", "features", "error"],
            answers=model.each_features,
            table=partial(arrow_table, size=model.embed([]).shape[1]),
        )
        return write_parts(Path(out), images, work, world, part_images=part_images, observe=observe)


def arrow_table(results: Sequence[tuple[Path | str, NDArray[np.float32] | DataError]], size: int) -> Any:
    """Return the pyarrow table of the features of some images, with a column `error` that says why there are none.

    Shape: features (size,)
    Raises: UsageError, without pyarrow.
    """
    arrow = import_extra("pyarrow", "datasets")
    errors = [writable(str(found)) if isinstance(found, DataError) else None for _, found in results]
    none = np.zeros(size, np.float32)
    rows = [none if isinstance(found, DataError) else found for _, found in results]
    values = arrow.array(np.concatenate([none[:0], *rows]))
    missing = arrow.array([error is not None for error in errors], arrow.bool_())
    return arrow.table(
        {
            "filename": arrow.array([writable(name) for name, _ in results], arrow.string()),
            "features": arrow.FixedSizeListArray.from_arrays(values, size, mask=missing),
            "error": arrow.array(errors, arrow.string()),
        }
    )


@public
def neighbours(
    path: str | Path | Model,
    images: GivenImage | Iterable[GivenImage],
    among: str | Path | Embeddings,
    *,
    top: int = 5,
    device: str = "auto",
) -> list[Neighbours]:
    """Return for each image the most similar ones among others: the cosine of their features is largest.

    Args:
        path: a run folder, a weights file or a loaded model.
        images: as in `predict`.
        among: what `embed` or `embed_into` wrote or returned, by the same weights; or a folder of images.
        top: number of neighbours of each image.
        device: `auto` is the first GPU, else the CPU; a loaded model keeps its own.

    Raises: as `embed`; DataError, if the features are damaged, or there are none; UsageError, if they are of other
        weights.
    """
    require_at_least(1, top=top)
    model = path if isinstance(path, Model) else load(path, device=device)
    others = find_among(model, among)
    queries = embed(model, images)
    return [nearest_to(*query, others, top) for query in zip(queries.names, queries.features, strict=True)]


def nearest_to(image: Path | str, features: NDArray[np.float32], among: Embeddings, top: int) -> Neighbours:
    """Return the neighbours of one image by its features. Shape: (D,)"""
    similarities, numbers = among.nearest(features[None], top)
    names = tuple(among.names[number] for number in numbers[0])
    return Neighbours(image, names, tuple(map(float, similarities[0])))


def find_among(model: Model, among: str | Path | Embeddings) -> Embeddings:
    """Return the features to search in, by a model. Raises: as `neighbours`."""
    found = among
    if not isinstance(found, Embeddings):
        is_file = (Path(found).suffix.lower() in SUFFIXES and not Path(found).is_dir()) or is_parts_folder(Path(found))
        found = read_embeddings(Path(found)) if is_file else embed(model, found)
        if not is_file:
            return _not_empty(found, among)
    if found.weights != sha256_of(model.path):
        which = among if not isinstance(among, Embeddings) else "the features to search in"
        raise UsageError(f"{which}: features of other weights than {model.path}, so they do not compare; embed again")
    return _not_empty(found, among)


def _not_empty(found: Embeddings, among: object) -> Embeddings:
    if not found.names:
        raise DataError(f"{among if isinstance(among, str | Path) else 'features'}: no images to search in")
    return found
