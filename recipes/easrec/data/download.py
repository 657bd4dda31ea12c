"""Download of public datasets, checked against their published checksum."""

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elasticnas.errors import DataError
from elasticnas.files import write_bytes

__all__ = ["SOURCES", "Source", "download"]

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A published dataset.

    Attributes:
        url: Address of the file.
        md5: MD5 checksum of the file at the address.
        member: Path of the interactions in a zip archive; None if the downloaded file itself contains them.
        path: Path of the interactions below the output folder.
        terms: Owner and terms of use.
    """

    url: str
    md5: str
    member: str | None
    path: str
    terms: str


SOURCES = {
    "ml-1m": Source(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "c4d9eecfca2ab87c1945afe126590906",
        "ml-1m/ratings.dat",
        "ml-1m/ratings.dat",
        "MovieLens 1M of GroupLens: research use, with citation of Harper and Konstan (2015); no redistribution",
    ),
    "gowalla": Source(
        "https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz",
        "8ebd5ed2dd376d8982987c49429cb9f9",
        None,
        "loc-gowalla_totalCheckins.txt.gz",
        "Gowalla check-ins of SNAP: cite Cho, Myers and Leskovec (KDD 2011)",
    ),
}


def download(source: Source, folder: Path, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """Download a dataset and check it; the file is written atomically.

    Args:
        source: One of :data:`SOURCES`.
        folder: Output folder; created if it does not exist.
        progress: Called with the bytes read so far and in total (None if the server does not say).

    Returns:
        The file of interactions, ready for :func:`easrec.data.read_interactions`.

    Raises:
        DataError: The download fails, or the file has another checksum.
    """
    path = folder / source.path
    if path.exists():
        return path
    data = _fetch(source.url, progress)
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != source.md5:
        raise DataError(
            f"{source.url}: the download has the checksum {found}, published is {source.md5}; try again later, "
            f"or download the file manually, check it, and save it as {path}"
        )
    if source.member is not None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(source.member)
    write_bytes(path, data)
    return path


def _fetch(url: str, progress: Callable[[int, int | None], None] | None) -> bytes:
    parts: list[bytes] = []
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            length = answer.headers.get("Content-Length")
            total = None if length is None else int(length)
            while part := answer.read(_BLOCK):
                parts.append(part)
                done += len(part)
                if progress is not None:
                    progress(done, total)
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{url}: cannot be downloaded ({reason}); download it manually and pass it by --data") from None
    return b"".join(parts)
