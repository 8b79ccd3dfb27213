"""The ruler: what known damages to the test images cost by each measure, whichever group they show (study, section 12).

A measure may charge less for the same damage in one group than in another: mean squared error charges a picture of 35 %
of the contrast an eighth for the same blur. Then a gap in it is in part one of the ruler.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

from evenhand.evaluation.measures import MEASURES, RULED
from evenhand.evaluation.reconstructions import FULL_BATCH_SIDE, skin_of
from evenhand.models.codec import recode
from evenhand.models.lpips import Lpips
from evenhand.models.perceptual import PerceptualLoss
from evenhand.splits.manifests import read_images
from evenhand.training.loop import to_pixels
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import generator

Images = npt.NDArray[np.float32]  # (n, S, S, 3) in [-1, 1]
Floats = npt.NDArray[np.float64]
Networks = Mapping[str, PerceptualLoss | Lpips]

THIRDS = ("darkest third", "middle third", "lightest third")


@dataclass(frozen=True)
class Damage:
    """A way to spoil images, and by how much: `of` takes images, a step and, for each image, noise of variance 1."""

    steps: tuple[float, ...]
    of: Callable[[Images, float, Images], Images]


def blurred(images: Images, radius: float, noise: Images) -> Images:
    """Gaussian blur of a standard deviation in pixels, of pictures that go on mirrored beyond their edges.

    By cosine transforms, whose time does not grow with the radius.
    """
    side = images.shape[1]
    passed = np.exp(-((np.pi * radius / side * np.arange(side)) ** 2) / 2).astype(images.dtype)
    spectrum = dctn(images, axes=(1, 2)) * passed[:, None, None] * passed[:, None]
    found: Images = idctn(spectrum, axes=(1, 2))
    return found


def noisy(images: Images, levels: float, noise: Images) -> Images:
    """Noise of a standard deviation in levels of 255, cut to what a picture can show."""
    return np.clip(images + np.float32(levels * 2 / 255) * noise, -1, 1)


def tinted(images: Images, strength: float, noise: Images) -> Images:
    """A warm cast: red times 1 + strength, blue times 1 - strength."""
    factors = np.array([1 + strength, 1, 1 - strength], np.float32)
    return np.clip((images + 1) * factors - 1, -1, 1)


def compressed(images: Images, quality: float, noise: Images) -> Images:
    """Saved as JPEG of that quality."""
    found = [recode(pixels, "JPEG", int(quality), len(pixels))[0] for pixels in to_pixels(_tensor(images))]
    return np.stack(found).astype(np.float32) / 127.5 - 1


# From hardly seen to hardly a picture, so that errors of poor models can be read off as well; the order of the tables.
DAMAGES = {
    "blur": Damage((1, 2, 4, 8, 16, 32), blurred),
    "noise": Damage((2, 5, 10, 20), noisy),
    "tint": Damage((0.05, 0.1, 0.2, 0.4), tinted),
    "JPEG": Damage((90, 70, 40, 10), compressed),
}
# Of an image: their features are held until they are compared, and caches hold their pixels. Of images smaller
# than `FULL_BATCH_SIDE` as many as fill these: features of few small ones take as long as those of all.
STEPS_AT_A_TIME = 6


def measure_ruler(
    images: str | Path,
    rows: npt.NDArray[np.int64],
    ids: Sequence[str],
    slow: npt.NDArray[np.bool_],
    networks: Networks,
    *,
    skin: bool,
    seed: int,
    workers: int,
) -> pd.DataFrame:
    """What each damage of each image costs: how much worse than the image itself each measure finds it.

    Args:
        images: .npy, of which the rows in hand alone are read: (n, S, S, 3).
        rows: of the images to damage, (m,).
        ids: their names, which seed the noise: no other image changes a number.
        slow: (m,), of which of them features and skin are measured, which takes long; NaN for the others.
        networks: those that compare features, by their measures.
        skin: whether the images show skin.
        seed: of the study.
        workers: threads; the result does not depend on it.

    Returns:
        id, damage, step, and a column for each measure of `RULED` that there is.
    """
    of_pixels = ("images", "skin") if skin else ("images",)
    names = [name for name in RULED if name in networks or MEASURES[name].needs in of_pixels]
    steps = [(name, step) for name, damage in DAMAGES.items() for step in damage.steps]
    costs = np.full((len(names), len(steps), len(rows)), np.nan)

    def spoil(place: int) -> tuple[Tensor, Tensor]:
        """An image (1, 3, S, S), and what each damage makes of it, (steps, 3, S, S)."""
        whole = read_images(images, rows[[place]]).astype(np.float32) / 127.5 - 1
        noise = generator(seed, "ruler", ids[place]).standard_normal(whole.shape[1:], np.float32)
        return _tensor(whole), _tensor(np.concatenate(list(damaged(whole, noise[None]))))

    def compare_pixels(place: int) -> None:
        keep(place, pixel_costs(*spoil(place), skin=skin and bool(slow[place])))

    def keep(place: int, found: dict[str, Floats]) -> None:
        for name, values in found.items():
            costs[names.index(name), :, place] = np.abs(values - RULED[name])

    torch.set_num_threads(1)  # an image to a thread
    with ThreadPoolExecutor(workers) as pool:
        deque(track(pool.map(compare_pixels, range(len(rows))), len(rows), "damaging", "images"), maxlen=0)
    torch.set_num_threads(workers)  # features need the memory: one image at a time
    chosen = np.flatnonzero(slow).tolist()
    for place in track(chosen, len(chosen), "comparing features", "images"):
        keep(place, feature_costs(networks, *spoil(place)))
    table = pd.DataFrame(steps, columns=["damage", "step"]).loc[np.repeat(range(len(steps)), len(rows))]
    table.insert(0, "id", np.tile(np.asarray(ids, dtype=object), len(steps)))
    return table.assign(**dict(zip(names, costs.reshape(len(names), -1), strict=True))).reset_index(drop=True)


@torch.no_grad()
def pixel_costs(target: Tensor, spoiled: Tensor, *, skin: bool) -> dict[str, Floats]:
    """What the measures of `RULED` that take pixels find of `spoiled` (steps, 3, S, S) against one target."""
    # One target for several steps: what is taken of it alone is taken once.
    whole, parts = target.contiguous(), spoiled.contiguous().split(STEPS_AT_A_TIME)
    found = {
        name: torch.cat([MEASURES[name].of(whole, part) for part in parts]).double().numpy()
        for name in RULED
        if MEASURES[name].needs == "images"
    }
    if skin:
        pixels, *others = to_pixels(torch.cat([target, spoiled]))
        skins = [skin_of(pixels, other) for other in others]
        of_skin = [name for name in RULED if MEASURES[name].needs == "skin"]
        found |= {name: np.array([MEASURES[name].of(skin) for skin in skins]) for name in of_skin}
    return found


@torch.no_grad()
def feature_costs(networks: Networks, target: Tensor, spoiled: Tensor) -> dict[str, Floats]:
    """As `pixel_costs`, of the measures that compare features."""
    at_a_time = max(STEPS_AT_A_TIME, STEPS_AT_A_TIME * FULL_BATCH_SIDE**2 // spoiled.shape[-1] ** 2)
    found, parts = {}, spoiled.split(at_a_time)
    for name, network in networks.items():
        wanted = list(network.features(target))
        found[name] = torch.cat([network.distances(part, wanted) for part in parts]).double().numpy()
    return found


def damaged(images: Images, noise: Images) -> Iterator[Images]:
    """The images under each damage at each step, in the order of `DAMAGES`."""
    return (damage.of(images, step, noise) for damage in DAMAGES.values() for step in damage.steps)


def choose_slow(ids: Sequence[str], group: Sequence[str], per_group: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which images what takes long is measured on: of each group so many, drawn once; all where it has no more."""
    table = pd.DataFrame({"id": ids, "group": group, "chosen": False})
    for name, members in table.groupby("group"):
        order = generator(seed, "ruler", "slow", str(name)).permutation(len(members))
        # By name first, so that the draw does not depend on the order of the table.
        table.loc[members.sort_values("id").index[order[:per_group]], "chosen"] = True
    return table["chosen"].to_numpy(dtype=bool, copy=True)


def thirds(values: Floats) -> npt.NDArray[np.str_]:
    """The third of the values that each is in, by rank."""
    edges = np.quantile(values, [1 / 3, 2 / 3])
    return np.array(THIRDS)[np.searchsorted(edges, values, side="left")]


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)
