"""Reconstructions that were made anywhere, as files named like the images: what is judged is pictures, of any model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from evenhand.data.decoding import DecodeError, decode_square
from evenhand.data.image_names import image_files, stem_of
from evenhand.data.locations import MAX_BYTES
from evenhand.models.architecture import Architecture
from evenhand.models.family import Frozen, Reconstruction
from evenhand.training.loop import to_pixels, to_unit_range
from evenhand.workflow.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SHOWN = 5  # names in a message


class Folder(Frozen):
    """For each picture that it was prepared for, the one of its name in the folder `path`, found by its pixels."""

    TITLE = "model of which the study knows the pictures alone"
    GIVES = ()
    TRAINED = False

    def __init__(self, architecture: Architecture, path: str) -> None:
        super().__init__(architecture, path=path)
        self.keep([], np.empty((0, 1, 1, 3), dtype=np.uint8))

    def keep(self, keys: Sequence[bytes], pictures: NDArray[np.uint8]) -> None:
        """Hold `pictures` (n, S, S, 3), of images with these keys, as what is written to the disk."""
        digests = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1 if keys else 0)
        self.register_buffer("keys", torch.from_numpy(digests.copy()))
        self.register_buffer("pictures", torch.from_numpy(pictures))
        self.places = {key: place for place, key in reversed(list(enumerate(keys)))}  # of equal images the first

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:  # noqa: ANN401
        """Hold what is in `state_dict`, whose shapes are those of the images that were prepared."""
        self.keep([row.tobytes() for row in state_dict["keys"].numpy()], state_dict["pictures"].numpy())

    def prepare(self, images: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Read the reconstruction of every image.

        Raises:
            UserError: an image has none, or several; a file is no picture of the size of the images.
        """
        path = Path(self.options["path"])
        found: dict[str, list[str]] = {}
        for file in sorted(image_files(path)):
            found.setdefault(stem_of(Path(file).name), []).append(file)
        files = [found.get(stem_of(name), []) for name in names]
        missing = [name for name, mine in zip(names, files, strict=True) if not mine]
        if missing:
            raise UserError(
                f"model.options.path: {path}: expected a reconstruction of each of {len(names)} test images, called "
                f"like it; {_listed(missing)} {'have' if len(missing) > 1 else 'has'} none"
            )
        several = [name for name, mine in zip(names, files, strict=True) if len(mine) > 1]
        if several:
            raise UserError(
                f"model.options.path: {path}: expected one file of each image; found several of {_listed(several)}"
            )
        side = images.shape[1]
        pictures, wrong = [], {}
        for (file,) in files:
            try:
                pictures.append(_picture(file, side))
            except ValueError as error:
                wrong[file] = str(error)
        if wrong:
            raise UserError(
                f"model.options.path: {path}: expected pictures of {side} x {side} pixels, as the study's; "
                f"{_listed(list(wrong))} {'are' if len(wrong) > 1 else 'is'} not, the first: "
                f"{next(iter(wrong.values()))}"
            )
        self.keep([_key(image) for image in images], np.stack(pictures))
        alike = len(names) - len(self.places)
        if alike:
            print(f"{alike} images have the pixels of another one: they are given the reconstruction of the first")

    def reconstruct(self, target: Tensor) -> Reconstruction:
        """The pictures of the images.

        Raises:
            UserError: it was not prepared for one of them.
        """
        keys = [_key(image) for image in to_pixels(target)]
        unknown = sum(key not in self.places for key in keys)
        if unknown:
            raise UserError(f"{unknown} of {len(keys)} images are none of those that reconstructions were read for")
        chosen = [self.places[key] for key in keys]
        return Reconstruction(to_unit_range(self.get_buffer("pictures")[chosen]))


def _key(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def _picture(file: str, side: int) -> NDArray[np.uint8]:
    """The picture in a file, (side, side, 3).

    Raises:
        ValueError: what the file is instead.
    """
    data = Path(file).read_bytes()
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes")
    try:
        picture, size = decode_square(data, side)
    except DecodeError as error:
        raise ValueError(f"{error.status}: {error}") from None
    if size != (side, side):
        raise ValueError(f"{size[0]} x {size[1]} pixels")
    return picture


def _listed(names: Sequence[str]) -> str:
    """How many there are, and the first."""
    rest = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} ({', '.join(names[:SHOWN])}{rest})"
