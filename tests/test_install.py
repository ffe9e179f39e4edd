"""install.py makes the environment once, again when what is wanted changes, and never takes half of one for a whole."""

import pathlib
import sys

import pytest

import install


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """install.py with a project of nothing, whose environment this Python stands in for; notes what it would run."""
    paths = {"HERE": "", "VENV": ".venv", "STAMP": ".venv/installed", "CONSTRAINTS": "constraints.txt"}
    for constant, path in paths.items():
        monkeypatch.setattr(install, constant, tmp_path / path)
    monkeypatch.setattr(install, "PYTHON", pathlib.Path(sys.executable))
    monkeypatch.setattr(sys, "argv", ["install.py"])
    (tmp_path / ".venv").mkdir()
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    ran = []
    monkeypatch.setattr(install, "run", lambda *command: ran.append(command))
    return ran


def test_it_installs_once(elsewhere):
    install.main()
    assert [command[-1] for command in elsewhere] == ["setuptools", f"{install.HERE}[dev]"]
    assert all(str(install.CONSTRAINTS) in command for command in elsewhere)
    install.main()
    assert len(elsewhere) == 2


@pytest.mark.parametrize("name", ["constraints.txt", "pyproject.toml"])
def test_it_installs_again_when_what_is_wanted_changes(elsewhere, name):
    install.main()
    (install.HERE / name).write_text("other")
    install.main()
    assert len(elsewhere) == 4


def test_it_installs_again_where_the_environment_is_broken(elsewhere, monkeypatch):
    install.main()
    monkeypatch.setattr(install, "PYTHON", install.VENV / "bin/no-python")
    install.main()
    assert elsewhere[2][1:3] == ("-m", "venv")


def test_an_interrupted_installation_is_not_taken_for_a_finished_one(elsewhere, monkeypatch):
    install.main()
    (install.HERE / "constraints.txt").write_text("numpy==2.1\n")
    monkeypatch.setattr(install, "run", lambda *command: sys.exit("no network"))
    with pytest.raises(SystemExit, match="no network"):
        install.main()
    assert not install.STAMP.exists()


def test_an_old_python_is_told_so(elsewhere, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"3\.11 or newer.*\n.*PYTHON="):
        install.main()
    assert elsewhere == []


def test_clean_removes_caches_and_no_result(elsewhere, monkeypatch):
    kept = ["results/triangle/cpu/points.csv", "reports/triangle.html", "models/a.py", "constraints.txt"]
    gone = [".venv/bin/python", "models/__pycache__/a.pyc", "models/b/__pycache__/c.pyc", ".cache/weights"]
    for path in kept + gone:
        (install.HERE / path).parent.mkdir(parents=True, exist_ok=True)
        (install.HERE / path).write_text("")
    monkeypatch.setattr(sys, "argv", ["install.py", "clean"])
    install.main()
    assert all((install.HERE / path).exists() for path in kept)
    assert not [path for path in gone if (install.HERE / path).exists()]
    assert elsewhere == []


def test_an_unknown_word_is_refused(elsewhere, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["install.py", "celan"])
    with pytest.raises(SystemExit, match="celan"):
        install.main()
    assert elsewhere == []
