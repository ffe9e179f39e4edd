"""How the command line ends where what it prints cannot be written, and nobody reads it any more."""

import ast
import io
import os
import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from harness import record, terminal
from harness.errors import CLOSED
from tests.commands import SMALL
from tests.tree import ROOT, name, python, tree

PRINTING = [("list", "machines"), ("validate", "experiments/smoke.yaml"), ("--help",)]
CHILDREN = {"harness/gate/survey.py", "harness/gate/visitor.py"}  # which the gate starts and reads
printing = pytest.mark.parametrize("words", PRINTING, ids=" ".join)
given_at_once = pytest.mark.parametrize("at_once", ["", "1"], ids=["buffered", "unbuffered"])


def asked(*words):
    return [sys.executable, "-m", "harness", *map(str, words)]


def environment(at_once):
    """That of a command whose output goes out at once, or when there is enough of it."""
    return {"cwd": ROOT, "env": os.environ | {"PYTHONUNBUFFERED": at_once}, "text": True, "timeout": 100}


def closed(*words, at_once, errors_too=False):
    """What a command ends with that nobody reads from the start: its exit code and standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        errors = subprocess.STDOUT if errors_too else subprocess.PIPE
        ended = subprocess.run(asked(*words), stdout=writer, stderr=errors, **environment(at_once))
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@given_at_once
@printing
def test_a_closed_pipe_ends_a_command_quietly(words, at_once):
    assert closed(*words, at_once=at_once) == (CLOSED, "")


@given_at_once
def test_a_mistake_that_nobody_reads_is_no_traceback(at_once):
    assert closed("validate", "experiments/smok.yaml", at_once=at_once, errors_too=True)[0] == CLOSED
    assert closed("validate", "experiments/smok.yaml", at_once=at_once)[0] == 2, "what it prints is nothing"


@given_at_once
def test_a_run_that_nobody_reads_any_more_keeps_what_it_has_measured(tmp_path, typed, at_once):
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    command = asked("run", tmp_path / "small.yaml", "--out", tmp_path / "r", "--device", "cpu")
    how = environment(at_once)
    how.pop("timeout")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[1/4] ok")
    process.stdout.close()
    told = process.stderr.read()
    assert (process.wait(60), "Traceback" in told, "BrokenPipe" in told) == (CLOSED, False, False)
    (folder,) = record.folders(tmp_path / "r")
    done = len(record.load(folder).points)
    assert done >= 1
    assert not (folder / ".lock").exists()
    code, printed, _ = typed(*command[3:])
    assert code == 0
    assert re.search(rf"\b{4 - done} points? run, {done} (was|were) done before", printed)
    assert record.load(folder).notes == ()


def test_no_command_takes_a_closed_pipe_for_a_fault_of_its_own():
    """A gate that fails says that it has measured nothing; one that nobody reads is not to."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    out = terminal.console()
    out.file = Closed()
    with pytest.raises(SystemExit) as ended:
        out.print("a line")
    assert ended.value.code == CLOSED
    out.print("another, on the way out")


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a device that is always full")
@given_at_once
@printing
def test_what_cannot_be_printed_is_a_line_and_no_traceback(words, at_once):
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run(asked(*words), stdout=full, stderr=subprocess.PIPE, **environment(at_once))
    assert ended.returncode == 2
    assert ended.stderr == "what is printed cannot be written, no space is left: make room, or print elsewhere\n"


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", ["harness.gate.trial --help", "harness.gate.trial table"])
def test_other_programs_end_so_too(words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", *words.split()]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, **environment(""))
    assert ended.returncode == 2
    assert ended.stderr == "what is printed cannot be written, no space is left: make room, or print elsewhere\n"


def test_every_program_of_the_harness_ends_as_the_command_line_does():
    guard = "__name__ == '__main__'"
    ends = {
        name(path): [ast.unparse(line).partition("(")[0] for line in node.body]
        for path in python("harness")
        for node in tree(path).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == guard
    }
    assert ends.keys() >= CHILDREN
    assert {path: lines for path, lines in ends.items() if lines != ["ending.run"]}.keys() == CHILDREN


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("given", [["--help"], ["results", "more"]])
@pytest.mark.parametrize("program", ["tables", "readme_parts"])
def test_a_program_that_takes_no_words_refuses_them_and_writes_nothing(monkeypatch, capsys, program, given):
    monkeypatch.setattr(sys, "argv", [program, *given])
    monkeypatch.setattr(pathlib.Path, "write_text", lambda *_, **__: pytest.fail("it wrote"))
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"harness.{program}", run_name="__main__")
    told = f"'{given[0]}': this takes no words; `python -m harness.{program}` alone writes the "
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n"), said.err.startswith(told)) == (2, "", 1, True), said.err


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_gates_trials_refuse_a_mistyped_command_in_a_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["trial", "tabel"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("harness.gate.trial", run_name="__main__")
    told = "unknown command 'tabel'; allowed are run, table, write; did you mean 'table'?\n"
    assert (ended.value.code, *capsys.readouterr()) == (2, "", told)


def test_a_terminal_without_greek_gets_a_question_mark():
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    command = [sys.executable, "-m", "harness", "list", "figures"]
    ended = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert b"?" in ended.stdout
