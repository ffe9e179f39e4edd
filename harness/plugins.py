"""Whether the files that a folder lists are whole: what one must state and does not is told by the file's name.

What each kind of file must hold stands once, in the protocol of its folder, and is read from there.
"""

import importlib
import inspect
import math
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from harness import child
from harness.errors import UserError, listed, shown

MARKERS = tuple(".ov^<>12348spP*hH+xXDd|_")  # of matplotlib
HEAD_SIZES = (8, 16, 32, 64)
TRIED = 2, 64  # sequences, and their length
FEW = 3  # tokens of each that are read
KINDS = {"model": "models", "measure": "harness.measures", "figure": "reports.figures", "claim": "reports.claims"}


def check(*kinds: str) -> None:
    """Holds every file of these kinds against its protocol. Raises UserError that tells each one that is not whole.

    Of models the source alone is read, which needs no torch: see `check_named`.
    """
    _refuse((kind, name, _wrong(kind, name, kind != "model")) for kind in kinds for name in _names(kind))


def check_named(kind: str, names: Iterable[str]) -> None:
    """The same for some files, models loaded as well."""
    _refuse((kind, name, _wrong(kind, name, True)) for name in names)


def _refuse(found: Iterable[tuple[str, str, str | None]]) -> None:
    """Raises UserError for what is wrong with files, each a kind, a name and that in words."""
    if problems := [f"{KINDS[kind].replace('.', '/')}/{name}.py: {told}" for kind, name, told in found if told]:
        raise UserError("\n".join(problems))


def _names(kind: str) -> list[str]:
    folder: pathlib.Path = importlib.import_module(KINDS[kind]).FOLDER
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def _wrong(kind: str, name: str, load: bool) -> str | None:
    """What is wrong with a file, its source alone read unless it is to be loaded; None where nothing is."""
    return _misnamed(kind, name) or (_incomplete(kind, name) if load else _unreadable(name))


def _misnamed(kind: str, name: str) -> str | None:
    if name.isidentifier():
        return None
    better = re.sub(r"\W", "_", name)
    better = better if better.isidentifier() else f"{kind}_{better}"
    allowed = "allowed are letters, digits and underscores, a digit not first"
    return f"{shown(name)} is no name of Python's; {allowed}; rename it to {better}.py"


def _unreadable(name: str) -> str | None:
    """What the source of a model does not state; None where nothing is missing."""
    import models

    try:
        card = models.card(name)
    except (ValueError, SyntaxError) as error:
        return f"{error}; CONTRIBUTING.md says what a model states"
    if missing := [each for each in models.STATED if each not in card]:
        return f"class Model does not state {listed(missing)} as a literal; CONTRIBUTING.md says what a model states"
    return _undrawable(card)


def _undrawable(card: dict[str, Any]) -> str | None:
    """What no page could be drawn with."""
    title, colour, marker, forms = (card[each] for each in ("title", "colour", "marker", "forms"))
    if not isinstance(title, str) or not title:
        return f"title is {shown(title)}; write it as text"
    if not isinstance(colour, str) or not re.fullmatch("#[0-9A-Fa-f]{6}", colour):
        return f"colour is {shown(colour)}; write it as #RRGGBB, such as '#56B4E9'"
    if marker not in MARKERS:
        return f"marker is {shown(marker)}; allowed are {listed(MARKERS)}"
    if not isinstance(forms, tuple | list):
        return f"forms is {shown(forms)}; write it as ({forms!r},)"
    return None


def _incomplete(kind: str, name: str) -> str | None:
    """What is wrong with a file; None where nothing is."""
    holds = kind.capitalize()
    try:
        found = getattr(importlib.import_module(f"{KINDS[kind]}.{name}"), holds, None)
    except Exception as error:  # whatever its author has written
        return f"cannot be loaded: {child.told(error)}"
    if not isinstance(found, type):
        return f"there is no class {holds} in it; CONTRIBUTING.md says what a {kind} states"
    missing = [each for each in _required(kind) if _is_missing(found, each)]
    if missing:
        return f"class {holds} does not state {listed(missing)}; CONTRIBUTING.md says what a {kind} states"
    return _unreadable(name) or _unbuildable(found) if kind == "model" else None


