"""The rooms and who may call whom, read from the imports; and the rules that every file of the house keeps."""

import ast
import json
import re
import subprocess
import sys

import pytest

import models
from tests.tree import ROOMS, ROOT, imports, module, name, needed_at_once, python, standard, tracked, tree

LONGEST = 250  # lines; a longer file is two ideas
QUICK_SECONDS = 0.1  # of the processor, for a file of ours once the libraries that it needs are loaded
CLOCKS = {"time", "timeit"}

every_file = pytest.mark.parametrize("path", python(), ids=name)
every_model = pytest.mark.parametrize("path", python("models"), ids=name)
every_report = pytest.mark.parametrize("path", python("reports"), ids=name)
every_measure = pytest.mark.parametrize("path", python("harness/measures"), ids=name)
every_test_file = pytest.mark.parametrize("path", [p for p in python("tests") if p.stem.startswith("test_")], ids=name)


def told(path, found):
    return [f"{name(path)}:{each.line} imports {each.module}" for each in found]


# Who may call whom -----------------------------------------------------------------------------------------------


@every_model
def test_a_model_needs_torch_only(path):
    """And its kernels Triton, which only asking for them loads."""
    allowed = {"torch", "jaxtyping", "models"} | ({"triton"} if path.parent.name == "_kernels" else set())
    foreign = [each for each in imports(path) if not standard(each.room) and each.room not in allowed]
    assert not told(path, foreign)
    assert path.parent.name == "_kernels" or "triton" not in rooms(needed_at_once(path))


@every_model
def test_no_architecture_imports_another(path):
    another = [each for each in imports(path) if each.room == "models" and not is_shared(each.module)]
    assert not told(path, another)


def is_shared(dotted):
    return dotted == "models" or dotted.split(".")[1].startswith("_")


