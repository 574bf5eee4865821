"""The example next to an exported ONNX file: a program that classifies images and needs neither torch nor resnets."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from resnets.errors import UsageError
from resnets.files import read_bytes, reading
from resnets.specs import InputSpec


def example(input_spec: InputSpec, *, from_pixels: bool) -> str:
    """Return a Python program that classifies images in RGB or grey by the ONNX file next to it.

    The file has its name without .py; it reads the classes and the input from there. The image is resized and cropped
    as in `single_view`. Its last line has the digest of the others.
    """
    mode = "RGB" if input_spec.channels == 3 else "L"
    lines = [
        '"""Classify images: python FILE.onnx.py photo.jpg ...   It needs onnxruntime, Pillow and NumPy."""',
        "",
        "import base64, json, sys" if input_spec.mean_image and not from_pixels else "import json, sys",
        "import numpy as np, onnxruntime",
        "from PIL import Image, ImageOps",
        "",
        'session = onnxruntime.InferenceSession(__file__.removesuffix(".py"))',
        "about = session.get_modelmeta().custom_metadata_map",
        'classes, spec = json.loads(about["classes"]), json.loads(about["input"])',
        'size, resize, how = spec["size"], spec["resize"], Image.Resampling[spec["interpolation"].upper()]',
        *([] if from_pixels else _statistics(input_spec)),
        "for path in sys.argv[1:]:",
        "    try:",
        f'        image = ImageOps.exif_transpose(Image.open(path)).convert("{mode}")',
        "    except (OSError, SyntaxError) as error:  # it is not there, or no image",
        '        sys.exit(f"{path}: {error}")',
        "    image = image.resize([int(resize * side / min(image.size)) for side in image.size], how)",
        "    left, top = (round((side - size) / 2) for side in image.size)",
        "    x = np.asarray(image.crop((left, top, left + size, top + size))).reshape(1, size, size, -1)",
        *([] if from_pixels else _normalization(input_spec)),
        '    (logits,) = session.run(["logits"], {"images": x})[0]',
        "    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()",
        '    print(f"{path}: {classes[probabilities.argmax()]} {probabilities.max():.6f}")',
    ]
    text = "\n".join(lines) + "\n"
    return f"{text}{_mark(text)}"


def is_example(path: Path) -> bool:
    """Return whether a file is an example as it was written: `export` may replace it, and nothing of a user's is lost.

    Raises: UsageError, if it cannot be read.
    """
    with reading(path, UsageError):
        text = read_bytes(path).decode(errors="replace")
    *lines, last = text.splitlines(keepends=True) or [""]
    return last == _mark("".join(lines))


def _mark(text: str) -> str:
    digest = sha256(text.encode()).hexdigest()[:12]
    return f"# Written by resnets export (SHA-256 {digest}), which replaces it unless it is edited.\n"


def _statistics(input_spec: InputSpec) -> list[str]:
    mean = 'spec["mean"] or 0'
    if input_spec.mean_image is not None:
        mean = 'np.frombuffer(base64.b64decode(spec["mean_image"]), "<f4").reshape(size, size, -1)'
    return [f'mean, std = {mean}, spec["std"] or 1']


def _normalization(input_spec: InputSpec) -> list[str]:
    order = "[..., ::-1]" if input_spec.channel_order == "BGR" else ""
    return [
        f'    x = (x{order} * (spec["max_value"] / 255) - mean) / std',
        '    x = x.transpose(0, 3, 1, 2).astype("float32")',
    ]
