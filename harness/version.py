"""`python -m harness --version`: the version of the package and, in a git checkout, the commit that rows would name."""

import typer

PACKAGE = "impossible-triangle"


def tell(asked: bool) -> None:
    """Prints it and ends the command, where it is asked for."""
    if not asked:
        return
    from harness import machine
    from harness.errors import listed

    found = machine.commit()
    changed = f" and uncommitted changes in {listed(machine.SOURCES)}" if found["dirty"] == "true" else ""
    commit = f", commit {found['commit'][:10]}{changed}" if found["commit"] else ""
    print(f"{PACKAGE} {machine.version(PACKAGE) or '(not installed)'}{commit}")
    raise typer.Exit
