"""What a bench gives a measure and keeps beside: the text of the point, and under what it was timed."""

import dataclasses

import pytest

from harness import corpus
from harness.bench import Bench
from tests import tiny
from tests.test_corpus import DOCUMENTS

# The corpus ------------------------------------------------------------------------------------------------------


@pytest.fixture
def text(monkeypatch, tmp_path):
    """A file of documents, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text("\n=====\n".join(DOCUMENTS))
    return path


def test_a_text_that_changed_since_the_point_was_planned_is_not_read_for_it(only_tiny, text):
    planned = tiny.point("noop", corpus=str(text), corpus_sha256=corpus.load(str(text)).sha256)
    assert Bench(planned).corpus().sha256 == planned.corpus_sha256
    text.write_text("\n=====\n".join(DOCUMENTS[1:]))
    with pytest.raises(RuntimeError, match="the text has changed since this run began; start it again"):
        Bench(planned).corpus()
    anew = Bench(dataclasses.replace(planned, corpus_sha256=None)).corpus()
    assert anew.sha256 != planned.corpus_sha256, "a point that names no hash takes the text as it is"
