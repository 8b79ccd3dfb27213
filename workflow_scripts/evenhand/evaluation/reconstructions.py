"""What models make of test images: reconstructions with their measures, examples, samples; how far models differ."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from torch import Tensor

from evenhand.data.tone import MIN_SKIN, skin_mask, skin_tone, to_lab
from evenhand.evaluation.laplace import Curvature, places_of
from evenhand.evaluation.measure import Need, Skin
from evenhand.evaluation.measures import MEASURES
from evenhand.evaluation.scores import Training
from evenhand.models.family import Family
from evenhand.models.lpips import Lpips
from evenhand.models.perceptual import PerceptualLoss
from evenhand.training.loop import to_pixels, to_unit_range
from evenhand.workflow.progress import track
from evenhand.workflow.seeds import derive_seed

Pixels = NDArray[np.uint8]
Columns = dict[str, NDArray[np.float64]]  # of each measure a number per image

FULL_BATCH = 64
FULL_BATCH_SIDE = 128  # pixels; of larger images a batch holds fewer, so that it takes no more memory


def images_at_a_time(batch_size: int, side: int) -> int:
    """How many images of `side` pixels take the memory of `batch_size` images of 128; at most `batch_size`.

    Not what happens to be free: the same settings then give the same bits.
    """
    return max(1, min(batch_size, batch_size * FULL_BATCH_SIDE**2 // side**2))


@dataclass(frozen=True)
class Decoded:
    """What a device makes of n test images.

    columns: the measures taken there, each (n,); latents: float32 (n, C, H, W), None where the family has none;
    reconstructions: uint8 (n, S, S, 3); pooled: `pooled_features` of the images themselves, (n, d).
    """

    columns: Columns
    latents: NDArray[np.float32] | None
    reconstructions: Pixels
    pooled: NDArray[np.float32]


@torch.no_grad()
def decode(
    model: Family,
    images: Pixels,
    ids: Sequence[str],
    perceptual: PerceptualLoss,
    training: Training,
    *,
    samples: int,
    seed: int,
    batch_size: int,
    device: torch.device,
    workers: int,
    lpips: Lpips | None = None,
) -> Decoded:
    """Reconstruct `images` (n, S, S, 3) without chance and by chance, and measure what the model's family gives.

    Args:
        ids: names of the images; the noise of an image is seeded by its name, so neither order nor
            batches change a number.
        perceptual: on the device of the model, like `lpips`.
        training: what the model makes of its training images.
        samples: reconstructions by chance per image, at least 2.
        batch_size: images of 128 pixels at a time; fewer of larger ones.
        workers: threads for the measures of one image at a time.
    """
    parts, latents, reconstructions, pooled = [], [], [], []
    batch_size = images_at_a_time(batch_size, images.shape[1])
    starts = range(0, len(images), batch_size)
    with ThreadPoolExecutor(workers) as pool:
        for first in track(starts, len(starts), "evaluating", "batches"):
            batch = slice(first, first + batch_size)
            target = to_unit_range(torch.from_numpy(images[batch]).to(device))
            found = model.reconstruct(target)
            distances, of_target = perceptual.distances_and_pooled(found.image, target)
            pooled.append(of_target.cpu().numpy())
            given: dict[Need, tuple[Any, ...]] = {
                "pixels": (images[batch],),
                "images": (target, found.image),
                "features": (distances,),
            }
            if lpips is not None:
                given["lpips"] = (lpips.distances(found.image, lpips.features(target)),)
            if found.posterior is not None:
                given["posterior"] = found.posterior
            if found.code_distance is not None:
                given["codes"] = (found.code_distance,)
            if found.bits is not None:
                given["bits"] = (found.bits,)
            if found.bound is not None:
                given["bound"] = (found.bound,)
            if found.bound is not None and training.bound is not None:
                given["typicality"] = (found.bound, training)
            if found.latents is not None and training.mean is not None:
                given["training"] = (found.latents, training)
            if found.last_layer is not None and training.last_layer is not None:
                given["last layer"] = (*found.last_layer, found.image, training)
            if found.latents is not None:
                given["again"] = (found.latents, model.encode(found.image))
                latents.append(found.latents.cpu().numpy())
            if "samples" in model.GIVES:
                noise = noise_of(ids[batch], samples, model.noise_shape(images.shape[1]), seed).to(device)
                given["samples"] = (target, torch.stack([model.sample(found, target, draw) for draw in noise]))
            parts.append(measured(given, pool))
            del given  # the decodings, before those of the next batch
            reconstructions.append(to_pixels(found.image))
    return Decoded(
        joined(parts),
        np.concatenate(latents) if latents else None,
        np.concatenate(reconstructions),
        np.concatenate(pooled),
    )


@torch.no_grad()
def of_training(
    model: Family, images: Pixels, n_training: int, *, seed: int, batch_size: int, device: torch.device
) -> Training:
    """What a model makes of `images` (n, S, S, 3), n at least 2, of the `n_training` that it was trained on.

    The covariance of the latents is that of Ledoit and Wolf (2004); `seed` is the study's.
    """
    bounds: list[Tensor] = []
    pooled: list[Tensor] = []
    side = images.shape[1]
    curvature, size = Curvature(places_of(side, seed)), images_at_a_time(batch_size, side)
    for first in range(0, len(images), size):
        target = to_unit_range(torch.from_numpy(images[first : first + size]).to(device))
        found = model.reconstruct(target)
        if found.last_layer is not None:
            curvature.add(*found.last_layer, found.image, target)
        if found.bound is not None:
            bounds.append(found.bound.cpu().double())
        if found.latents is not None:
            pooled.append(found.latents.mean(dim=(2, 3)).cpu().double())
    known = Training()
    if bounds:
        known = replace(known, bound=float(torch.cat(bounds).mean()))
    if pooled:
        latents = torch.cat(pooled)
        precision = torch.from_numpy(LedoitWolf().fit(latents.numpy()).precision_)
        known = replace(known, mean=latents.mean(dim=0), precision=precision)
    return replace(known, last_layer=curvature.last_layer(n_training, side)) if curvature.images else known


def measured(given: Mapping[Need, tuple[Any, ...]], pool: Executor) -> Columns:
    """The measures of a batch; those that need something else than what is given are left out.

    Args:
        given: what measures need (`Measure.needs`), of all images of the batch; columns come in this order.
        pool: threads for the measures of one image at a time; no number depends on how many.
    """
    columns = {}
    for need, parts in given.items():
        for name, measure in MEASURES.items():
            if measure.needs == need and measure.each:
                arrays = [part.cpu().numpy() if isinstance(part, Tensor) else part for part in parts]
                columns[name] = np.array(list(pool.map(measure.of, *arrays)), dtype=np.float64)
            elif measure.needs == need:
                columns[name] = measure.of(*parts).cpu().double().numpy()
    return columns


def measured_skin(images: Pixels, reconstructions: Pixels, workers: int) -> Columns:
    """The measures that need skin, of images and their reconstructions (n, S, S, 3), on the processor."""
    at_a_time = images_at_a_time(FULL_BATCH, images.shape[1])
    starts, parts = range(0, len(images), at_a_time), []
    with ThreadPoolExecutor(workers) as pool:
        for first in track(starts, len(starts), "measuring skin", "batches"):
            batch = slice(first, first + at_a_time)
            parts.append(measured({"skin": (list(pool.map(skin_of, images[batch], reconstructions[batch])),)}, pool))
    return joined(parts)


def joined(parts: Sequence[Columns]) -> Columns:
    """The columns of all batches."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def skin_of(image: Pixels, reconstruction: Pixels) -> Skin:
    """The skin of an image, both sRGB (S, S, 3)."""
    mask = skin_mask(image)
    share = float(mask.mean())
    if share < MIN_SKIN:
        nothing = np.empty((0, 3), dtype=np.float32)
        return Skin(share, np.nan, np.nan, nothing, nothing)
    before, after = to_lab(image), to_lab(reconstruction)
    return Skin(share, skin_tone(before, mask)[2], skin_tone(after, mask)[2], before[mask], after[mask])


