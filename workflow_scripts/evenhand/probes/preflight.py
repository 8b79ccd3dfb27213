"""Whether the targets of the probes can be probed, before a model is trained or an embedding made."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evenhand.probes.applicable import Applicable, applicable_targets
from evenhand.probes.settings import needed_columns, protocol_settings, source_spec
from evenhand.probes.sources import read_source
from evenhand.workflow.errors import UserError


def image_targets(table: pd.DataFrame, source: Mapping[str, Any], probe: Mapping[str, Any], seed: int) -> Applicable:
    """The targets of a source that is made of images, on the rows that it will have.

    Near-duplicates, which stay in one fold, are not known yet: every image counts by itself, or its column `cluster`.
    """
    groups = pd.factorize(table["cluster"] if "cluster" in table else table["md5hash"])[0].astype(np.int64)
    settings = protocol_settings(probe, seed, len(table), "fp32")
    measured = MEASURED if source["kind"] == "vae" and source.get("images", "test") == "test" else ()
    # Cells as text, as they are read when the source is probed.
    return applicable_targets(table.astype(str), groups, source, settings, source["name"], measured)


def file_mistakes(probe: Mapping[str, Any], seed: int) -> Iterator[str]:
    """What is wrong with the sources that are files: columns, ids, classes and folds, source by source."""
    for source in probe["sources"]:
        if source["kind"] == "file":
            try:
                read = read_source(
                    source["name"],
                    Path(source["embeddings"]),
                    Path(source["metadata"]),
                    source_spec(source),
                    needed_columns(source),
                )
            except UserError as error:
                yield str(error)
                continue
            settings = protocol_settings(probe, seed, len(read.matrix), "fp32")
            yield from applicable_targets(read.table, read.groups, source, settings, source["name"]).mistakes


# What an evaluation adds to the rows of the test images.
MEASURED = (
    *("train_set", "compared_share", "run", "mse", "mse_unit", "psnr", "ssim", "mse_over_var", "perceptual"),
    *("latent_std", "kl", "mse_sampled", "decoding_var", "skin_share", "ita_in", "ita_out", "dl", "da", "db"),
    *("ciede2000"),
)
