"""Seeds derived per purpose: no order of execution and no number of workers can change a result."""

import hashlib

import numpy as np


def derive_seed(study_seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, such as `derive_seed(seed, "train", "A", run)`.

    The purpose is hashed, not counted, so a new run or training set leaves every other seed as it was.
    """
    digest = hashlib.sha256("\x1f".join(map(str, purpose)).encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    state = np.random.SeedSequence([study_seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(study_seed: int, *purpose: str | int) -> np.random.Generator:
    """A NumPy generator for one purpose. PCG64 is named so that a new NumPy default changes nothing."""
    return np.random.Generator(np.random.PCG64(derive_seed(study_seed, *purpose)))
