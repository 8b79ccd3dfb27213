"""The packed array: what is in it, what is said of what is not, and that nothing but the inputs decides."""

import gc
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packing_study import PHOTOGRAPHS, SIDE, Study, folder_of, md5, metadata_of, photograph

from evenhand.data import packing
from evenhand.data.decoding import IccPolicy, decode_square
from evenhand.data.image_names import names_of_ids
from evenhand.data.locations import ImageSource
from evenhand.data.packing import Settings
from evenhand.data.sources import locate_images
from evenhand.workflow.tables import write_csv, write_image_table
from pack_images import main as pack_images

CHECKSUMS = {image_id: [(image_id,)] for image_id in PHOTOGRAPHS}


def test_row_i_of_the_index_is_image_i_in_the_order_of_the_metadata(tmp_path: Path) -> None:
    hashes = list(PHOTOGRAPHS)[::-1]
    missing = hashes[3]
    files = {image_id: data for image_id, data in PHOTOGRAPHS.items() if image_id != missing}
    study = Study(tmp_path / "s", hashes, [{"folder": str(folder_of(tmp_path / "f", files))}])
    study.pack()
    assert study.images.dtype == np.uint8
    assert study.images.shape == (11, SIDE, SIDE, 3)
    assert study.index["row"].tolist() == list(range(11))
    assert study.index["id"].tolist() == [image_id for image_id in hashes if image_id != missing]
    for row, image_id in enumerate(study.index["id"]):
        pixels, (width, height) = decode_square(PHOTOGRAPHS[image_id], SIDE)
        np.testing.assert_array_equal(study.images[row], pixels)
        assert (study.index["width"][row], study.index["height"][row]) == (width, height)
    assert list(study.availability.index) == hashes
    assert study.availability["status"].to_dict() == {h: "missing" if h == missing else "ok" for h in hashes}


def test_photographs_that_another_study_has_packed_are_not_packed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = {"folder": str(folder_of(tmp_path / "f", PHOTOGRAPHS))}
    made = {}
    for name, contents in (("a", "same"), ("b", "same"), ("c", "another")):
        folder = tmp_path / "results" / name / "data"
        folder.mkdir(parents=True)
        study = Study(folder, list(PHOTOGRAPHS), [source])
        finished = f"results/{name}/data/.packed"
        study.pack("--finished", finished, "--contents", f'["{contents}"]', "--sums", str(folder / "packed.sha256"))
        made[name] = (folder / "images.npy").stat().st_ino, study.bytes()
    assert made["a"] == made["b"]
    assert made["c"][0] != made["a"][0]  # other photographs would be in it
    assert made["c"][1] == made["a"][1]


def test_chunks_workers_and_reruns_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"folder": str(folder_of(tmp_path / "f", PHOTOGRAPHS))}
    results = []
    for chunk, workers in [(1 << 22, 1), (1, 3), (3 * SIDE * SIDE * 3, 2)]:
        monkeypatch.setattr(packing, "CHUNK_BYTES", chunk)
        study = Study(tmp_path / "s", list(PHOTOGRAPHS), [source])
        study.pack(workers=workers)
        results.append(study.bytes())
    study.pack()
    assert results[0] == results[1] == results[2] == study.bytes()


def test_each_failure_has_its_own_word_and_stops_nothing(tmp_path: Path) -> None:
    good, wrong, html, truncated, empty, gone = list(PHOTOGRAPHS)[:6]
    page = b"<html>not found</html>"
    cut = PHOTOGRAPHS[truncated][:200]
    trusted = folder_of(tmp_path / "old", {html: page, truncated: cut, empty: b""})
    verified = folder_of(tmp_path / "new", {good: PHOTOGRAPHS[good], wrong: photograph(99)})
    sources = [{"folder": str(verified)}, {"folder": str(trusted), "verify": False}]
    study = Study(tmp_path / "s", [good, wrong, html, truncated, empty, gone], sources)
    study.pack()
    expected = ["ok", "wrong-hash", "not-an-image", "corrupt", "not-an-image", "missing"]
    assert study.availability["status"].tolist() == expected
    assert study.index["id"].tolist() == [good]
    assert "HTML page" in study.availability["detail"][html]
    assert str(verified) in study.availability["detail"][wrong]


