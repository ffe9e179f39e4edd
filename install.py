"""Makes .venv with exactly the versions that constraints.txt pins; does nothing where it stands and is current.

    python3 install.py           what every `make` target calls first
    python3 install.py resolve   resolves pyproject.toml anew and writes constraints.txt (`make constraints`)
    python3 install.py clean     removes the environment and every cache, never a result (`make clean`)

The syntax is that of Python 3.6, so that an older Python reads far enough to say that it is too old.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VENV = HERE / ".venv"
STAMP = VENV / "installed"  # holds the key of the last installation that came to its end
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CONSTRAINTS = HERE / "constraints.txt"
OLDEST = (3, 11)
TORCH = "torch==2.13.0"  # exactly: a range may take another build, several gigabytes larger
EXTRAS = "dev,gpu,hub,lm-eval,ray,slurm"
SCRAP = (".venv", ".benchmarks", ".cache", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "build")
HEAD = """\
# Every version that an installation may use, transitive ones and those of all extras too; only `-c` reads it, so a line
# installs nothing by itself. Written by `make constraints`; torch's CUDA libraries are the ones its Linux builds name.
"""


def main():
    if sys.version_info < OLDEST:
        sys.exit(
            f"This is Python {sys.version.split()[0]} ({sys.executable}), and 3.11 or newer is needed.\n"
            "Name a newer one: make run PYTHON=python3.12"
        )
    if sys.argv[1:] == ["resolve"]:
        resolve()
    elif sys.argv[1:] == ["clean"]:
        clean()
    elif sys.argv[1:]:
        sys.exit(f"install.py takes nothing, resolve or clean; not {' '.join(sys.argv[1:])}")
    elif not STAMP.exists() or STAMP.read_text() != key() or not works():
        install()


def key():
    """Changes with what is to be installed, and with the folder, whose path the environment holds."""
    told = [str(HERE), (HERE / "pyproject.toml").read_text(encoding="utf-8"), CONSTRAINTS.read_text(encoding="utf-8")]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def works():
    """Whether the environment's own Python starts: the one it was made from may be gone."""
    check = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.run([str(PYTHON), "-c", check]).returncode == 0
    except OSError:
        return False


def install():
    start = time.monotonic()
    print("Installing the pinned dependencies into .venv; once, a minute or two ...", flush=True)
    if not works():
        run(sys.executable, "-m", "venv", "--clear", str(VENV))
    elif STAMP.exists():
        STAMP.unlink()
    pip("install", "setuptools")  # builds the project below, pinned like everything else
    pip("install", "--no-build-isolation", "--editable", f"{HERE}[dev]")
    STAMP.write_text(key())
    print(f"Installed in {time.monotonic() - start:.0f} s.", flush=True)


def pip(command, *arguments):
    quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input", "--constraint", str(CONSTRAINTS)]
    run(str(PYTHON), "-m", "pip", command, *quiet, *arguments)


def run(*command):
    if subprocess.run(command, cwd=str(HERE)).returncode:
        sys.exit(f"This failed: {' '.join(command)}\nIts message stands above. Mend that and run make again.")


def resolve():
    """Asks pip, against the public index whatever this machine's pip is set to, and installs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        ask = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--use-feature=fast-deps"]
        public = dict(os.environ, PIP_CONFIG_FILE=os.devnull, PIP_FIND_LINKS="", PIP_CONSTRAINT="")
        wanted = [TORCH, "setuptools", f"{HERE}[{EXTRAS}]"]
        subprocess.run([*ask, "--quiet", "--report", str(report), *wanted], env=public, check=True)
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    told = {normal(each["metadata"]["name"]): each["metadata"]["version"].partition("+")[0] for each in found}
    del told["impossible-triangle"]
    CONSTRAINTS.write_text(HEAD + "".join(f"{name}=={told[name]}\n" for name in sorted(told)), encoding="utf-8")
    print(f"constraints.txt pins {len(told)} packages.")


def clean():
    scrap = [HERE / name for name in SCRAP]
    scrap += [*HERE.glob("*.egg-info"), *HERE.glob("[a-z]*/**/__pycache__")]
    for folder in scrap:
        shutil.rmtree(str(folder), ignore_errors=True)


def normal(name):
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()