def _required(kind: str) -> list[str]:
    """The attributes and methods of a protocol; of a model, also the methods that its bases leave open."""
    if kind != "model":
        protocol = getattr(importlib.import_module(KINDS[kind]), kind.capitalize())
        methods = [name for name, value in vars(protocol).items() if inspect.isfunction(value) and name[0] != "_"]
        return [*inspect.get_annotations(protocol), *methods]
    from models._lm import LanguageModel

    opened = [name for name, _ in inspect.getmembers(LanguageModel, inspect.isroutine) if _is_open(LanguageModel, name)]
    return [*inspect.get_annotations(LanguageModel), *opened]


def _is_missing(found: type, name: str) -> bool:
    return not hasattr(found, name) or _is_open(found, name)


def _is_open(found: type, name: str) -> bool:
    """Whether a method does nothing but say that somebody must write it."""
    code = getattr(inspect.unwrap(getattr(found, name)), "__code__", None)
    return code is not None and "NotImplementedError" in code.co_names


def _unbuildable(found: Any) -> str | None:
    """What is wrong with a model's options or forms."""
    stated = vars(found.Options) if isinstance(found.Options, type) else {}
    if "__dataclass_fields__" not in stated:  # an inherited one does not count
        return "Options is no dataclass; write @dataclasses.dataclass(frozen=True) above it"
    try:
        found.Options()
    except TypeError as error:
        return f"every option needs a default: {error}"
    if found.default_form not in found.forms:
        return f"default_form is {found.default_form!r}; allowed are its forms, {listed(found.forms)}"
    return _unrunnable(found)


def _unrunnable(found: Any) -> str | None:
    """What is wrong with a model at the first of some small sizes that it accepts; None where it accepts none."""
    from models._cost import Shape

    chosen = found.Options()
    for head_size in HEAD_SIZES:
        shape = Shape(2 * head_size, 2, 2, 2 * head_size, max_length=2 * TRIED[1])
        try:
            found.check(shape, chosen)
        except ValueError:
            continue
        return _uncosted(found, shape, chosen) or _misshapen(found, shape, chosen)
    return None


def _uncosted(found: Any, shape: Any, chosen: Any) -> str | None:
    """What is wrong with what a model states of its cost."""
    from models._cost import Count

    def count(given: Any) -> bool:
        return isinstance(given, Count) and whole(given.linear) and whole(given.other)

    def whole(given: Any) -> bool:
        return type(given) is int and given >= 0

    def number(given: Any) -> bool:
        return type(given) in (int, float) and 0 <= given < math.inf

    batch, length = TRIED
    flops = [(shape, chosen, form, length, context) for form in found.forms for context in (0, length)]
    for method, several, is_right, expected in (
        ("mixer_count", [(shape, chosen)], count, "a Count of whole numbers from 0 on"),
        ("mixing_flops", flops, number, "a number from 0 on"),
        ("layer_state_bytes", [(shape, chosen, batch, length, 4)], whole, "a whole number from 0 on"),
    ):
        for given in several:
            try:
                told = getattr(found, method)(*given)
            except Exception as error:  # whatever its author has written
                return f"{method} raised {child.told(error)}"
            if not is_right(told):
                return f"{method} gives {shown(told)}, expected {expected}"
    return None


def _misshapen(found: Any, shape: Any, chosen: Any) -> str | None:
    """What a mixer or feed-forward gives that is not like its input, which torch would broadcast or convert unseen."""
    import torch

    told: list[str] = []

    def watched(name: str, forward: Any) -> Any:
        def watching(x: Any, *rest: Any) -> Any:
            y = forward(x, *rest)
            if (y.shape, y.dtype) != (x.shape, x.dtype):
                told.append(f"{name} gives {_kind(y)} for {_kind(x)}")
            return y

        return watching

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            model = found(shape, chosen)
        except Exception as error:  # whatever its author has written
            return f"cannot be built: {child.told(error)}"
        for block in model.blocks:
            block.mixer.forward = watched("the mixer", block.mixer.forward)
            block.ffn.forward = watched("the feed-forward", block.ffn.forward)
        tokens, forms = torch.arange(TRIED[0] * FEW).view(TRIED[0], FEW), found.available_forms(chosen)
        for form in forms:
            try:
                _, state = model.prefill(tokens, form)
                if "recurrent" in forms:
                    model.step(tokens[:, 0], state)
            except Exception as error:  # whatever its author has written
                return f"{told[0] if told else child.told(error)}, in the form {form}"
            if told:
                return f"{told[0]}, in the form {form}; give a tensor like the input"
    return None


def _kind(tensor: Any) -> str:
    """Such as '[2, 3, 16] float32'."""
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