def test_a_checksum_of_the_table_is_compared_and_not_the_id(tmp_path: Path) -> None:
    one, two = list(PHOTOGRAPHS.values())[:2]
    right, wrong, other = (folder_of(tmp_path / name, {"a": one, "b": data}) for name, data in
                           (("right", two), ("wrong", photograph(99)), ("other", two)))  # fmt: skip
    sums = [hashlib.sha256(one).hexdigest(), hashlib.sha256(two).hexdigest()]
    for folder, statuses in ((right, ["ok", "ok"]), (wrong, ["ok", "wrong-hash"])):
        study = Study(tmp_path / f"of {folder.name}", ["a", "b"], [{"folder": str(folder)}])
        write_image_table(metadata_of(["a", "b"]).assign(checksum=sums), study.path / "metadata.csv")
        study.pack()
        assert study.availability["status"].tolist() == statuses
        assert study.availability["verified"].tolist() == [status == "ok" for status in statuses]
    place = f"{wrong / 'b.jpg'}: the SHA-256 of its {len(photograph(99))} bytes is not {sums[1]}"
    assert study.availability["detail"]["b"] == place
    # Without a checksum an id that is no MD5 tells nothing.
    study = Study(tmp_path / "none", ["a", "b"], [{"folder": str(other)}])
    study.pack()
    assert study.availability["status"].tolist() == ["wrong-hash"] * 2
    assert "has no checksum" in study.availability["detail"]["a"]


def test_a_later_source_helps_out_and_the_table_says_why(tmp_path: Path) -> None:
    one, two = list(PHOTOGRAPHS)[:2]
    broken = folder_of(tmp_path / "broken", {one: b"garbage", two: PHOTOGRAPHS[two]})
    old = folder_of(tmp_path / "old", {one: PHOTOGRAPHS[one], two: photograph(99)})
    study = Study(tmp_path / "s", [one, two], [{"folder": str(broken)}, {"folder": str(old), "verify": False}])
    study.pack()
    assert study.index["found_in"].tolist() == [str(old), str(broken)]
    assert study.index["verified"].tolist() == [False, True]
    assert "MD5" in study.availability["detail"][one]
    assert study.availability["detail"][two] == ""
    np.testing.assert_array_equal(study.images[1], decode_square(PHOTOGRAPHS[two], SIDE)[0])


def test_an_image_nobody_has_tells_how_its_download_went(tmp_path: Path) -> None:
    one, two, three = list(PHOTOGRAPHS)[:3]
    status = pd.DataFrame({"id": [two, three], "status": ["http-404", "ok"], "detail": ["Not Found", ""]}, dtype="str")
    write_csv(status, tmp_path / "shard0.csv")
    sources = [{"folder": str(folder_of(tmp_path / "f", {one: PHOTOGRAPHS[one]}))}, {"urls": True}]
    study = Study(tmp_path / "s", [one, two, three], sources)
    folder_of(study.path / "downloads", {three: PHOTOGRAPHS[three]})
    study.pack("--download-status", str(tmp_path), "--shards", "1")
    assert study.availability["status"].tolist() == ["ok", "http-404", "ok"]
    assert study.availability["found_in"].tolist() == [sources[0]["folder"], "", "urls"]


def test_a_download_that_is_gone_since_is_no_photograph(tmp_path: Path) -> None:
    one, two = list(PHOTOGRAPHS)[:2]
    write_csv(pd.DataFrame({"id": [two], "status": ["ok"], "detail": [""]}), tmp_path / "shard0.csv")
    source = {"folder": str(folder_of(tmp_path / "f", {one: PHOTOGRAPHS[one]}))}
    study = Study(tmp_path / "s", [one, two], [source, {"urls": True}])
    study.pack("--download-status", str(tmp_path), "--shards", "1")
    assert study.availability["status"].tolist() == ["ok", "missing"]
    assert "fetch it again" in study.availability["detail"][two]
    assert study.index["id"].tolist() == [one]


def test_a_path_that_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    image_id = next(iter(PHOTOGRAPHS))
    folder = os.fsencode(tmp_path / "f") + b"\xe9"  # as an old disk in Latin-1 has it
    os.mkdir(folder)
    Path(os.fsdecode(folder), f"{image_id}.jpg").write_bytes(b"")
    study = Study(tmp_path / "s", [image_id], [{"folder": str(tmp_path), "verify": False}])
    study.pack()
    assert rf"f\udce9/{image_id}.jpg" in study.availability["detail"][image_id]


