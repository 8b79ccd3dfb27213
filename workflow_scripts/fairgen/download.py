"""Files from the web: bounded in size and time, complete or absent."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import requests

from fairgen.errors import UserError
from fairgen.files import atomic_path, sha256_of

USER_AGENT = "fairgen/0.1 (research workflow; python-requests)"
TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two pieces of the answer
MAX_TABLE_BYTES = 256 * 1024 * 1024


def fetch_pinned(url: str, folder: str | Path, sha256: str | None) -> Path:
    """The file at `url`, kept in `folder`; not fetched again when it is there with the pinned sum.

    Raises:
        UserError: it cannot be had, is too large, or does not have the sum.
    """
    path = Path(folder) / (Path(urlsplit(url).path).name or "metadata.csv")
    if sha256 and path.is_file() and sha256_of(path) == sha256:
        return path
    digest = hashlib.sha256()
    size = 0
    try:
        with (
            requests.get(url, stream=True, timeout=TIMEOUT, headers={"User-Agent": USER_AGENT}) as answer,
            atomic_path(path) as temporary,
            open(temporary, "wb") as out,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(1 << 16):
                size += len(piece)
                if size > MAX_TABLE_BYTES:
                    raise UserError(f"{url}: more than {MAX_TABLE_BYTES} bytes; expected an annotation table.")
                digest.update(piece)
                out.write(piece)
            if sha256 and digest.hexdigest() != sha256:
                raise UserError(
                    f"{url}: expected SHA-256 {sha256}; found {digest.hexdigest()}. The file at its source has "
                    "changed, or something else was served. Correct data.metadata_sha256 if the new file is meant."
                )
    except requests.RequestException as error:
        raise UserError(
            f"{url}: the annotation table cannot be fetched ({error}). Without network, download it elsewhere and "
            "give its path in data.metadata."
        ) from error
    return path
