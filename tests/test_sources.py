"""Which sources a result depends on."""

import pathlib

import pytest

from harness import sources
from harness.point import digest


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A project of five files, for its hashes."""
    files = {
        "models/one.py": "from models._shared import f\n\ndef g():\n    from models import _late\n",
        "models/two.py": "import torch\n",
        "models/_shared.py": "import math\n",
        "models/_late.py": "from models._part import late\n",
        "models/_part/__init__.py": "a = 1\n",
        "harness/child.py": "from harness.bench import Bench\n",
        "harness/bench.py": "import harness.timing\nfrom harness.errors import UserError\n",
        "harness/timing.py": "a = 1\n",
        "harness/errors.py": "a = 1\n",
        "harness/writer.py": "a = 1\n",
        "harness/measures/speed.py": "from harness.measures import Sample\n",
        "harness/measures/other.py": "a = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    return tmp_path


def hash_of(model="one", measure="speed"):
    return digest(sources.computing(model, measure))


@pytest.mark.parametrize(
    "name",
    [
        "models/one",
        "models/_shared",
        "models/_late",
        "models/_part/__init__",
        "harness/child",
        "harness/bench",
        "harness/timing",
        "harness/measures/speed",
    ],
)
def test_a_change_of_what_computes_a_point_changes_its_hash(tree: pathlib.Path, name):
    before, path = hash_of(), tree / f"{name}.py"
    path.write_text(path.read_text() + "b = 2\n")
    assert hash_of() != before


@pytest.mark.parametrize("name", ["models/two", "harness/errors", "harness/writer", "harness/measures/other"])
def test_a_change_elsewhere_does_not(tree: pathlib.Path, name):
    before, path = hash_of(), tree / f"{name}.py"
    path.write_text(path.read_text() + "b = 2\n")
    assert hash_of() == before
    path = tree / "models" / "one.py"
    path.write_text("# a comment\n" + path.read_text().replace("import f", "import (\n    f\n)"))
    assert hash_of() == before


@pytest.mark.parametrize("of", ["module", "class", "function"])
def test_docstrings_do_not_count_but_other_strings_do(tree: pathlib.Path, of):
    path, begun = (
        tree / "models" / "one.py",
        {"module": "", "class": "class A:\n    ", "function": "def f():\n    "}[of],
    )
    given = path.read_text()

    def written(line: str) -> str:
        whole = begun + line
        path.write_text(whole + "\n" + given if of == "module" else given + whole + "\n")
        return hash_of()

    assert written('"""Said so."""') == written('"""Or so."""')
    assert written('x = "said so"') != written('x = "or so"')


def test_models_and_measures_have_hashes_of_their_own(tree):
    assert len({hash_of(), hash_of("two"), hash_of(measure="other")}) == 3


def test_the_hash_of_a_real_point_covers_what_it_runs_through():
    found = set(sources.computing("retnet", "language"))
    assert {"models.retnet", "models._lm", "harness.measures.language", "harness.training", "harness.point"} <= found
    assert not {"models.transformer", "harness.measures.decode", "harness.writer", "harness.cli"} & found


@pytest.mark.parametrize("measure", ["decode", "language"])
def test_what_reads_a_text_counts_by_the_text_alone(measure):
    found = set(sources.computing("retnet", measure))
    assert "harness.bench" in found, "which imports what reads it"
    assert not {f"harness.{name}" for name in ("corpus", "splits", "texts", "python_docs")} & found
