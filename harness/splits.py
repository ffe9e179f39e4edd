"""The splits of a corpus, and the file that keeps them.

A split is its documents in the order of their hashes, a NUL byte after each. The file is a line of JSON, which tells
the sizes and the hash of what follows, then the splits, one after the other.
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from harness import texts
from harness.errors import listed
from reports import plurals

SPLITS = ("train", "tuning", "held_out")
SHARE = 0.05  # of the bytes, in each of the two small splits
END = b"\0"  # of a document


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The bytes of each split, read from disk as they are used."""

    name: str
    sha256: str  # of all that follows
    documents: dict[str, int]  # in each split
    train: np.ndarray
    tuning: np.ndarray
    held_out: np.ndarray

    @property
    def told(self) -> str:
        """Its sizes in words."""
        sizes = (f"{len(getattr(self, name)):,} bytes in {self.documents[name]:,} ({name})" for name in SPLITS)
        return f"corpus {self.name} has {listed(sizes)} documents"


def split(documents: list[bytes]) -> dict[str, list[bytes]]:
    """The documents of each split, each at least one. Raises ValueError where there are too few of them."""
    distinct = sorted(set(documents) - {b""}, key=lambda text: hashlib.sha256(text).digest())
    if len(distinct) < texts.FEWEST:
        there = plurals.counted(len(distinct), "document")
        raise ValueError(f"{there}; at least {texts.FEWEST} different ones are needed")
    largest = max(distinct, key=len)
    others = [text for text in distinct if text is not largest]
    wanted = SHARE * sum(map(len, distinct))
    held_out = _first(others, wanted, len(others) - 1)
    tuning = _first(others[len(held_out) :], wanted, len(others))
    trained = {largest, *others[len(held_out) + len(tuning) :]}
    return {"train": [text for text in distinct if text in trained], "tuning": tuning, "held_out": held_out}


def _first(documents: list[bytes], wanted: float, most: int) -> list[bytes]:
    """As many documents from the front as make up `wanted` bytes, at least one, and not more than `most`."""
    count, total = 0, 0
    while count < most and count < len(documents) and (count == 0 or total < wanted):
        total += len(documents[count])
        count += 1
    return documents[:count]


def packed(documents: dict[str, list[bytes]]) -> bytes:
    """The file of a corpus."""
    streams = {name: b"".join(text + END for text in documents[name]) for name in SPLITS}
    sizes = {name: len(stream) for name, stream in streams.items()}
    counts = {name: len(documents[name]) for name in SPLITS}
    body = b"".join(streams.values())
    head = {"documents": counts, "sizes": sizes, "sha256": _sha256(sizes, body)}
    return json.dumps(head).encode() + b"\n" + body


def cached(path: pathlib.Path, name: str) -> Corpus | None:
    """The corpus in a file of the cache; None where it is not there, cut short or changed."""
    try:
        return unpacked(np.memmap(path, np.uint8, "r"), name)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unpacked(data: np.ndarray, name: str) -> Corpus:
    """Raises ValueError, KeyError or TypeError where the bytes are not those that were packed."""
    end = bytes(data[:4096]).index(b"\n")
    head, body = json.loads(bytes(data[:end])), data[end + 1 :]
    if sum(head["sizes"].values()) != len(body) or head["sha256"] != _sha256(head["sizes"], body):
        raise ValueError("damaged")
    ends = np.cumsum([head["sizes"][each] for each in SPLITS])
    train, tuning, held_out = np.split(body, ends[:-1])
    return Corpus(name, head["sha256"], head["documents"], train, tuning, held_out)


def _sha256(sizes: dict[str, int], body: Any) -> str:
    found = hashlib.sha256(json.dumps(sizes, sort_keys=True).encode())
    found.update(body)
    return found.hexdigest()
