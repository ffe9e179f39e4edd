"""Every format that text comes in, and what a user is told of what cannot be read."""

import gzip
import json
import lzma
import pathlib
import sys
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from harness import corpus, texts
from harness.errors import UserError
from tests.test_corpus import DOCUMENTS, TEXT, documents, written

SQUEEZE = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def as_jsonl(rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_parquet(columns):
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


FORMATS = {
    ".txt": TEXT,
    ".jsonl": as_jsonl({"id": 7, "text": text} for text in DOCUMENTS),
    ".parquet": as_parquet({"id": list(range(40)), "text": DOCUMENTS}),
}


# Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", SQUEEZE)
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_documents(tmp_path, ending, compression):
    name = written(tmp_path / f"some{ending}{compression}", SQUEEZE[compression](FORMATS[ending]))
    found = documents(corpus.load(name))
    assert sorted(text for texts in found.values() for text in texts) == sorted(text.encode() for text in DOCUMENTS)


def test_the_format_does_not_change_the_split(tmp_path):
    names = [written(tmp_path / f"some{ending}", data) for ending, data in FORMATS.items()]
    assert len({corpus.load(name).sha256 for name in names}) == 1


def test_a_folder_is_all_its_files(tmp_path):
    for number, text in enumerate(DOCUMENTS):
        written(tmp_path / "some" / f"{number % 3}" / f"{number}.{('txt', 'md')[number % 2]}", text.encode())
    written(tmp_path / "some" / "table.csv", b"no,text")
    written(tmp_path / "some" / ".git" / "hidden.txt", b"hidden")
    found = documents(corpus.load(str(tmp_path / "some")))
    assert sorted(text for texts in found.values() for text in texts) == sorted(text.encode() for text in DOCUMENTS)


def test_a_heading_in_markdown_is_no_separator(tmp_path):
    assert texts.local(pathlib.Path(written(tmp_path / "a.md", b"Title\n=====\ntext\n")), "text") == [
        b"Title\n=====\ntext"
    ]


def test_several_frames_of_zstandard_are_one_file(tmp_path):
    halves = TEXT[:100], TEXT[100:]
    name = written(tmp_path / "a.txt.zst", b"".join(zstandard.ZstdCompressor().compress(half) for half in halves))
    assert sum(corpus.load(name).documents.values()) == len(DOCUMENTS)


@pytest.mark.parametrize("between", ["\n\n", "\r\n\r\n", "\n"])
def test_a_single_book_is_cut_at_its_paragraphs(tmp_path, between):
    book = between.join(f"Paragraph {number}: " + "word " * (number % 50) for number in range(900))
    found = documents(corpus.load(written(tmp_path / "book.txt", book.encode())))
    blocks = [block for split in found.values() for block in split]
    assert len(blocks) > 20
    assert all(block.startswith(b"Paragraph") for block in blocks)
    assert sorted(b"".join(blocks)) == sorted(book.encode())


def test_the_field_may_be_named(tmp_path):
    name = written(tmp_path / "a.jsonl", as_jsonl({"body": text, "text": ""} for text in DOCUMENTS))
    assert sum(corpus.load(f"{name}#body").documents.values()) == len(DOCUMENTS)
    assert texts.parts(f"{name}#body") == (pathlib.Path(name), "body")
    odd = written(tmp_path / "a#b.txt", TEXT)
    assert sum(corpus.load(odd).documents.values()) == len(DOCUMENTS)


def test_the_hub_is_read_row_by_row(monkeypatch):
    asked = []

    def load_dataset(*arguments, **options):
        asked.append((arguments, options))
        return iter({"content": text} for text in DOCUMENTS)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    found = corpus.load("some-owner/some.name:part#content")
    assert sum(found.documents.values()) == len(DOCUMENTS)
    assert asked == [(("some-owner/some.name", "part"), {"split": "train", "streaming": True})]
    monkeypatch.setattr(texts, "HUB_BYTES", 500)
    assert sum(corpus.load("another/name#content").documents.values()) < 10


def test_a_document_never_holds_the_byte_that_ends_one(tmp_path):
    name = written(tmp_path / "a.jsonl", as_jsonl({"text": f"a\0{text}"} for text in DOCUMENTS))
    found = documents(corpus.load(name))
    assert sorted(text for texts in found.values() for text in texts) == sorted(f"a{t}".encode() for t in DOCUMENTS)


# What a user is told ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"", "a.txt: 0 documents; at least 3"),
        ("a.txt", b"One\n=====\nOne\n=====\nTwo", "2 documents; at least 3 different"),
        ("a.txt", b"a\0b\0c\0", "NUL bytes, so it is no plain text"),
        ("a.csv", b"a,b", r"cannot read a \.csv; allowed are \*\.txt, \*\.md, \*\.jsonl, \*\.parquet"),
        ("a.txt.gz", b"no gzip", "a.txt.gz: cannot be read: Not a gzipped file"),
        ("a.txt.xz", b"no xz", "a.txt.xz: cannot be read"),
        ("a.txt.zst", b"no zstd", "a.txt.zst: cannot be read"),
        ("a.txt.gz", gzip.compress(b"text" * 99)[:-9], "a.txt.gz: cannot be read"),
        ("a.jsonl", b'{"text": "a"}\n{"text": ', "a.jsonl:2: no JSON"),
        ("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000, "a.jsonl:2: nested too deeply; a row is an object"),
        ("a.jsonl", b'{"txt": "a"}', "a.jsonl:1: no field 'text'; there are txt; did you mean 'txt'"),
        ("a.jsonl", b'["text"]', "a.jsonl:1: a row is an object"),
        ("a.jsonl", b'{"text": 3}', "'text' holds a int; allowed is text"),
        ("a.parquet", b"no parquet", "a.parquet: no parquet"),
        ("a.parquet", as_parquet({"body": ["a"]}), "no field 'text'; there are body"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, data, told):
    with pytest.raises(UserError, match=told):
        corpus.load(written(tmp_path / name, data))


def test_a_folder_without_text_says_what_it_holds(tmp_path):
    written(tmp_path / "some" / "a.csv", b"")
    with pytest.raises(UserError, match=r"it holds 1 file \(\.csv\); allowed are \*\.txt"):
        corpus.load(str(tmp_path / "some"))


def test_a_text_is_looked_for_without_reading_it(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "local", lambda *_: pytest.fail("it was read"))
    there = written(tmp_path / "a.txt", TEXT)
    pair = json.dumps({"train": there, "held_out": written(tmp_path / "empty.txt", b"")})
    assert list(corpus.refused(there)) == list(corpus.refused("python-docs")) == list(corpus.refused("a/hub")) == []
    assert list(corpus.refused(pair)) == [
        (("held_out",), f"{tmp_path}/empty.txt: there is no text in it; at least 3 documents are needed")
    ]
    monkeypatch.setattr(texts.os, "access", lambda *_: False)
    assert list(corpus.refused(there)) == [
        ((), f"{there}: cannot be read: you may not; change its permissions, or name another file")
    ]


def test_of_two_texts_the_one_that_is_short_is_named(tmp_path):
    names = {"train": written(tmp_path / "a.txt", TEXT), "held_out": written(tmp_path / "b.txt", b"")}
    with pytest.raises(UserError, match=r"^\S*b.txt: no document in it"):
        corpus.load(json.dumps(names))
    names = {"train": written(tmp_path / "c.txt", b"One\n=====\nTwo"), "held_out": names["train"]}
    with pytest.raises(UserError, match=r"^\S*c.txt: 2 documents; at least 3 .* beside those that are held out"):
        corpus.load(json.dumps(names))


@pytest.mark.parametrize("name", ["python-doc", "no such", "./missing.txt", "data/missing.jsonl", "~/missing/folder"])
def test_a_corpus_that_is_not_there_is_named_with_what_may_be(name):
    with pytest.raises(UserError, match=r"allowed are a file, a folder, owner/name on the hub, python-docs") as error:
        corpus.load(name)
    assert repr(name) in str(error.value)
    assert ("did you mean 'python-docs'?" in str(error.value)) == (name == "python-doc")


def test_the_hub_needs_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra `hub`: pip install -e '\.\[hub\]'"):
        corpus.load("owner/name")


def test_a_hub_that_cannot_be_reached_is_no_traceback(monkeypatch):
    def load_dataset(*arguments, **options):
        raise ConnectionError("Couldn't reach\nit")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match=r"owner/name: cannot be read from the hub: ConnectionError: Couldn't reach it"):
        corpus.load("owner/name")
