"""Documents from files, folders and the hub, as bytes.

A `.txt` or `.md` file is one document; in a `.txt` file lines that hold only `=====` stand between several (in Markdown
such a line underlines a heading). A row of a `.jsonl` or `.parquet` file is a document, its text in the field `text`,
or in the one named after `#`: `posts.jsonl#body`. Each may be compressed: `.gz`, `.xz`, `.zst`. A folder is all such
files in it, at any depth, hidden ones left out.

Where that makes fewer than `FEWEST` documents, plain files are cut into blocks at blank lines, or else at ends of
lines, so that a single book can be read too. Blocks of one book are no strangers to each other: prefer text that says
where its documents end.
"""

import gzip
import io
import json
import lzma
import os
import pathlib
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from harness.errors import UserError, listed, named, nearest
from reports import plurals

FEWEST = 3  # documents of a corpus: one to train on, one to tune on, one held out
HUB_BYTES = 2**28  # of a hub data set that are read, from its start
LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES = 2**10, 2**16
SEPARATOR = re.compile(rb"^=====[ \t]*\r?$", re.MULTILINE)
BLANK = re.compile(rb"\r?\n[ \t]*\r?\n\s*")
LINE = re.compile(rb"\n")
FIELD = "text"
ROW = 'a row is an object such as {"text": "..."}'


def parts(name: str) -> tuple[pathlib.Path, str]:
    """The path and the field that a name of a local corpus means: `posts.jsonl#body`, or `posts.jsonl` for `text`.

    Raises UserError where it begins with the home of a user who is not there.
    """
    path, _, field = name.rpartition("#")
    if path and not pathlib.Path(name).exists():
        return _at_home(path), field
    return _at_home(name), FIELD


def _at_home(name: str) -> pathlib.Path:
    """A path with `~` and `~user` written out."""
    try:
        return pathlib.Path(name).expanduser()
    except RuntimeError:
        raise UserError(f"{named(name)}: there is no user of this name here; write the folder out") from None


def files(path: pathlib.Path) -> list[pathlib.Path]:
    """The readable files that a path means. Raises UserError, naming what was found, where there is none."""
    allowed = listed(f"*{ending}" for ending in READERS)
    compressed = listed(f"{ending}" for ending in OPENERS if ending)
    if path.is_file():
        if _endings(path)[0] not in READERS:
            raise UserError(
                f"{path}: cannot read a {path.suffix or 'file without ending'}; allowed are {allowed}, "
                f"also with {compressed}"
            )
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: this is neither a file nor a folder; name a file of text, or a folder of such files")
    inside = sorted(each for each in path.rglob("*") if each.is_file() and not _hidden(each, path))
    found = [each for each in inside if _endings(each)[0] in READERS]
    if not found:
        there = listed(sorted({each.suffix or each.name for each in inside})[:8])
        raise UserError(
            f"{path}: no text in this folder; it holds {plurals.counted(len(inside), 'file')} ({there}); allowed are "
            f"{allowed}, also with {compressed}"
        )
    return found


def check(path: pathlib.Path) -> None:
    """Raises UserError where nothing could be read from a path; reads nothing."""
    found = files(path)
    for file in found:
        if not os.access(file, os.R_OK):
            raise UserError(f"{file}: cannot be read: you may not; change its permissions, or name another file")
    if not any(file.stat().st_size for file in found):
        raise UserError(f"{path}: there is no text in it; at least {FEWEST} documents are needed")


