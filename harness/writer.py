"""The one writer of a results folder. It appends; what was measured is never changed or removed.

A point's rows go to disk before its row of points.csv does: that row is the mark that the point is done. Only where a
run was interrupted in between are its leftovers taken out, into a file beside, `NAME.csv.cut`.
"""

import errno
import fcntl
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from harness import csvfile, damage, planned, record
from harness.csvfile import OPTION
from harness.errors import UserError
from harness.tables import LATER, VERSION

ORDER = ("environments", "samples", "curves", "points")  # in which a point's rows are written
LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that know none


class Writer:
    """Holds one results folder open for appending, and locked against a second run; use it in a `with` block.

    Raises UserError where the folder cannot be written, is damaged, or is in use by another run.
    """

    notes: tuple[str, ...]  # what an interrupted run had left, and was taken out
    points: pd.DataFrame  # the rows that the folder held when it was opened
    environments: pd.DataFrame

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._files: dict[str, int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
        except OSError as error:
            raise _unwritable(folder, error) from None
        try:
            self._open()
        except OSError as error:
            self.close()
            raise _unwritable(folder, error) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files = {}
        (self.folder / LOCK).unlink(missing_ok=True)
        os.close(self._lock)

    def settings(self, text: str) -> None:
        """Keeps the resolved experiment beside its results."""
        try:
            _replace(self.folder / record.SETTINGS, text)
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def training_bytes(self, sha256: str, size: int) -> None:
        """Keeps how many bytes of a text there are to train on."""
        known = record.training_bytes(self.folder)
        if known.get(sha256) == size:
            return
        try:
            _replace(self.folder / record.TEXTS, json.dumps(known | {sha256: size}, indent=1) + "\n")
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def planned(self, told: Iterable[Mapping[str, Any]]) -> None:
        """Keeps what the experiment plans, beside what earlier runs planned."""
        path = self.folder / planned.FILE
        try:
            text = planned.merged(path, told)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                _replace(path, text)
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def commit(
        self,
        point: Mapping[str, Any],
        options: Mapping[str, Any],
        samples: Iterable[Mapping[str, Any]],
        curve: Iterable[Mapping[str, Any]],
        environment: Mapping[str, Any],
    ) -> None:
        """Appends one point, all of it or nothing. Raises UserError where the disk is full, rows break the schema,
        and for a name that is there: nobody could read the folder any more."""
        if point["point"] in self._names:
            told = f"there is a point {point['point']} already, and each stands there once; nothing was written"
            raise UserError(f"{self._sheets['points'].path}: {told}; give it another name")
        rows: dict[str, list[dict[str, Any]]] = {
            "environments": [] if environment["environment"] in self._known else [{**environment}],
            "samples": [{**row} for row in samples],
            "curves": [{**row} for row in curve],
        }
        counts = {name: len(rows[name]) for name in damage.OWNED}
        rows["points"] = [{**point, **counts, **{OPTION + name: value for name, value in options.items()}}]
        self._widen(rows["points"][0])
        sizes = {name: os.fstat(file).st_size for name, file in self._files.items()}
        try:
            for name in ORDER:
                self._append(name, rows[name])
        except BaseException as error:
            for name, size in sizes.items():
                os.ftruncate(self._files[name], size)
            if isinstance(error, OSError):
                raise _unwritable(self.folder, error) from None
            raise
        self._known.add(environment["environment"])
        self._names.add(point["point"])

    def _open(self) -> None:
        """Reads what is there, takes out what an interrupted run left, and makes the files that are missing."""
        self._sheets = record.read_all(self.folder)
        settled = damage.settle(self._sheets)
        for name, sheet in self._sheets.items():
            dropped = [line for line, counts in zip(sheet.lines, settled.counts[name], strict=True) if not counts]
            if dropped or sheet.cut:
                with sheet.path.with_name(f"{sheet.path.name}.cut").open("a", encoding="utf-8") as file:
                    file.writelines(f"{line}\n" for line in [*dropped, *([sheet.cut] if sheet.cut else [])])
            if dropped or sheet.cut or not sheet.whole:
                kept = (line for line, counts in zip(sheet.lines, settled.counts[name], strict=True) if counts)
                _replace(sheet.path, sheet.text(kept))
            self._files[name] = os.open(sheet.path, os.O_WRONLY | os.O_APPEND)
        self.notes = settled.notes
        self.points = self._sheets["points"].frame.loc[settled.counts["points"]]
        self.environments = self._sheets["environments"].frame
        self._known = set(self.environments["environment"])
        self._names = set(self.points["point"])

    def _widen(self, row: Mapping[str, Any]) -> None:
        """Gives points.csv the columns of options, and later ones, that it lacks: the whole file anew, in one move."""
        sheet = self._sheets["points"]
        allowed = {*LATER["points"], *(column for column in row if column.startswith(OPTION))}
        new = sorted(allowed & set(row) - set(sheet.header))
        if not new:
            return
        try:
            head, *lines = sheet.path.read_text(encoding="utf-8").splitlines()
            text = [",".join([head, *new]), *(line + "," * len(new) for line in lines)]
            _replace(sheet.path, "".join(f"{line}\n" for line in text))
            os.close(self._files.pop("points"))
            self._files["points"] = os.open(sheet.path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        sheet.header.extend(new)

    def _append(self, name: str, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        sheet = self._sheets[name]
        lines = [csvfile.line(sheet.header, {"schema": VERSION, **row}) for row in rows]
        csvfile.check(sheet, name, lines)
        data = "".join(f"{line}\n" for line in lines).encode()
        while data:  # once, but where the disk is about to be full
            data = data[os.write(self._files[name], data) :]
        os.fsync(self._files[name])


def _lock(folder: pathlib.Path) -> int:
    """Locks the folder for this process, for as long as it lives; returns the open lock file, which names it."""
    path = folder / LOCK
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            told = f"{folder}: another run, process {other}, writes there; wait for it, or use --out"
            raise UserError(told) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(file)
                raise
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            os.truncate(file, 0)
            os.write(file, f"{os.getpid()}\n".encode())
            return file
        os.close(file)  # the run that held it has just removed it


def _replace(path: pathlib.Path, text: str) -> None:
    """Writes a whole file so that at every moment the old or the new one is there."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _unwritable(folder: pathlib.Path, error: OSError) -> UserError:
    file = next((path for path in (folder, *folder.parents) if path.is_file()), None)
    fix = "make room" if file is None else f"{file} is a file where a folder should be; move it away,"
    told = f"what was there before is kept; {fix} or name another folder with --out"
    return UserError(f"{folder}: cannot be written: {error.strerror or error}; {told}")
