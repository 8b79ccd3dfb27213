"""What the evaluation of a model keeps of pictures, for generated ones to be held against real ones: pictures.npz."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from evenhand.evaluation.distributions import Features, Numbers
from evenhand.splits.design import Drawn
from evenhand.splits.manifests import ids_of
from evenhand.workflow.files import write_npz
from evenhand.workflow.seeds import generator


@dataclass(frozen=True)
class Pictures:
    """Features of n pictures of each kind and of each group.

    Attributes:
        train_set: that the model was trained on.
        compared_share: fraction of the compared group in it.
        extractor: of the features, in words.
        features: by kind (`prior`, and `training` for pictures that the model was trained on), (n, d).
        names: by kind, what a picture has in common with those of other models: the number of its noise, or its id.
        real: features of held-out pictures by group, (n, d).
        ids: of these.
        nearest: by group, distances to the nearest training picture of that group: of the pictures from the prior,
            (n,), and of the held-out ones of the group, (n,); no entry where there is no such training picture.
    """

    train_set: str
    compared_share: float
    extractor: str
    features: Mapping[str, Features]
    names: Mapping[str, Sequence[Hashable]]
    real: Mapping[str, Features]
    ids: Mapping[str, Sequence[str]]
    nearest: Mapping[str, tuple[Numbers, Numbers]]


def choose_pictures(
    features: Sequence[Features],
    draws: tuple[Drawn, Drawn],
    *,
    train_set: str,
    compared_share: float,
    run: int,
    extractor: str,
    seed: int,
) -> Pictures:
    """As many real pictures of each group and of the training set as generated ones; drawn where there are more.

    Args:
        features: of n pictures from the prior, of the test images and of the training images, in the order of their
            draws; at least n of each group, and n that were trained on.
        draws: of the test images and of the training set.
        train_set: its name.
        compared_share: fraction of the compared group in it.
        run: of the model.
        extractor: of the features, in words.
        seed: of the study.
    """
    (prior, tested, trained), (test, training) = features, draws
    n = len(prior)

    def drawn(names: Sequence[str], *purpose: str) -> NDArray[np.int64]:
        return np.sort(generator(seed, "pictures", *purpose, run).permutation(len(names))[:n])

    real, ids, first = {}, {}, 0
    for group, names in test.items():
        places = drawn(names, "test", group)
        real[group] = tested[first + places]
        ids[group] = [names[place] for place in places]
        first += len(names)
    trained_on = ids_of(training)
    shown = drawn(trained_on, "training", train_set)
    group_of = [group for group, names in training.items() for _ in names]
    return Pictures(
        train_set,
        compared_share,
        extractor,
        {"prior": prior, "training": trained[shown]},
        {"prior": range(n), "training": [trained_on[place] for place in shown]},
        real,
        ids,
        nearest_pictures(prior, real, trained, group_of),
    )


def nearest_pictures(
    generated: Features, real: Mapping[str, Features], training: Features, group_of: Sequence[str]
) -> dict[str, tuple[Numbers, Numbers]]:
    """`Pictures.nearest` of generated pictures (n, d) and real ones by group, (n, d) each.

    Args:
        generated: features.
        real: of pictures that were not trained on.
        training: of all that were, (m, d).
        group_of: these, (m,).
    """
    found = {}
    for group, held_out in real.items():
        trained_on = training[np.asarray(group_of) == group]
        if len(trained_on):
            found[group] = (cdist(generated, trained_on).min(axis=1), cdist(held_out, trained_on).min(axis=1))
    return found


def write_pictures(pictures: Pictures, path: str | Path) -> None:
    """Write pictures.npz, for `read_pictures`."""
    groups = list(pictures.real)
    nowhere = np.full(len(pictures.features["prior"]), np.nan)
    arrays = {
        "train_set": np.array(pictures.train_set),
        "compared_share": np.array(pictures.compared_share),
        "extractor": np.array(pictures.extractor),
        "group": np.array(groups, dtype=str),
        "prior": pictures.features["prior"],
        "training": pictures.features["training"],
        "training_id": np.array(pictures.names["training"], dtype=str),
        "real": np.stack([pictures.real[group] for group in groups]),
        "real_id": np.stack([np.array(pictures.ids[group], dtype=str) for group in groups]),
        "nearest": np.stack([pictures.nearest.get(group, (nowhere, nowhere)) for group in groups]),
    }
    write_npz(arrays, path)


def read_pictures(path: str | Path) -> Pictures:
    """The pictures that `write_pictures` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    groups = arrays["group"].tolist()
    nearest = dict(zip(groups, arrays["nearest"], strict=True))
    return Pictures(
        arrays["train_set"].item(),
        arrays["compared_share"].item(),
        arrays["extractor"].item(),
        {kind: arrays[kind] for kind in ("prior", "training")},
        {"prior": range(len(arrays["prior"])), "training": arrays["training_id"].tolist()},
        dict(zip(groups, arrays["real"], strict=True)),
        {group: ids.tolist() for group, ids in zip(groups, arrays["real_id"], strict=True)},
        {group: (of[0], of[1]) for group, of in nearest.items() if np.isfinite(of).all()},
    )