def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_BYTES", 10 * SIDE * SIDE * 3)

    def peak(n: int) -> int:
        """Bytes held by Python and NumPy at the worst moment."""
        files = {f"{i:032x}": b"no image" for i in range(n)}
        study = Study(tmp_path / str(n), list(files), [{"folder": str(folder_of(tmp_path / f"f{n}", files))}])
        gc.collect()
        tracemalloc.start()
        pack_images(study.arguments(workers=1))
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    peak(10)  # what is made once, such as caches
    few, many = peak(1500), peak(4500)
    assert many - few < 3000 * 100  # bytes, for buffers that fill; a row with its places and outcome takes 1,000


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_BYTES", 1)  # one image a chunk
    locations = locate_images(
        [ImageSource(folder_of(tmp_path / "f", PHOTOGRAPHS), "f")], names_of_ids(PHOTOGRAPHS), tmp_path
    )
    work = tmp_path / "work"
    pack = lambda: packing.pack_images(CHECKSUMS, locations, Settings(SIDE), work_folder=work, workers=1)  # noqa: E731
    read = packing.read_image
    decoded: list[str] = []

    def dies_at_the_sixth(image_id: str, *rest: object) -> object:
        if len(decoded) == 5:
            raise KeyboardInterrupt
        decoded.append(image_id)
        return read(image_id, *rest)

    monkeypatch.setattr(packing, "read_image", dies_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        pack()
    again: list[str] = []
    monkeypatch.setattr(packing, "read_image", lambda image_id, *rest: again.append(image_id) or read(image_id, *rest))
    pack()
    assert sorted(decoded + again) == sorted(PHOTOGRAPHS)  # each image once in all
    resumed = (work / packing.ARRAY).read_bytes()
    shutil.rmtree(work)
    pack()
    assert (work / packing.ARRAY).read_bytes() == resumed


def test_only_what_the_journal_vouches_for_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "CHUNK_BYTES", 1)  # one image a chunk
    locations = locate_images(
        [ImageSource(folder_of(tmp_path / "f", PHOTOGRAPHS), "f")], names_of_ids(PHOTOGRAPHS), tmp_path
    )
    work = tmp_path / "work"
    array, journal = work / packing.ARRAY, work / "journal.jsonl"
    read = packing.read_image
    again: list[str] = []
    monkeypatch.setattr(packing, "read_image", lambda image_id, *rest: again.append(image_id) or read(image_id, *rest))

    def decoded_again(icc: IccPolicy = "convert") -> int:
        again.clear()
        packing.pack_images(CHECKSUMS, locations, Settings(SIDE, icc), work_folder=work, workers=2)
        return len(again)

    assert decoded_again() == 12
    complete, lines = array.read_bytes(), journal.read_text().splitlines()
    assert decoded_again() == 0
    journal.write_text("\n".join(lines[:7]) + "\n" + lines[7][:30])  # cut in the middle of a line
    assert decoded_again() == 5
    assert array.read_bytes() == complete
    journal.write_text("\n".join([*lines[:3], lines[4], *lines[4:]]))  # another chunk where the fourth should be
    assert decoded_again() == 9
    assert array.read_bytes() == complete
    os.truncate(array, len(complete) - SIDE * SIDE * 3 - 1)  # less on disk than the journal says
    assert decoded_again() == 2
    assert array.read_bytes() == complete
    assert decoded_again("ignore") == 12


def test_finished_chunks_of_other_settings_or_files_are_not_taken_over(tmp_path: Path) -> None:
    image_id = next(iter(PHOTOGRAPHS))
    path = folder_of(tmp_path / "f", {image_id: PHOTOGRAPHS[image_id]})
    source, names = ImageSource(path, "f", verify=False), names_of_ids([image_id])
    job = lambda: [(image_id, locate_images([source], names, tmp_path)[image_id])]  # noqa: E731
    key = packing._job_key(job(), Settings(SIDE))
    assert key == packing._job_key(job(), Settings(SIDE))
    assert key != packing._job_key(job(), Settings(2 * SIDE))
    assert key != packing._job_key(job(), Settings(SIDE, "ignore"))
    (path / f"{image_id}.jpg").write_bytes(photograph(99))
    assert key != packing._job_key(job(), Settings(SIDE))


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_kill_9_at_any_time_leaves_nothing_half_written(tmp_path: Path, delay: float) -> None:
    photographs = {md5(data): data for data in map(photograph, range(400))}
    study = Study(tmp_path / "s", list(photographs), [{"folder": str(folder_of(tmp_path / "f", photographs))}])
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from evenhand.data import packing; import pack_images;"
        "packing.CHUNK_BYTES = 20_000; print('ready', flush=True); pack_images.main(sys.argv[2:])"
    )
    scripts = str(Path(packing.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", code, scripts, *study.arguments()], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for name in ["images.npy", "images.csv", "availability.csv"]:
        if (study.path / name).exists():  # complete, or it would not have its name
            assert len(np.load(study.path / name) if name.endswith("npy") else pd.read_csv(study.path / name)) == 400
    study.pack()
    fresh = Study(tmp_path / "t", list(photographs), study.sources)
    fresh.pack()
    assert study.bytes() == fresh.bytes()


@pytest.mark.skipif("FITZ_SAMPLE" not in os.environ, reason="FITZ_SAMPLE (folder of real photographs) is not set")
def test_every_real_original_has_its_md5_and_decodes(tmp_path: Path) -> None:
    originals = Path(os.environ["FITZ_SAMPLE"], "originals")
    hashes = sorted(path.stem for path in originals.glob("*.jpg"))
    study = Study(tmp_path / "s", hashes, [{"folder": str(originals)}])
    study.pack()
    assert set(study.availability["status"]) == {"ok"}
    assert study.index["verified"].all()
