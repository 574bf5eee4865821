"""A repository as the Hugging Face Hub's cache keeps it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest


def hub_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch, repository: str, content: bytes, config: dict[str, Any]
) -> Path:
    """Write a repository of weights in a cache without network, and return their file, named by its SHA-256."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    top = folder / f"models--{repository.replace('/', '--')}"
    snapshot = top / "snapshots" / "abc"
    for made in (top / "blobs", top / "refs", snapshot):
        made.mkdir(parents=True)
    (top / "refs" / "main").write_text("abc")
    blob = top / "blobs" / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)
    (snapshot / "config.json").write_text(json.dumps(config))
    return blob
