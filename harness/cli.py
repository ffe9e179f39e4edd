"""The command line, `python -m harness run|report|predict|gate|...`. Commands import what they need in time."""

import functools
import pathlib
import sys
from typing import Annotated, Any

import typer

from harness import commands, ending, places, version
from harness.errors import UserError
from harness.gate.rules import Rules

app = typer.Typer(
    cls=commands.Commands,
    help="Train and profile sequence models under one budget, and draw the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading what draws boxes is a third of the time that help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key, such as budget.parameters=10M.")
]
Filters = Annotated[
    list[str], typer.Option("--only", metavar="KEY=VALUE", help="Keep these points alone, such as model=retnet.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the points and what they may cost; run none.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps; auto takes the fastest there is.")]
Out = Annotated[pathlib.Path, typer.Option(metavar="DIR", parser=places.folder, help="Where it goes.")]
Results = Annotated[
    pathlib.Path, typer.Option("--results", metavar="DIR", parser=places.folder, help="Where results are.")
]


def main() -> None:
    """Runs the command line."""
    ending.run(lambda: app(prog_name="python -m harness"))


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=version.tell, help="Show the version and the commit, and exit."
        ),
    ] = False,
) -> None:
    """What is asked for without a command."""


@app.command()
def run(
    file: Annotated[pathlib.Path, typer.Argument(metavar="EXPERIMENT.yaml", help="The experiment to run.")],
    dry_run: DryRun = False,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    only: Filters = [],  # noqa: B006
    out: Out = pathlib.Path("results"),
    device: Device = "auto",
    fresh: Annotated[bool, typer.Option("--fresh", help="Run points again that are done.")] = False,
    no_skip: Annotated[bool, typer.Option("--no-skip", help="Try points that are too large by prediction.")] = False,
    any_machine: Annotated[
        bool, typer.Option("--any-machine", help="Go on where a machine like this stopped.")
    ] = False,
) -> None:
    """Run an experiment. Every point that is not done yet is run, each in a process of its own. Exits with 1 where some
    ended in an error, now or before; out of memory and out of time are results, and so is a rate that diverged.
    """
    from harness import experiment, filters, foresight, machine, plan, preview

    asked = experiment.load(file, overrides)
    if not dry_run:
        places.try_to_write(out)
    device = machine.resolve(device)
    text = experiment.text(file, overrides, asked.corpus, elsewhere=not dry_run)
    whole = plan.points(asked, device, text.sha256 if text else None)
    points = filters.only(whole, only, asked.seeds)
    seeds = filters.seeds(asked.seeds, only)
    foresight.refuse_nothing(points, str(file))
    if dry_run:
        preview.tell(asked, points, seeds)
    for told in foresight.warnings(points, asked.corpus, len(text.train) if text else None):
        print(told, file=sys.stderr)
    if not dry_run:
        from harness import run as runner

        if busy := foresight.of_load():
            print(busy, file=sys.stderr)
        how: dict[str, Any] = {"fresh": fresh, "skip": not no_skip, "text": text, "any_machine": any_machine}
        started = functools.partial(runner.run, asked, points, out, device, seeds=seeds, whole=whole, **how)
        raise typer.Exit(ending.of_run(started, out / asked.name, fresh))


@app.command()
def report(
    results: Results = pathlib.Path("results"),
    out: Out = pathlib.Path("reports"),
) -> None:
    """Draw the pages from the results alone. Exits with 1 where a figure or a claim failed, with 2 where results are
    damaged: the pages that they are on stay as they were.
    """
    from harness import drawing

    places.try_to_write(out)
    raise typer.Exit(drawing.draw(results, out))


@app.command()
def doctor(
    device: Device = "auto",
    seconds: Annotated[float | None, typer.Option(help="How long equal work is compared; 1 to 240.")] = None,
) -> None:
    """Say what this machine is and how noisy, in about a minute. What will disturb a measurement on it is named too."""
    from harness import machine
    from harness.doctor import AA_SECONDS, examine

    examine(machine.resolve(device), AA_SECONDS if seconds is None else seconds)


