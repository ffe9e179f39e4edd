"""Which text a corpus holds, that no document is both trained on and scored, and that it is read once."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cache, corpus, python_docs, splits, texts
from harness.errors import UserError

DOCUMENTS = [f"Document {number}. " + "Ünicode and text. " * (3 + number) for number in range(40)]
TEXT = "\n=====\n".join(DOCUMENTS).encode()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def documents(found):
    """The documents of each split of a corpus, taken apart again."""
    return {name: bytes(getattr(found, name)).split(splits.END)[:-1] for name in splits.SPLITS}


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


# The default -----------------------------------------------------------------------------------------------------


def test_the_documentation_of_this_python(monkeypatch, tmp_path):
    for name, source in {
        "a.py": '"""The module."""\ndef f(x, y=1):\n    """Does\n    it."""\nclass C(list):\n    """A class."""\n'
        '    async def g(self):\n        """Deep."""\n',
        "b.py": 'raise SystemExit("it was run")\ndef h():\n    """Does\n    it."""\n',
        "broken.py": "def",
        "sub/d.py": '"""Below."""',
        "test/c.py": '"""Left out."""',
        "site-packages/e.py": '"""Left out."""',
    }.items():
        written(tmp_path / "lib" / name, source.encode())
    monkeypatch.setattr(python_docs, "folder", lambda: tmp_path / "lib")
    monkeypatch.setattr(python_docs, "_topics", lambda: ["A topic."])
    assert python_docs.documents() == [
        b"A topic.",
        b"The module.\n\nf(x, y=1)\nDoes\nit.\n\nclass C(list)\nA class.\n\nC.g(self)\nDeep.",
        b"Below.",
    ]


def test_every_python_has_enough_documentation():
    found = python_docs.documents()
    assert len(found) > 300
    assert sum(map(len, found)) > 1_000_000
    assert any(b"heappush(heap, item)" in text or b"Heap queue algorithm" in text for text in found)


# The split -------------------------------------------------------------------------------------------------------

some_documents = st.lists(st.binary(min_size=1, max_size=40).map(lambda text: text.replace(b"\0", b"0")), max_size=60)


@given(some_documents)
def test_a_split_is_by_document(given_documents):
    distinct = set(given_documents)
    if len(distinct) < 3:
        with pytest.raises(ValueError, match=f"^{len(distinct)} documents?; "):
            splits.split(given_documents)
        return
    found = splits.split(given_documents)
    assert list(found) == list(splits.SPLITS)
    assert all(found.values()), "each split has a document"
    together = [text for texts in found.values() for text in texts]
    assert sorted(together) == sorted(distinct), "every document once, in one split"
    assert max(distinct, key=len) in found["train"] or len(max(found["train"], key=len)) == max(map(len, distinct))
    assert splits.split(list(reversed(given_documents))) == found, "whatever the order they come in"


def test_the_small_splits_are_a_twentieth_each():
    generator = np.random.default_rng(5)
    found = splits.split([generator.bytes(int(size)) for size in generator.integers(1, 2000, 3000)])
    sizes = {name: sum(map(len, texts)) for name, texts in found.items()}
    total = sum(sizes.values())
    assert sizes["held_out"] / total == pytest.approx(0.05, abs=0.001)
    assert sizes["tuning"] / total == pytest.approx(0.05, abs=0.001)


def test_the_largest_of_three_is_trained_on():
    found = splits.split([b"a" * 5, b"b" * 900, b"c" * 7])
    assert found["train"] == [b"b" * 900]
    assert len(found["tuning"]) == len(found["held_out"]) == 1


def test_documents_end_with_a_byte_that_no_document_holds(tmp_path):
    found = corpus.load(written(tmp_path / "a.txt", TEXT))
    for name in splits.SPLITS:
        assert (getattr(found, name) == 0).sum() == found.documents[name]
        assert getattr(found, name)[-1] == 0
    assert f"{len(found.train):,} bytes in {found.documents['train']} (train)" in found.told


def test_somebody_else_may_have_held_out(tmp_path):
    train, held_out = DOCUMENTS[:30], DOCUMENTS[28:]
    pair = {
        "train": written(tmp_path / "train.txt", "\n=====\n".join(train).encode()),
        "held_out": written(tmp_path / "valid.txt", "\n=====\n".join(held_out).encode()),
    }
    found = documents(corpus.load(json.dumps(pair)))
    assert sorted(found["held_out"]) == sorted(text.encode() for text in held_out)
    assert sorted(found["train"] + found["tuning"]) == sorted(text.encode() for text in DOCUMENTS[:28])


def test_the_same_text_twice_is_told_and_not_taken_for_too_short_a_one(tmp_path):
    one, other = (written(tmp_path / name, TEXT) for name in ("a.txt", "b.txt"))
    assert list(corpus.refused(json.dumps({"train": one, "held_out": one}))) == [(("held_out",), corpus.SAME)]
    assert list(corpus.refused(json.dumps({"train": one, "held_out": other}))) == []
    for held_out in (one, other):
        with pytest.raises(UserError) as refused:
            corpus.load(json.dumps({"train": one, "held_out": held_out}))
        assert str(refused.value) == f"{one}: all of its documents are held out: {corpus.SAME}"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_documents_are_counted_in_words(count):
    with pytest.raises(ValueError, match=f"^{count} document{'' if count == 1 else 's'}; at least 3 different"):
        splits.split([b"abc", b"de"][:count])


@pytest.mark.parametrize("name", ['{"train": "a"}', '{"train": "a", "held_out": 3}', "{", '{"a":' * 100_000])
def test_a_mapping_names_two_corpora(name):
    with pytest.raises(UserError, match=r"allowed is a name, or \{train: NAME, held_out: NAME\}"):
        corpus.load(name)


# The cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch):
    """How often the sources were read."""
    told, read = [], texts.local
    monkeypatch.setattr(texts, "local", lambda *arguments: told.append(arguments) or read(*arguments))
    return told


def test_a_corpus_is_read_once(tmp_path, reads):
    name = written(tmp_path / "a.txt", TEXT)
    first, again = corpus.load(name), corpus.load(name)
    assert len(reads) == 1
    assert isinstance(again.train, np.memmap)
    assert (first.sha256, documents(first)) == (again.sha256, documents(again))
    assert list((tmp_path / "cache").rglob("*.*")) == list(
        (tmp_path / "cache/impossible-triangle/corpora").glob("*.bin")
    )


def test_the_cache_tells_how_much_there_is_to_train_on(tmp_path):
    name = written(tmp_path / "a.txt", TEXT)
    assert corpus.training_bytes(name) is None
    assert corpus.training_bytes(str(tmp_path / "nothing.txt")) is None
    found = corpus.load(name)
    assert corpus.training_bytes(name) == len(found.train)


def test_a_source_that_changed_is_read_again(tmp_path, reads):
    name = written(tmp_path / "a.txt", TEXT)
    first = corpus.load(name)
    written(tmp_path / "a.txt", TEXT + b"\n=====\nOne more.")
    assert corpus.load(name).sha256 != first.sha256
    assert len(reads) == 2


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    def fill(file):
        file.write(b"half")
        raise OSError("disk full")

    cache.write(tmp_path / "a", lambda file: file.write(b"whole"))
    with pytest.raises(OSError, match="disk full"):
        cache.write(tmp_path / "a", fill)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "renamed"])
def test_a_damaged_cache_is_made_again(tmp_path, reads, damage):
    name = written(tmp_path / "a.txt", TEXT)
    whole = corpus.load(name)
    texts_of, sha256 = documents(whole), whole.sha256
    (kept,) = (tmp_path / "cache").rglob("*.bin")
    data = bytearray(kept.read_bytes())
    data[-3] ^= 1
    kept.unlink()  # what is mapped from it stays as it is
    kept.write_bytes({"cut": data[:-9], "changed": data, "emptied": b"", "renamed": b"{}\n" + data}[damage])
    again = corpus.load(name)
    assert len(reads) == 2
    assert documents(again) == texts_of
    assert corpus.load(name).sha256 == sha256
    assert len(reads) == 2


def test_a_corpus_can_be_used_where_nothing_can_be_kept(tmp_path, monkeypatch):
    name = written(tmp_path / "a.txt", TEXT)
    written(tmp_path / "file", b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert sum(corpus.load(name).documents.values()) == len(DOCUMENTS)
