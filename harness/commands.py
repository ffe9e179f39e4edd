"""The commands by name: one that is mistyped is told like any other word, with all there are and the nearest."""

import typer
import typer.core

from harness.errors import UserError, unknown


class Commands(typer.core.TyperGroup):
    def resolve_command(self, ctx, args):  # type: ignore[no-untyped-def]  # their types are private to typer
        """The command that the first of these words names. Raises UserError where it names none."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            raise UserError(f"{unknown('command', args[0], self.commands)}{_of_file(args[0])}")
        return super().resolve_command(ctx, args)


def _of_file(word: str) -> str:
    """What to write where an experiment's file stands in the place of a command."""
    return "; to run an experiment write run and its file" if word.endswith((".yaml", ".yml")) else ""