@app.command()
def predict(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help="The models, side by side.")] = None,
    parameters: Annotated[str | None, typer.Option(help="Such as 6.7B; sizes as published, or the ones below.")] = None,
    layers: Annotated[str | None, typer.Option(help="Depth.")] = None,
    width: Annotated[str | None, typer.Option(help="Of the residual stream.")] = None,
    heads: Annotated[str | None, typer.Option(help="Of the mixer; of 256 each where left out.")] = None,
    vocabulary: Annotated[str | None, typer.Option(help="Token kinds; 32000 where left out.")] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            help="A file of harness/machines/, or `measured` for this one's own rates; else the file nearest by name."
        ),
    ] = None,
    length: Annotated[str, typer.Option(help="Tokens of a sequence; for decoding, of the context.")] = "2048",
    batch: Annotated[str, typer.Option(help="Sequences at a time, over all devices.")] = "1",
    dtype: Annotated[str, typer.Option(help="Number format of weights and activations.")] = "bfloat16",
    form: Annotated[str | None, typer.Option(help="Of training and prefill.")] = None,
    devices: Annotated[str, typer.Option(help="How many of the machine.")] = "1",
    tensor_parallel: Annotated[str, typer.Option(help="How many of them share each layer.")] = "1",
    recompute: Annotated[bool, typer.Option("--recompute", help="Keep only each layer's input to go back.")] = False,
    autocast: Annotated[bool, typer.Option("--autocast", help="Weights and optimiser in float32.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Launches of a captured graph.")] = False,
    given: Annotated[list[str], typer.Option("--set", metavar="OPTION=VALUE", help="An option of the models.")] = [],  # noqa: B006
    results: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", parser=places.folder, help="Hold predictions against these results."),
    ] = None,
) -> None:
    """Predict time, bound and memory at any size. Of a step, a prompt and a token; or compare with results."""
    from harness import forecast

    if results is not None:
        if names:
            raise UserError("--results takes every model of the results; leave the models out")
        forecast.refuse_beside_results(ctx)
        raise typer.Exit(forecast.compared(results))
    numbers = {"parameters": parameters, "layers": layers, "width": width, "heads": heads, "vocabulary": vocabulary}
    numbers |= {"length": length, "batch": batch, "devices": devices, "tensor-parallel": tensor_parallel}
    request = forecast.Request(names or [], numbers, dtype, form, machine, given, recompute, autocast, graph)
    return forecast.tell(request)


@app.command("list")
def list_all(
    kind: Annotated[str, typer.Argument(help="models, measures, experiments, figures or machines; else all.")] = "",
) -> None:
    """List models, measures, experiments, figures and machines. The models come with their options."""
    from harness import listing

    listing.tell(kind)


@app.command("show")
def show_results(
    place: Annotated[
        pathlib.Path | None,
        typer.Argument(
            metavar="[FOLDER | EXPERIMENT.yaml]", parser=places.folder, help="Whose results; of all, if left out."
        ),
    ] = None,
    results: Results = pathlib.Path("results"),
    only: Filters = [],  # noqa: B006
) -> None:
    """Print tables of what the results hold. Per measure and model how it went, medians, share of the floor."""
    from harness import show

    raise typer.Exit(show.tell(place, results, only))


@app.command()
def validate(
    files: Annotated[list[pathlib.Path], typer.Argument(metavar="EXPERIMENT.yaml...", help="The files to check.")],
    overrides: Overrides = [],  # noqa: B006
    results: Results = pathlib.Path("results"),
) -> None:
    """Check experiment files and run nothing. Down to each model's options, with a warning of odd sizes."""
    from harness import validation

    if validation.refused(files, results, overrides):
        raise typer.Exit(2)


@app.command()
def gate(
    file: Annotated[pathlib.Path, typer.Argument(metavar="EXPERIMENT.yaml", help="The points to compare.")],
    base: Annotated[str, typer.Option(metavar="REV", help="What to compare with: a commit, a branch or a tag.")],
    head: Annotated[str | None, typer.Option(metavar="REV", help="What to judge; the working tree as it is.")] = None,
    limit: Annotated[str, typer.Option(metavar="SHARE", help="The slowdown that passes.")] = f"{Rules.limit:.0%}",
    pairs: Annotated[int, typer.Option(help="Pairs of measurements that every point gets.")] = Rules.pairs,
    most_pairs: Annotated[int, typer.Option(help="Pairs that an undecided point may get.")] = Rules.most,
    seconds: Annotated[float, typer.Option(help="Time within which it is to end.")] = 280,
    only: Filters = [],  # noqa: B006
    changed: Annotated[bool, typer.Option("--changed", help="Time only what computes with different code.")] = False,
    accepted: Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="What was accepted, and why.")] = None,
    json: Annotated[pathlib.Path | None, typer.Option(metavar="FILE", help="All of it as JSON; - prints it.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "cpu",
    threads: Annotated[int, typer.Option(help="That each measurement computes with.")] = 1,
) -> None:
    """Judge whether the head is slower than the base. Exits with 0 pass, 1 regression, 2 bad usage, 3 nothing
    measured, 4 inconclusive.
    """
    from harness import machine
    from harness.gate import command, telling

    to_stdout = json == pathlib.Path("-")
    if json is not None and not to_stdout:
        telling.refuse_folder(json)
        places.try_to_write(json.absolute().parent, f"--json {json}")
    rules = Rules(command.limit(limit), pairs, most_pairs)
    asked = command.Asked(file, base, head, only, rules, seconds, machine.resolve(device), threads, changed, accepted)
    console = telling.console(to_stdout)
    try:
        told = command.decided(asked, console)
    except KeyboardInterrupt:
        print("\nstopped: nothing was decided; the worktrees are removed", file=sys.stderr)
        raise typer.Exit(130) from None
    telling.tell(told, console)
    telling.write(told, None if to_stdout else json)
    if to_stdout:
        print(telling.text(told), end="")
    raise typer.Exit(told["exit_code"])
