"""From a figure to SVG: the same bytes every time, small, and readable by a screen reader."""

import hashlib
import io
import re

from markupsafe import escape
from matplotlib.figure import Figure

SCALE = 1.5  # pixels to a point: text of 9 points shows at 13.5 pixels
FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
GROUP = re.compile(r"<g( [^>]*)?>|</g>")


def of(drawn: Figure, key: str, title: str, text: str, alone: bool = False) -> str:
    """The figure as SVG with a title and a description for screen readers; ids start with `key`, so that many fit on
    one page. `alone` makes a file of its own: with a namespace, and a light ground that reads on any page."""
    buffer = io.StringIO()
    ground, room = ("#ffffff", 0.12) if alone else ("none", 0.05)
    quiet = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawn.savefig(buffer, format="svg", bbox_inches="tight", pad_inches=room, metadata=quiet, facecolor=ground)
    body = buffer.getvalue()
    body = body[body.index("<svg") :]
    view = re.search(r'viewBox="([^"]+)"', body).group(1)  # type: ignore[union-attr]
    width, height = (SCALE * float(number) for number in view.split()[2:])
    inner = _bare(_small(_own_ids(body[body.index(">") + 1 :].strip(), key)))
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    head = f'<svg{space} viewBox="{view}" width="{width:.0f}" height="{height:.0f}" role="img" stroke-linejoin="round"'
    head += f' font-family="{FONTS}" aria-labelledby="{key}-title {key}-desc">'
    words = f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(text)}</desc>'
    return f"{head}{words}{inner}\n"


def _own_ids(inner: str, key: str) -> str:
    """Ids that something refers to become a short hash of `key` and a number, in order; others go."""
    used = dict.fromkeys(re.findall(r'(?:href="#|url\(#)([^")]+)', inner))
    short = hashlib.sha256(key.encode()).hexdigest()[:6]
    names = {name: f"s{short}-{place}" for place, name in enumerate(used)}
    inner = re.sub(r' id="([^"]+)"', lambda m: f' id="{names[m[1]]}"' if m[1] in names else "", inner)
    return re.sub(r'(xlink:href="#|url\(#)([^")]+)', lambda m: m[1].removeprefix("xlink:") + names[m[2]], inner)


def _small(inner: str) -> str:
    """Without what says nothing: rules that stand on the root, hundredths of hundredths of a point, empty paths."""
    inner = inner.replace("font-family: 'DejaVu Sans'; ", "")
    inner = re.sub(r'\s*<defs>\s*<style type="text/css">.*?</style>\s*</defs>', "", inner, count=1, flags=re.DOTALL)
    inner = re.sub(r' (?:d|x|y|transform|width|height)="[^"]*"', lambda m: _shorter(m[0]), inner)
    inner = re.sub(r' style="[^"]*"', lambda m: m[0].replace(": ", ":").replace("; ", ";"), inner)
    inner = re.sub(r'<path d="[^"]*" style="fill:none"/>| transform="rotate\(-0 [^"]*"', "", inner)
    return re.sub(r">\s+<", "><", inner)


def _shorter(attribute: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"(\d\.\d\d)\d+", r"\1", attribute)).replace(' "', '"')


def _bare(inner: str) -> str:
    """Without groups that have no attribute."""
    kept: list[bool] = []

    def decide(found: re.Match[str]) -> str:
        if found[0] == "</g>":
            return found[0] if kept.pop() else ""
        kept.append(bool(found[1]))
        return found[0] if found[1] else ""

    return GROUP.sub(decide, inner)
