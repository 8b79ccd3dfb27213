"""TFRecord files without TensorFlow: records with checksums, each a tf.train.Example of named features.

A record is its length (8 bytes, little-endian), a checksum of that, its bytes, and a checksum of those. A checksum is
the CRC-32C (Castagnoli, RFC 3720), rotated and shifted by a constant. The bytes are a protocol buffer; what is read of
it here are the lists of texts, floats and whole numbers of its features.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evenhand.workflow.errors import UserError

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
MASK = 0xA282EAD8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of a protocol buffer
TEXTS, FLOATS, INTEGERS = 1, 2, 3  # fields of a feature
Value = NDArray[np.float32] | list[bytes] | list[int]


def read_examples(path: Path) -> Iterator[Mapping[str, Value]]:
    """The features of each record by name: float32 (n,), texts or whole numbers.

    Raises:
        UserError: the file is compressed, a record is cut off, its checksum is another, or it is no tf.train.Example;
            names the file and the byte at which the record begins.
    """
    for offset, record in read_records(path):
        try:
            yield features_of(record)
        except (ValueError, IndexError, struct.error) as error:
            raise UserError(f"{path}: the record at byte {offset} is no tf.train.Example: {error}") from error


def read_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each record begins, and its bytes, once its checksums are right; errors as in `read_examples`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while (offset := file.tell()) < size:
            head = file.read(12)
            if offset == 0 and head.startswith(b"\x1f\x8b"):
                raise UserError(f"{path}: expected TFRecord as it is; this file is compressed by gzip. Unpack it")
            if len(head) < 12:
                raise UserError(f"{path}: the record at byte {offset} is cut off: {len(head)} of 12 bytes of its head")
            length, length_sum = struct.unpack("<QI", head)
            if masked(head[:8]) != length_sum:
                raise UserError(
                    f"{path}: the record at byte {offset} is damaged: the checksum of its length is another"
                )
            if offset + 12 + length + 4 > size:
                raise UserError(
                    f"{path}: the record at byte {offset} is cut off: it has {length:,} bytes, and the file ends after "
                    f"{size - offset - 12:,}"
                )
            record = file.read(length)
            if masked(record) != struct.unpack("<I", file.read(4))[0]:
                raise UserError(f"{path}: the record at byte {offset} is damaged: the checksum of its bytes is another")
            yield offset, record


def features_of(example: bytes) -> dict[str, Value]:
    """The features of a serialised tf.train.Example.

    Raises:
        ValueError, IndexError, struct.error: it is none.
    """
    found: dict[str, Value] = {}
    for features in _fields(example, 1):
        for entry in _fields(features, 1):
            (name,) = _fields(entry, 1)
            (feature,) = _fields(entry, 2)
            found[name.decode()] = _value(feature)
    return found


def masked(data: bytes) -> int:
    """The checksum that stands in the file."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C of RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _table() -> list[int]:
    """The remainder of each byte."""
    remainders = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
        remainders.append(crc)
    return remainders


TABLE = _table()


def _value(feature: bytes) -> Value:
    """A feature's list; an empty one, whose kind is not stored, is a list of no texts."""
    floats = [np.frombuffer(run, "<f4") for values in _fields(feature, FLOATS) for run in _fields(values, 1)]
    if floats:
        return np.concatenate(floats).astype(np.float32)
    integers = [
        number for values in _fields(feature, INTEGERS) for run in _fields(values, 1) for number in _varints(run)
    ]
    return integers or [text for values in _fields(feature, TEXTS) for text in _fields(values, 1)]


def _fields(message: bytes, wanted: int) -> list[bytes]:
    """The bytes of the fields of that number; a single float or whole number has the same bytes as a run of one."""
    found, at = [], 0
    while at < len(message):
        key, at = _varint(message, at)
        field, wire = key >> 3, key & 7
        begin = at
        if wire == BYTES:
            length, begin = _varint(message, at)
            at = begin + length
        elif wire == VARINT:
            _, at = _varint(message, at)
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"a field of unknown type {wire} at its byte {begin}")
        if at > len(message):
            raise ValueError(f"a field at its byte {begin} goes on past the end")
        if field == wanted:
            found.append(message[begin:at])
    return found


def _varints(run: bytes) -> Iterator[int]:
    at = 0
    while at < len(run):
        number, at = _varint(run, at)
        yield number - (1 << 64) if number >> 63 else number  # int64: below zero in two's complement


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at its byte {at}")
