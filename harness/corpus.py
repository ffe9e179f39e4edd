"""The text that models are trained and scored on, as bytes; a token is a byte.

A corpus is `python-docs`, a file, a folder or a hub data set (`harness.texts`), or a JSON mapping of two of these,
`{"train": ..., "held_out": ...}`, where somebody else has decided what is held out.

It is split by document, never by position: in the order of the documents' hashes the first 5% of the bytes are held
out, the next 5% choose the learning rate, the rest is trained on. The largest document is always trained on. Documents
that occur twice count once (`harness.splits`).

What was read is kept in the cache, under a name that follows from the sources' sizes and times and from the code that
reads them, and is checked against its own hash whenever it is loaded.
"""

import functools
import json
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from harness import cache, python_docs, splits, texts
from harness.errors import UserError, shown, unknown
from harness.point import digest

DEFAULT = "python-docs"
SAME = "train and held_out are the same text; name another one to hold out, or leave held_out away"


def load(name: str) -> splits.Corpus:
    """The corpus of that name, from the cache where it is there. Raises UserError where it cannot be read."""
    path = cache.folder() / "corpora" / f"{_key(name)}.bin"
    found = splits.cached(path, name)
    if found is None:
        data = splits.packed(_read(name))
        try:
            cache.write(path, lambda file: file.write(data))
        except OSError:  # no cache can be kept
            return splits.unpacked(np.frombuffer(data, np.uint8), name)
        found = splits.cached(path, name)
    if found is None:
        raise UserError(f"{name}: {path} cannot be read back; is the disk full?")
    return found


def refused(name: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the names of a corpus, each below its key where there are two. Reads none of the text."""
    try:
        parts = _pair(name) or {"": name}
    except UserError as error:
        yield (), str(error)
        return
    for key, part in parts.items():
        try:
            if _kind(part) == "local":
                texts.check(texts.parts(part)[0])
        except UserError as error:
            yield (key,) if key else (), str(error)
    if len(parts) > 1 and len(set(parts.values())) == 1:
        yield ("held_out",), SAME


def is_local(name: str) -> bool:
    """Whether all of it is in files here, so that nothing has to be fetched or built to read it."""
    return all(_kind(part) == "local" for part in _parts(name))


def pair(given: Any) -> dict[str, str]:
    """A mapping of two texts to their names, as it is. Raises ValueError for anything else."""
    two = isinstance(given, dict) and set(given) == {"train", "held_out"}
    if not two or not all(isinstance(name, str) for name in given.values()):
        raise ValueError(f"{shown(given)} is not allowed; allowed is a name, or {{train: NAME, held_out: NAME}}")
    return dict(given)


def training_bytes(name: str) -> int | None:
    """Of its training split, where the cache holds the corpus."""
    try:
        with (cache.folder() / "corpora" / f"{_key(name)}.bin").open("rb") as file:
            return int(json.loads(file.readline(4096))["sizes"]["train"])
    except (OSError, ValueError, KeyError, TypeError, UserError):
        return None


def _read(name: str) -> dict[str, list[bytes]]:
    """Reads the corpus. Raises UserError where it is missing, unreadable or too small."""
    parts = _pair(name) or {"train": name}
    held_out = sorted(set(_documents(parts["held_out"])) - {b""}) if "held_out" in parts else []
    given = _documents(parts["train"])
    if held_out and given and set(given) <= {*held_out, b""}:
        raise UserError(f"{parts['train']}: all of its documents are held out: {SAME}")
    try:
        rest = splits.split([text for text in given if text not in set(held_out)])
    except ValueError as error:
        what = " beside those that are held out" if held_out else ""
        fix = "write a line of ===== between documents, or name a larger text or a folder"
        raise UserError(
            f"{parts['train']}: {error}{what}, one to train on, one to tune on, one held out; {fix}"
        ) from None
    if "held_out" not in parts:
        return rest
    if not held_out:
        raise UserError(f"{parts['held_out']}: no document in it; name a text to hold out, or leave held_out away")
    return {"train": [*rest["train"], *rest["held_out"]], "tuning": rest["tuning"], "held_out": held_out}


def _pair(name: str) -> dict[str, str] | None:
    """The two corpora that a JSON mapping names; None where the name is no mapping."""
    if not name.lstrip().startswith("{"):
        return None
    try:
        given = json.loads(name)
    except (ValueError, RecursionError):
        given = name  # no JSON, or nothing but brackets
    try:
        return pair(given)
    except ValueError as error:
        raise UserError(str(error)) from None


def _documents(name: str) -> list[bytes]:
    kind = _kind(name)
    if kind == "local":
        return texts.local(*texts.parts(name))
    return python_docs.documents() if kind == DEFAULT else texts.hub(name)


def _kind(name: str) -> str:
    """python-docs, local or hub. Raises UserError for a name that is none of them, and for a file that is not there."""
    if name == DEFAULT:
        return DEFAULT
    path = texts.parts(name)[0]
    if path.exists():
        return "local"
    looks_local = name.startswith((".", "/", "~")) or any(name.count(ending) for ending in texts.READERS)
    if looks_local or not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?(#\w+)?", name):
        told = unknown("corpus", name, [DEFAULT]).replace(
            "allowed are", "allowed are a file, a folder, owner/name on the hub,"
        )
        raise UserError(f"{told}; there is no file or folder {path}")
    return "hub"


def _parts(name: str) -> list[str]:
    """The names of the texts that it is made of, one or two."""
    return list((_pair(name) or {"": name}).values())


def _key(name: str) -> str:
    """What the cached corpus is called: it changes where the sources do, or the code that reads them."""
    return digest([_code(), *map(_stamp, _parts(name))])


def _stamp(name: str) -> Any:
    kind = _kind(name)
    if kind == DEFAULT:
        return [DEFAULT, sys.version, str(python_docs.folder())]
    if kind == "hub":
        return ["hub", name]
    path, field = texts.parts(name)
    about = [(str(file.resolve()), file.stat()) for file in texts.files(path)]
    return [field, [(file, stat.st_size, stat.st_mtime_ns) for file, stat in about]]


@functools.cache
def _code() -> str:
    files = (__file__, splits.__file__, texts.__file__, python_docs.__file__)
    return digest([pathlib.Path(file).read_text(encoding="utf-8") for file in files])
