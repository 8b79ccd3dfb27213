"""Embeddings in TFRecord: what TensorFlow writes is read, what is damaged is refused with its place."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evenhand.probes.embeddings import read_embeddings
from evenhand.probes.sources import SourceSpec, read_source
from evenhand.probes.tfrecord import crc32c, features_of, masked, read_examples
from evenhand.workflow.errors import UserError

Features = Mapping[str, Sequence[float] | Sequence[bytes] | Sequence[int]]
NAMES = [f"0{number}aa-{number}" for number in range(6)]


def varint(number: int) -> bytes:
    number %= 1 << 64
    coded = b""
    while number > 0x7F:
        coded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return coded + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def serialised(features: Features, packed: bool = True) -> bytes:
    """A tf.train.Example, floats and whole numbers in one run or each by itself."""
    entries = b""
    for name, values in features.items():
        if isinstance(values[0], bytes):
            kind, content = 1, b"".join(field(1, text) for text in values)
        elif isinstance(values[0], float):
            runs = [struct.pack("<f", value) for value in values]
            kind, content = 2, field(1, b"".join(runs)) if packed else b"".join(b"\x0d" + run for run in runs)
        else:
            runs = [varint(value) for value in values]
            kind, content = 3, field(1, b"".join(runs)) if packed else b"".join(b"\x08" + run for run in runs)
        entries += field(1, field(1, name.encode()) + field(2, field(kind, content)))
    return field(1, entries)


def framed(record: bytes) -> bytes:
    head = struct.pack("<Q", len(record))
    return head + struct.pack("<I", masked(head)) + record + struct.pack("<I", masked(record))


def write(path: Path, *examples: Features) -> Path:
    path.write_bytes(b"".join(framed(serialised(example)) for example in examples))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One record per file, as CXR Foundation has it, in folders."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        below = tmp_path / "records" / f"p{number % 2}"
        below.mkdir(parents=True, exist_ok=True)
        write(
            below / f"{name}.tfrecord",
            {"embedding": rng.normal(size=1376).tolist(), "image/id": [b"x" + name.encode()]},
        )
    return tmp_path / "records"


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, section B.4, read as the number whose lowest byte the RFC sends first
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (
            bytes.fromhex(
                "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
            ),
            0xD9963A56,
        ),
        (b"123456789", 0xE3069283),  # the check value of catalogues of checksums
        (b"", 0),
    ],
)
def test_checksums_are_those_of_the_rfc(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_a_file_is_read_byte_by_byte_as_it_is_specified(tmp_path: Path) -> None:
    """A record of one feature, `embedding` with 1 and -2, spelt out, and not by the writer of this test."""
    example = bytes.fromhex(
        "0a1b"  # features, 27 bytes
        "0a19"  # an entry of the map, 25 bytes
        "0a09" + b"embedding".hex() +  # its key
        "120c"  # its value, a feature of 12 bytes
        "120a"  # a list of floats, 10 bytes
        "0a08" "0000803f" "000000c0"  # a run of 8 bytes: 1.0, -2.0
    )  # fmt: skip
    assert len(example) == 29
    head = bytes.fromhex("1d00000000000000")
    rotated = [(value >> 15 | value << 17) & 0xFFFFFFFF for value in (crc32c(head), crc32c(example))]
    sums = [(value + 0xA282EAD8) % 2**32 for value in rotated]
    path = tmp_path / "x.tfrecord"
    path.write_bytes(head + struct.pack("<I", sums[0]) + example + struct.pack("<I", sums[1]))
    (features,) = read_examples(path)
    assert list(features) == ["embedding"]
    assert np.asarray(features["embedding"]).tolist() == [1.0, -2.0]


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    st.lists(st.binary(max_size=9), min_size=1, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    st.booleans(),
)
def test_every_kind_of_feature_comes_back(
    floats: list[float], texts: list[bytes], numbers: list[int], packed: bool
) -> None:
    found = features_of(serialised({"a": floats, "b": texts, "c": numbers}, packed))
    np.testing.assert_array_equal(np.asarray(found["a"]), np.array(floats, np.float32))
    assert (found["b"], found["c"]) == (texts, numbers)


@given(st.binary(max_size=60))
def test_bytes_that_are_no_example_are_refused_in_one_way(data: bytes) -> None:
    with suppress(ValueError, IndexError, struct.error):
        features_of(data)


@pytest.mark.parametrize("place", range(0, 3))
def test_what_is_damaged_or_cut_off_is_named_with_its_place(tmp_path: Path, place: int) -> None:
    good = framed(serialised({"embedding": [1.0, 2.0]}))
    path = tmp_path / "x.tfrecord"
    at = place * len(good)
    for byte in range(len(good)):
        records = bytearray(good * 3)
        records[at + byte] ^= 4
        path.write_bytes(records)
        with pytest.raises(UserError, match=rf"x\.tfrecord: the record at byte {at} is damaged"):
            list(read_examples(path))
    for length in range(1, len(good)):
        path.write_bytes(good * place + good[:length])
        with pytest.raises(UserError, match=rf"x\.tfrecord: the record at byte {at} is cut off"):
            list(read_examples(path))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(framed(b"\x0b\x0b"))
    with pytest.raises(UserError, match=r"the record at byte 0 is no tf\.train\.Example: a field of unknown type 3"):
        list(read_examples(path))
    path.write_bytes(b"\x1f\x8b" + bytes(30))
    with pytest.raises(UserError, match="compressed by gzip"):
        list(read_examples(path))


def test_a_folder_has_an_id_per_file(folder: Path, tmp_path: Path) -> None:
    found = read_embeddings(folder, "mine", "dicom_id", None, None)
    assert found.ids == [*NAMES[::2], *NAMES[1::2]]  # in the order of the paths
    assert found.matrix.shape == (6, 1376)
    assert found.matrix.dtype == np.float32
    assert found.found == "6 files, 1376 features; ids from names of the files"
    assert read_embeddings(folder, "mine", "dicom_id", "image/id", None).ids == [f"x{name}" for name in found.ids]
    assert read_embeddings(folder, "mine", None, None, None).ids is None

    table = pd.DataFrame({"dicom_id": NAMES, "subject_id": [f"p{number // 2}" for number in range(6)]})
    table.to_csv(tmp_path / "meta.csv", index=False)
    source = read_source("mine", folder, [tmp_path / "meta.csv"], SourceSpec("dicom_id", "subject_id"))
    np.testing.assert_array_equal(source.matrix, found.matrix[[0, 3, 1, 4, 2, 5]])
    assert source.table["dicom_id"].tolist() == NAMES


def test_a_file_of_many_records_needs_a_feature_of_ids(tmp_path: Path) -> None:
    examples: list[Features] = [{"embedding": [1.0, 2.0], "name": [b"a"]}, {"embedding": [3.0, 4.0], "name": [b"b"]}]
    path = write(tmp_path / "x.tfrecord", *examples)
    with pytest.raises(UserError, match="several records and none of their features, 'embedding', 'name', is called"):
        read_embeddings(path, "mine", "image", None, None)
    assert read_embeddings(path, "mine", "name", None, None).ids == ["a", "b"]
    assert read_embeddings(path, "mine", "image", "name", None).ids == ["a", "b"]
    assert read_embeddings(path, "mine", None, None, None).matrix.tolist() == [[1, 2], [3, 4]]
    with pytest.raises(UserError, match="needs one text or whole number in the feature 'embedding'"):
        read_embeddings(path, "mine", "image", "embedding", None)
    with pytest.raises(UserError, match="no feature 'vector' of floats; it has 'embedding', 'name'"):
        read_embeddings(path, "mine", "name", None, "vector")
    write(path, examples[0], {"embedding": [3.0], "name": [b"b"]})
    with pytest.raises(UserError, match="has 1 floats in a record, those before it 2"):
        read_embeddings(path, "mine", "name", None, None)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"a folder without files \.tfrecord"):
        read_embeddings(tmp_path / "empty", "mine", "id", None, None)
    (tmp_path / "none.tfrecord").write_bytes(b"")
    with pytest.raises(UserError, match="holds no record"):
        read_embeddings(tmp_path / "none.tfrecord", "mine", "id", None, None)
