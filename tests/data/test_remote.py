"""Remote storage: a real S3 server and a web server, both on this machine."""

from __future__ import annotations

import http.server
import importlib.util
import socketserver
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.data import remote
from resnets.data.image_files import ImageFiles
from resnets.data.remote import RemoteFile, RemoteStream
from resnets.errors import DataError, StorageError, UsageError

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("moto", "s3fs"))), reason="moto or s3fs is not installed"
)

RUN = "resnet20-cifar10"


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """The file system of an empty S3 server; the environment has its address and credentials."""
    import fsspec
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.get_host_and_port()[1]}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        yield fsspec.filesystem("s3")
    server.stop()


@pytest.fixture
def bucket(s3: Any, photo_folder: Path, tmp_path: Path) -> str:
    """A bucket with photos, what is none, a tar file of the photos, and shards with their manifest."""
    name = f"bucket-{abs(hash(tmp_path)) % 10**6}"
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(photo_folder, "all")
    resnets.shard_data(f"folder:{photo_folder}", tmp_path / "shards")
    s3.mkdir(name)
    s3.put(str(photo_folder), f"{name}/photos", recursive=True)
    s3.put(str(tmp_path / "shards"), f"{name}/shards", recursive=True)
    s3.put(str(tmp_path / "all.tar"), f"{name}/all.tar")
    for other in (".hidden/0.jpg", "photos/notes.txt", "photos/.0.jpg"):
        s3.pipe_file(f"{name}/{other}", b"no image")
    return name


def test_images_and_shards_in_s3_are_predicted_as_those_here(
    bucket: str, photo_folder: Path, tmp_path: Path, pandas: Any
) -> None:
    """By the names of a place and of tar files; what is no image by its name is passed over."""
    expected = {
        str(Path(str(one.image)).relative_to(photo_folder)): one.classes[0]
        for one in resnets.predict(RUN, photo_folder)
    }
    for source, start in (
        (f"folder:s3://{bucket}/photos", f"s3://{bucket}/photos/"),
        (f"webdataset:s3://{bucket}/all.tar", f"s3://{bucket}/all.tar/all/"),
    ):
        out = tmp_path / source.partition(":")[0]
        resnets.predict_into(RUN, source, out)
        table = pandas.read_parquet(out)
        assert dict(zip(table.filename, table.label, strict=True)) == {start + n: c for n, c in expected.items()}
    one, label = next(iter(expected.items()))
    assert resnets.predict(RUN, f"s3://{bucket}/photos/{one}")[0].classes[0] == label
    assert len(resnets.predict(RUN, f"webdataset:s3://{bucket}/shards")) == len(expected)


def test_shards_in_s3_are_data_to_train_on(bucket: str, tmp_path: Path) -> None:
    """They are a stream with the samples of those here; single images in S3 are none, and the error says so."""
    there = resnets.load_data(f"webdataset:s3://{bucket}/shards").train
    here = resnets.load_data(f"webdataset:{tmp_path}/shards").train
    assert isinstance(there, ImageFiles) and isinstance(here, ImageFiles)
    assert {number: file.read() for number, file in there.numbered()} == {  # type: ignore[attr-defined]
        number: file.read()  # type: ignore[union-attr]
        for number, file in enumerate(here.paths)
    }
    with pytest.raises(UsageError, match="webdataset"):
        resnets.load_data(f"folder:s3://{bucket}/photos")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("s3://no-such-bucket/photos", DataError),
        ("s3://{bucket}/nothing", DataError),
        ("webdataset:s3://{bucket}/none.tar", DataError),
        ("webdataset:s3://{bucket}/photos", DataError),
        ("nosuch://bucket/photos", UsageError),
    ],
)
def test_what_is_not_there_is_one_line(bucket: str, tmp_path: Path, name: str, error: type[Exception]) -> None:
    """It names the address; with a folder for the results nothing is written."""
    name = name.format(bucket=bucket)
    with pytest.raises(error, match=name.removeprefix("webdataset:")) as raised:
        resnets.predict(RUN, name)
    assert "\n" not in str(raised.value)


def test_without_its_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of S3 and of the web."""
    for package, url in (("s3fs", "s3://bucket/a.jpg"), ("aiohttp", "https://127.0.0.1/a.jpg")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match=rf"{package}.*resnets\[remote\]"):
            resnets.predict(RUN, url)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, int], str]]:
    """A function that returns the URL of some content, at which the first requests fail.

    In turn they break after the half of it, and are refused for now.
    """
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0))
    contents: dict[str, list[Any]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in contents:
                self.send_error(404)
                return
            content, breaks = contents[self.path]
            contents[self.path][1] -= 1
            if breaks > 0 and breaks % 2:
                self.send_error(429)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[: len(content) // 2] if breaks > 0 else content)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None: ...

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def serve(content: bytes, breaks: int) -> str:
            contents[f"/{len(contents)}.bin"] = [content, breaks]
            return f"http://127.0.0.1:{server.server_address[1]}/{len(contents) - 1}.bin"

        yield serve
        server.shutdown()


def stream(url: str) -> bytes:
    with RemoteStream(url) as file:
        return file.read()


@pytest.mark.parametrize("read", [stream, lambda url: RemoteFile(url).read()], ids=["stream", "file"])
def test_broken_reads_are_repeated(web: Callable[[bytes, int], str], read: Callable[[str], bytes]) -> None:
    """From the place where they broke; where they break too often, the error is no damaged file's."""
    content = bytes(range(256)) * 1000
    assert read(web(content, 2)) == content
    with pytest.raises(StorageError, match=r"\.bin"):
        read(web(content, 100))
    with pytest.raises(DataError, match=r"none\.jpg"):
        read(web(content, 0).rpartition("/")[0] + "/none.jpg")


@pytest.mark.parametrize("size", [None, 2_000])
def test_an_image_is_read_up_to_a_limit(
    web: Callable[[bytes, int], str], size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not a listing has its size, which a web server need not say."""
    monkeypatch.setattr(remote, "MOST_BYTES", 1_999)
    with pytest.raises(DataError, match=r"\.bin.*1,999"):
        RemoteFile(web(bytes(2_000), 0), size).read()
    assert len(RemoteFile(web(bytes(1_999), 0)).read()) == 1_999


def test_storage_that_fails_is_no_result_of_an_image(web: Callable[[bytes, int], str], tmp_path: Path) -> None:
    """The images that it has are not lost: the command ends, and can be run again."""
    url = web(b"content", 100)
    with pytest.raises(StorageError):
        resnets.predict_into(RUN, [RemoteFile(url)], tmp_path / "out")
    assert not list((tmp_path / "out").glob("part-*"))