def test_memory_of_programs_has_the_dtype_that_it_says():
    made, found = ("empty", "zeros", "ones", "full"), []
    for path in sorted((ROOT / "models" / "_kernels").glob("*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in [f"torch.{name}" for name in made]:
                found += [f"{path.name}:{node.lineno}"] * all(given.arg != "dtype" for given in node.keywords)
    assert not found, "torch's default dtype may be a short one, which rounds what is summed"


@pytest.mark.parametrize("path", python("models") + python("reports"), ids=name)
def test_only_the_harness_has_a_clock(path):
    assert not told(path, [each for each in imports(path) if each.room in CLOCKS])


@every_report
def test_a_report_needs_no_torch_and_no_harness(path):
    assert not told(path, [each for each in imports(path) if each.room in ("torch", "harness")])
    assert "torch" not in rooms(needed_at_once(path))


@every_measure
def test_a_measure_loads_torch_only_when_it_runs(path):
    assert not told(path, [each for each in imports(path) if each.room == "torch" and each.at_once])
    assert "torch" not in rooms(needed_at_once(path))


def test_the_command_line_loads_no_library_that_help_does_not_need():
    needed = {room for room in rooms(needed_at_once(ROOT / "harness/__main__.py")) if not standard(room)}
    assert needed <= {"harness", "typer", "rich", "models"}


def test_experiments_are_read_without_torch():
    needed = rooms(needed_at_once(ROOT / "harness/experiment.py"))
    assert "pydantic" in needed
    assert "torch" not in needed


def rooms(modules):
    return {dotted.partition(".")[0] for dotted in modules}


def test_no_file_of_the_harness_names_an_architecture():
    """Adding one is one new file: what the harness must know of it, its file states."""
    known = set(models.names())
    found = [
        f"{name(path)}:{node.lineno} {node.value!r}"
        for path in python("harness")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in known
    ]
    assert known
    assert not found


def test_no_list_of_names_stands_in_two_files_of_the_reports():
    """The second one drifts. What a figure or a claim names is its own."""
    shared = [p for p in python("reports") if p.parent.name not in ("figures", "claims") or p.stem.startswith("_")]
    found = {}
    for path in shared:
        for node in tree(path).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
                names = [getattr(each, "value", None) for each in node.value.elts]
                if len(names) > 1 and all(isinstance(each, str) for each in names):
                    found.setdefault(tuple(sorted(names)), []).append(f"{name(path)}:{node.lineno}")
    assert found
    assert not {names: places for names, places in found.items() if len(places) > 1}


@pytest.mark.parametrize("together", [("harness", "reports"), ("models",)], ids=" and ".join)
def test_no_function_stands_twice(together):
    """Whatever it is called, and however its docstring puts it. Models may share nothing with the harness."""
    places = {}
    for path in [path for room in together for path in python(room)]:
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef):
                body = ast.dump(ast.Module(node.body[1:] if ast.get_docstring(node) else node.body, []))
                places.setdefault(body, []).append(f"{name(path)}:{node.lineno} {node.name}")
    assert places
    assert not [told for told in places.values() if len(told) > 1]


def test_a_plural_is_made_in_one_place():
    made = [
        name(path)
        for path in python("harness") + python("reports")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.IfExp) and {ast.unparse(node.body), ast.unparse(node.orelse)} == {"''", "'s'"}
    ]
    assert made == ["reports/plurals.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_once_where_the_project_is(room):
    """By two steps up from one of its files."""
    up = r"__file__\)(\.resolve\(\))?\.(parent\.parent|parents\[1\])"
    found = [name(path) for path in python(room) if re.search(up, path.read_text(encoding="utf-8"))]
    assert len(found) <= 1, found


# Importing is silent and quick -----------------------------------------------------------------------------------

TIMER = """
import importlib, json, sys, time
for library in json.loads(sys.argv[1]):
    importlib.import_module(library)
took = {}
for ours in json.loads(sys.argv[2]):
    start = time.process_time()
    importlib.import_module(ours)
    took[ours] = time.process_time() - start
print(json.dumps(took))
"""


def test_importing_is_silent_and_quick():
    files = [path for path in python("models") + python("harness") + python("reports") if path.stem != "__main__"]
    ours = [module(path) for path in files]
    libraries = {each.module for path in files for each in imports(path) if each.at_once and is_foreign(each)}
    asked = [sys.executable, "-W", "error::SyntaxWarning", "-c", TIMER, json.dumps(sorted(libraries)), json.dumps(ours)]
    ran = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1, f"importing prints:\n{ran.stdout}"
    took = json.loads(ran.stdout)
    assert took.keys() == set(ours)
    assert not {dotted: seconds for dotted, seconds in took.items() if seconds > QUICK_SECONDS}


def is_foreign(each):
    return each.room not in ("models", "harness", "reports") and each.room != "__future__"


# Every file ------------------------------------------------------------------------------------------------------


@every_file
def test_a_file_is_one_idea(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@every_file
def test_a_file_says_what_it_is(path):
    assert ast.get_docstring(tree(path)), "a file starts with what it is"


def test_no_file_names_a_place_of_one_machine_or_a_note_to_self():
    """Paths that no reader has, and words that say a thing is not finished."""
    home = r"(?<![\w.~$}/-])/(?:home|Users|root|work)/\w+"
    beside = re.escape("../" + "shared")
    unfinished = r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"
    here = re.escape(str(ROOT)) + r"\b"
    rule = re.compile(f"{home}|{beside}|{unfinished}|{here}")
    found = []
    for path in tracked():
        for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            found += [f"{name(path)}:{line} {match.group()}" for match in rule.finditer(text)]
    assert not found


@every_test_file
def test_every_test_can_fail(path):
    functions = {node.name: node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)}
    tests = [node for node in functions.values() if node.name.startswith("test_")]
    assert tests, "a test file without a test"
    assert not [f"{name(path)}:{node.lineno} {node.name}" for node in tests if not asserts(node, functions)]


def asserts(function, functions, seen=()):
    """Whether a function asserts, expects an exception or a warning, or calls one of its file's that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("raises", "warns", "fail", "gradcheck", "assert_close", "assert_frame_equal"):
                return True
            ours = called in functions and called not in (*seen, function.name)
            if ours and asserts(functions[called], functions, (*seen, function.name)):
                return True
    return False