@torch.no_grad()
def sample_prior(model: Family, side: int, n: int, seed: int, device: torch.device) -> Pixels:
    """`n` images of none, uint8 (n, side, side, 3), from noise N(0, 1): the same noise for every model."""
    random = torch.Generator().manual_seed(derive_seed(seed, "prior"))
    batches = torch.randn(n, *model.noise_shape(side), generator=random).split(images_at_a_time(FULL_BATCH, side))
    return np.concatenate([to_pixels(model.generate(batch.to(device))) for batch in batches])


@torch.no_grad()
def pooled_features(perceptual: PerceptualLoss, images: Pixels, device: torch.device) -> NDArray[np.float32]:
    """The features (n, d) by which pictures (n, S, S, 3) are compared; `perceptual` is on the device."""
    size = images_at_a_time(FULL_BATCH, images.shape[1])
    starts = range(0, len(images), size)
    batches = (torch.from_numpy(images[first : first + size]).to(device) for first in starts)
    parts = [perceptual.pooled(to_unit_range(batch)).cpu().numpy() for batch in batches]
    return np.concatenate(parts)


def noise_of(ids: Sequence[str], samples: int, shape: Sequence[int], seed: int) -> Tensor:
    """N(0, 1) noise (samples, B, *shape), seeded by the name of each image."""
    noise = []
    for name in ids:
        random = torch.Generator().manual_seed(derive_seed(seed, "decoding", name))
        noise.append(torch.randn(samples, *shape, generator=random))
    return torch.stack(noise, dim=1)


