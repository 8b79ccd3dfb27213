"""Synthetic stand-ins for chest X-ray embeddings: the format of the real tables, attributes coded in a known way."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FINDINGS = ("Atelectasis", "Cardiomegaly", "Edema", "Pleural Effusion", "No Finding")
RACES = ("WHITE", "BLACK/AFRICAN AMERICAN", "ASIAN", "HISPANIC/LATINO")
INSURANCES = ("Medicare", "Medicaid", "Other")
# Distance between class means along a direction of the embedding, in standard deviations of the noise.
STRENGTHS = {"sex": 3.0, "age": 3.0, "race": 2.0, "insurance": 1.5}
FINDING_STRENGTH = 2.0


@dataclass(frozen=True)
class Lookalike:
    """Metadata with the columns of the real tables, and one embedding (n, d) per model."""

    metadata: pd.DataFrame
    embeddings: dict[str, NDArray[np.float32]]


def make_lookalike(patients: int, dimensions: dict[str, int], rng: np.random.Generator) -> Lookalike:
    """Draw patients with one to four images each.

    Every attribute is a shift by as much in each feature, up or down, so that all features hold the same little of it:
    removing some features, best ones or random ones, costs little and as much. A share of the cells is empty or
    uncertain (-1), as in the real tables.

    Args:
        dimensions: features of the embedding of each model.
    """
    images = rng.integers(1, 5, size=patients)
    person = np.repeat(np.arange(patients), images)
    sex = rng.integers(0, 2, size=patients)
    age = rng.uniform(18, 90, size=patients)
    race = rng.choice(len(RACES), size=patients, p=[0.55, 0.2, 0.15, 0.1])
    insurance = rng.choice(len(INSURANCES), size=patients, p=[0.4, 0.25, 0.35])
    findings = (rng.random((len(person), len(FINDINGS))) < 0.3).astype(int)
    factors = np.column_stack([sex - 0.5, (age - 54) / 40])[person] * [STRENGTHS["sex"], STRENGTHS["age"]]
    one_hot = np.hstack(
        [np.eye(len(RACES))[race] * STRENGTHS["race"], np.eye(len(INSURANCES))[insurance] * STRENGTHS["insurance"]]
    )[person]
    signal = np.hstack([factors, one_hot, FINDING_STRENGTH * findings])
    embeddings = {}
    for model, features in dimensions.items():
        directions = rng.choice([-1.0, 1.0], size=(signal.shape[1], features)) / np.sqrt(features)
        noise = rng.normal(size=(len(person), features))
        embeddings[model] = (signal @ directions + noise).astype(np.float32)
    cells = findings.astype(str).astype(object)
    unsure = rng.random(findings.shape)
    cells[unsure < 0.05], cells[unsure > 0.97] = "-1", ""
    metadata = pd.DataFrame(
        {
            "image_id": [f"synthetic-{number:06d}" for number in range(len(person))],
            "subject_id": [f"{10_000_000 + number}" for number in person],
            "sex": np.where(sex, "M", "F")[person],
            "age": age.astype(int)[person],
            "race": np.where(rng.random(patients) < 0.03, "UNKNOWN", np.array(RACES)[race])[person],
            "insurance": np.array(INSURANCES)[insurance][person],
            **dict(zip(FINDINGS, cells.T, strict=True)),
        }
    )
    return Lookalike(metadata, embeddings)
