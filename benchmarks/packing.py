"""Speed and memory of packing, against a plain loop of Pillow's open, resize and crop.

    python benchmarks/packing.py                        generated pictures
    FITZ_SAMPLE=<folder> python benchmarks/packing.py   the photographs there, at the sizes of its originals

Prints images per second and per second of processor time, their ratios in the same run, and the peak memory of packing
for few and for many images: VmHWM of a process of its own, whose workers are threads.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

import pandas as pd

from evenhand.data.metadata import COLUMNS
from evenhand.training.devices import peak_resident_mb
from evenhand.workflow.files import write_text
from evenhand.workflow.tables import as_csv
from pack_images import main as pack_images

SIDE = 128
OUTPUTS = ["images", "index", "availability"]
# Shorter sides of 95 originals of Fitzpatrick17k, in pixels, at these quantiles.
SIDES = [89, 259, 312, 370, 400, 465, 1920]
QUANTILES = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4087, help="pictures for the speed")
    parser.add_argument(
        "--many", type=int, nargs="+", default=[50_000], help="numbers of small pictures for the memory"
    )
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        start, cpu = time.perf_counter(), time.process_time()
        pack_images(args.measure)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_resident_mb()}))
        return
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        for name, files in [("originals' sizes", originals(args.images)), ("2,000 px", large(args.images // 10))]:
            folder = write(Path(temporary, "pictures"), files)
            count = len(list(folder.glob("*.jpg")))
            # In turns, so that a change in the machine's pace meets both; the best of three.
            pairs = [(plain_loop(folder), measured(folder, workers)) for _ in range(3)]
            plain, plain_cpu = min(pair[0] for pair in pairs)
            packed = min((pair[1] for pair in pairs), key=lambda result: result["seconds"])
            print(
                f"{name}: {count} pictures on {workers} cores: plain loop {count / plain:.0f}/s, packing "
                f"{count / packed['seconds']:.0f}/s, ratio {plain / packed['seconds']:.1f} "
                f"(per second of processor time {plain_cpu / packed['cpu']:.1f}); "
                f"peak memory {packed['peak_mb']:.0f} MB"
            )
        folder = write(Path(temporary, "many"), (small(i) for i in range(max(args.many))))
        for count in (args.images, *args.many):
            result = measured(folder, workers, count)
            print(f"{count} small pictures: {count / result['seconds']:.0f}/s, peak memory {result['peak_mb']:.0f} MB")


def originals(n: int) -> Iterator[bytes]:
    """Pictures at the sizes of the originals: the photographs of FITZ_SAMPLE where it is set, else generated ones."""
    rng = np.random.default_rng(0)
    sides = np.interp(rng.random(n), QUANTILES, SIDES).astype(int)
    sample = sorted(Path(os.environ["FITZ_SAMPLE"], "images-160").glob("*.jpg")) if "FITZ_SAMPLE" in os.environ else []
    for i, side in enumerate(sides):
        yield jpeg(Image.open(sample[i % len(sample)]) if sample else picture(i), int(side), quality=85)


def large(n: int) -> Iterator[bytes]:
    for i in range(n):
        yield jpeg(picture(i), 2000, quality=90)


def small(i: int) -> bytes:
    return jpeg(picture(i, 16), 40, quality=80)


def picture(seed: int, detail: int = 160) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (detail, detail * 4 // 3, 3), np.uint8))


def jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    scale = side / min(image.size)
    buffer = io.BytesIO()
    resized = image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    resized.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write(folder: Path, files: Iterable[bytes]) -> Path:
    folder = Path(tempfile.mkdtemp(dir=folder.parent))
    for data in files:
        (folder / f"{hashlib.md5(data).hexdigest()}.jpg").write_bytes(data)
    return folder


def plain_loop(folder: Path) -> tuple[float, float]:
    """The loop that everybody writes first; its seconds and those of processor time."""
    paths = sorted(folder.glob("*.jpg"))
    out = np.empty((len(paths), SIDE, SIDE, 3), np.uint8)
    start, cpu = time.perf_counter(), time.process_time()
    for row, path in enumerate(paths):
        image = Image.open(path).convert("RGB")
        scale = SIDE / min(image.size)
        image = image.resize(
            (max(SIDE, round(image.width * scale)), max(SIDE, round(image.height * scale))), Image.Resampling.BILINEAR
        )
        left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
        out[row] = np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))
    return time.perf_counter() - start, time.process_time() - cpu


def measured(folder: Path, workers: int, count: int | None = None) -> dict[str, float]:
    """Seconds and peak memory of the packing stage, in a process of its own."""
    hashes = sorted(path.stem for path in folder.glob("*.jpg"))[:count]
    with tempfile.TemporaryDirectory() as temporary:
        paths = {name: str(Path(temporary, name)) for name in ("metadata", "downloads", "work", *OUTPUTS)}
        table = pd.DataFrame({"id": hashes}).reindex(columns=COLUMNS, fill_value="1").assign(checksum="")
        write_text(as_csv(table), paths["metadata"])
        options = {"--sources": json.dumps([{"folder": str(folder)}]), "--side": str(SIDE), "--icc": "convert"}
        options |= {f"--{name}": path for name, path in paths.items()} | {"--workers": str(workers)}
        arguments = json.dumps([text for option in options.items() for text in option])
        command = [sys.executable, __file__, "--measure", arguments]
        output = subprocess.run(command, check=True, capture_output=True, text=True)
    counts, last = output.stdout.splitlines()
    assert counts == f"ok: {len(hashes)}", counts
    result: dict[str, float] = json.loads(last)
    return result


if __name__ == "__main__":
    main()