def local(path: pathlib.Path, field: str) -> list[bytes]:
    """The documents of a file or a folder. Raises UserError where something in it cannot be read."""
    found: list[bytes] = []
    whole: list[bytes] = []  # plain files without separators
    for file in files(path):
        texts = _read(file, field)
        found += texts
        whole += texts if len(texts) == 1 and _endings(file)[0] in PLAIN else []
    found = [text for text in found if text.strip()]
    if len(set(found)) < FEWEST and whole:
        size = min(MOST_BLOCK_BYTES, max(LEAST_BLOCK_BYTES, sum(map(len, whole)) // 40))
        return [text for text in found if text not in whole] + [block for text in whole for block in cut(text, size)]
    return found


def cut(text: bytes, size: int) -> list[bytes]:
    """Blocks of at least `size` bytes that end at blank lines, or at ends of lines where that gives too few of them."""
    found: list[bytes] = []
    for boundary in (BLANK, LINE):
        found, start = [], 0
        for end in (each.end() for each in boundary.finditer(text)):
            if end - start >= size:
                found.append(text[start:end])
                start = end
        found += [text[start:]] if text[start:].strip() else []
        if len(found) >= FEWEST:
            break
    return found


def hub(name: str) -> list[bytes]:
    """The first `HUB_BYTES` of the training split of a hub data set: `owner/name`, `owner/name:configuration#field`.

    Raises UserError where it cannot be reached, or the library that reaches it is missing.
    """
    asked, _, field = name.partition("#")
    owner, _, configuration = asked.partition(":")
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{name}: there is no such file or folder, and reading it from the hub needs the extra `hub`: "
            f"pip install -e '.[hub]'"
        ) from None
    found, total = [], 0
    try:
        for row in datasets.load_dataset(owner, configuration or None, split="train", streaming=True):
            found.append(_text(row, field or FIELD, name))
            total += len(found[-1])
            if total >= HUB_BYTES:
                break
    except UserError:
        raise
    except Exception as error:  # the library raises of every kind
        told = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: cannot be read from the hub: {type(error).__name__}: {told}") from None
    return found


def _read(path: pathlib.Path, field: str) -> list[bytes]:
    form, compression = _endings(path)
    try:
        data = OPENERS[compression](path.read_bytes())
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        told = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read: {told}") from None
    return READERS[form](data, field, str(path))


def _separated(data: bytes, field: str, place: str) -> list[bytes]:
    return [text for part in SEPARATOR.split(data) for text in _plain(part, field, place)]


def _plain(data: bytes, field: str, place: str) -> list[bytes]:
    if b"\0" in data:
        raise UserError(f"{place}: holds NUL bytes, so it is no plain text; save it as UTF-8")
    text = data.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n")
    return [text] if text.strip() else []


def _jsonl(data: bytes, field: str, place: str) -> list[bytes]:
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{place}:{number}: no JSON: {error}") from None
        except RecursionError:
            raise UserError(f"{place}:{number}: nested too deeply; {ROW}") from None
        found.append(_text(row, field, f"{place}:{number}"))
    return found


def _parquet(data: bytes, field: str, place: str) -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        if field not in file.schema_arrow.names:
            raise UserError(f"{place}: {_lacking(field, file.schema_arrow.names)}")
        rows = file.read([field]).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{place}: no parquet: {error}") from None
    return [_text(row, field, f"{place}, row {number}") for number, row in enumerate(rows, 1)]


def _text(row: Any, field: str, place: str) -> bytes:
    """The text of one row, an empty one where the row has none."""
    if not isinstance(row, dict) or field not in row:
        told = _lacking(field, row) if isinstance(row, dict) else ROW
        raise UserError(f"{place}: {told}")
    text = row[field]
    if not isinstance(text, str | None):
        raise UserError(f"{place}: {field!r} holds a {type(text).__name__}; allowed is text")
    return (text or "").replace("\0", "").encode("utf-8", "replace")


def _lacking(field: str, names: Iterable[str]) -> str:
    guess = nearest(field, names)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"no field {field!r}; there are {listed(names)}{hint}: name the one that holds the text after #"


def _unzstd(data: bytes) -> bytes:
    import zstandard

    try:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    except zstandard.ZstdError as error:
        raise ValueError(error) from None


PLAIN = (".txt", ".md")
READERS: dict[str, Callable[[bytes, str, str], list[bytes]]] = {
    ".txt": _separated,
    ".md": _plain,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
OPENERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": _unzstd,
}


def _endings(path: pathlib.Path) -> tuple[str, str]:
    """The ending that tells the format, and that of the compression."""
    compression = path.suffix.lower() if path.suffix.lower() in OPENERS else ""
    return pathlib.Path(path.stem if compression else path.name).suffix.lower(), compression


def _hidden(file: pathlib.Path, folder: pathlib.Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
