"""Studies in small for the tests of packing: made-up photographs, and the packing stage run on them."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from evenhand.data.metadata import COLUMNS
from evenhand.workflow.tables import write_image_table
from pack_images import main as pack_images

SIDE = 16


def photograph(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    size = rng.integers(20, 60, 2)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


PHOTOGRAPHS = {md5(data): data for data in map(photograph, range(12))}


def metadata_of(ids: list[str]) -> pd.DataFrame:
    table = pd.DataFrame({"id": ids})
    table["skin_type"] = [(1, 2, 5, 6)[i % 4] for i in range(len(table))]
    table["second_skin_type"] = 1
    table["checksum"] = ""
    for column in [column for column in COLUMNS if column not in table]:
        table[column] = "x"
    return table[COLUMNS]


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for image_id, content in files.items():
        (path / f"{image_id}.jpg").write_bytes(content)
    return path


class Study:
    """A folder with metadata and sources, and the two scripts of the packing stage run on it."""

    def __init__(self, path: Path, hashes: list[str], sources: list[dict[str, object]]) -> None:
        self.path, self.sources = path, sources
        path.mkdir(exist_ok=True)
        write_image_table(metadata_of(hashes), path / "metadata.csv")

    def arguments(self, workers: int = 2) -> list[str]:
        named = {"--images": "images.npy", "--index": "images.csv", "--availability": "availability.csv"}
        paths = {"--metadata": "metadata.csv", "--downloads": "downloads", "--work": "work", **named}
        options = {"--sources": json.dumps(self.sources), "--side": str(SIDE), "--icc": "convert"}
        options |= {option: str(self.path / name) for option, name in paths.items()} | {"--workers": str(workers)}
        return [text for option in options.items() for text in option]

    def pack(self, *more: str, workers: int = 2) -> None:
        pack_images([*self.arguments(workers), *more])
        self.images = np.load(self.path / "images.npy", mmap_mode="r")
        self.index = pd.read_csv(self.path / "images.csv")
        self.availability = pd.read_csv(self.path / "availability.csv", keep_default_na=False).set_index("id")

    def bytes(self) -> list[bytes]:
        return [(self.path / name).read_bytes() for name in ("images.npy", "images.csv", "availability.csv")]
