"""Fitzpatrick17k (Groh et al. 2021): one CSV of 16,577 photographs from two online atlases, each with its MD5 and URL.

Quirks: -1 is a missing skin type; the atlas is in the host of the URL; 41 rows have no URL.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import pandas as pd

from evenhand.data.metadata import TableFormat

FORMAT = TableFormat(
    id="md5hash",
    checksum="md5hash",
    conditions=("label", "nine_partition_label", "three_partition_label"),
    url="url",
    source="source",
    skin_type="fitzpatrick_scale",
    second_skin_type="fitzpatrick_centaur",
)
TABLES = {"table": [FORMAT.id, FORMAT.skin_type, *FORMAT.conditions]}
STATED = {
    "name": "Fitzpatrick17k (Groh et al. 2021), 16,577 photographs",
    "licence": "CC BY-NC-SA 3.0; the photographs show patients: do not publish them without regard to it",
    "creators": "Groh et al. 2021; who paid is not stated here",
    "origin": "two online atlases of dermatology, DermaAmin and Atlas Dermatologico; when taken is not stated here",
    "labels": (
        "conditions as the atlases name them; skin types from photographs by two pools of annotators (columns "
        "fitzpatrick_scale and fitzpatrick_centaur), not by the people shown; the dataset card has how far they agree"
    ),
    "missing": "41 rows have no URL; a skin type of -1 is missing",
    "bias": "skin types are unlike in number and, here, in atlas and condition (tables dataset_card and prevalence)",
}
ATLASES = {"dermaamin.com": "dermaamin", "atlasdermatologico.com.br": "atlasdermatologico"}


def prepare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The published table with the atlas of each row; a part of it may lack URLs and the second skin types."""
    cells = tables["table"]
    cells = cells.assign(**{name: "" for name in (FORMAT.url, FORMAT.second_skin_type) if name not in cells})
    return cells.assign(source=cells["url"].map(atlas_of))


def atlas_of(url: str) -> str:
    """The picture atlas a URL points to: `dermaamin`, `atlasdermatologico` or `unknown`."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:  # such as an unclosed bracket in the host
        host = ""
    return ATLASES.get(host, "unknown")