@torch.no_grad()
def reconstruct(model: Family, images: Pixels, device: torch.device) -> tuple[Pixels, NDArray[np.float64] | None]:
    """Of `images` (n, S, S, 3) the reconstructions, rounded to uint8, and the `bound` (n,); None: there is none."""
    found = model.reconstruct(to_unit_range(torch.from_numpy(images).to(device)))
    return to_pixels(found.image), None if found.bound is None else found.bound.cpu().double().numpy()


def choose_examples(errors: pd.DataFrame, per_group: int) -> pd.DataFrame:
    """The images that the figures show, chosen by rule: evenly spaced quantiles of error within each group.

    Args:
        errors: one row per training set and test image of one run: id, group, mse.
        per_group: images per group, k, at the quantiles 1/(k+1), 2/(k+1), ...: 3 or 7 have median and quartiles.

    Returns:
        group, quantile, id, mse (mean over the training sets): groups in the order of the errors, best before
        worst. The error is averaged over the training sets, so the choice favours none of them. Ties are broken by
        id.
    """
    means = errors.groupby(["group", "id"], as_index=False)["mse"].mean()
    parts = []
    for group in errors["group"].unique():
        ranked = means[means["group"] == group].sort_values(["mse", "id"], ignore_index=True)
        k = min(per_group, len(ranked))
        quantiles = np.arange(1, k + 1) / (k + 1)
        chosen = ranked.iloc[np.floor(quantiles * len(ranked)).astype(int)]
        parts.append(chosen.assign(quantile=quantiles)[["group", "quantile", "id", "mse"]])
    return pd.concat(parts, ignore_index=True)


class RunningVariance:
    """Variance of each image's reconstructions over a changing set of models, in one pass (Welford 1962)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """`shape` of the images: (n, S, S, 3)."""
        self.count = np.zeros(shape[0], dtype=np.int64)
        self.mean = np.zeros(shape, dtype=np.float64)
        self.squares = np.zeros(shape, dtype=np.float64)

    def add(self, values: NDArray[np.float64], member: NDArray[np.bool_]) -> None:
        """Count one model's reconstructions (n, S, S, 3) of the images where `member` (n,) is true."""
        self.count[member] += 1
        shift = values[member] - self.mean[member]
        self.mean[member] += shift / self.count[member, None, None, None]
        self.squares[member] += shift * (values[member] - self.mean[member])

    def per_image(self) -> NDArray[np.float64]:
        """Unbiased variance over models, averaged over pixels and channels; NaN for images with fewer than two."""
        total = self.squares.mean(axis=(1, 2, 3))
        return np.where(self.count > 1, total / np.maximum(self.count - 1, 1), np.nan)


def ensemble_scores(
    images: pd.DataFrame,
    shape: tuple[int, ...],
    models: Iterable[tuple[NDArray[np.uint8], NDArray[np.float64] | None, Sequence[bool]]],
) -> pd.DataFrame:
    """The measures that need models, of each image over the models that were not trained on it.

    Args:
        images: id and group of each image.
        shape: (n, S, S, 3) of the images.
        models: for each model its reconstructions, uint8 of `shape`, their `bound` (n,), None where there is none, and
            which images it has seen in training, (n,).

    Returns:
        id, group, n_models (that were not trained on the image), and the measures (pixels in [-1, 1]); NaN for fewer
        than two models.
    """
    variance, bounds = RunningVariance(shape), RunningVariance((len(images), 1, 1, 1))
    bounded = False
    for reconstructions, of_model, seen in models:
        variance.add(reconstructions.astype(np.float64) / 127.5 - 1, ~np.asarray(seen))
        if of_model is not None:
            bounded = True
            bounds.add(of_model[:, None, None, None], ~np.asarray(seen))
    given: dict[Need, tuple[NDArray[np.float64], ...]] = {"models": (variance.per_image(),)}
    if bounded:
        given["bounds of models"] = bounds.mean.reshape(-1), bounds.per_image()
    found = {name: measure.of(*given[measure.needs]) for name, measure in MEASURES.items() if measure.needs in given}
    return images[["id", "group"]].assign(n_models=variance.count, **found)
