"""An SVG of ratios: a panel for each metric, a line for each case, a dot for each allocator."""

import html
import math

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b", "#17becf", "#7f7f7f", "#bcbd22", "#e377c2")
LULL_COLOUR = "#d62728"
LINE, LABELS, PANEL, GAP, TOP = 20, 190, 460, 40, 70
MOST = 4  # ratios above are drawn at the edge; hovering over a dot tells the figure


def colours(allocators):
    others = [name for name in allocators if name != "lull"]
    return {"lull": LULL_COLOUR, **{name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}}


def position(ratio):
    return PANEL * math.log(min(ratio, MOST)) / math.log(MOST)


def text(x, y, words, anchor="start", colour="#000", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">'
            f'{html.escape(words)}</text>')


def legend(allocators, colour):
    for i, name in enumerate(allocators):
        x = LABELS + 105 * i
        yield f'<circle cx="{x}" cy="16" r="5" fill="{colour[name]}"/>'
        yield text(x + 9, 20, name, weight="bold" if name == "lull" else "normal")


def panel(left, title, cases, colour):
    bottom = TOP + LINE * len(cases)
    yield text(left, TOP - 26, f"{title}, relative to the case's least (logarithmic)", weight="bold")
    for tick in (1, 1.25, 1.5, 2, 3, 4):
        x = left + position(tick)
        yield f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>'
        yield text(x, TOP - 10, f"{tick:g}", "middle", "#666")
    for i, medians in enumerate(cases.values()):
        y, least = TOP + LINE * i + LINE / 2, min(medians.values())
        yield f'<line x1="{left}" y1="{y}" x2="{left + PANEL}" y2="{y}" stroke="#f2f2f2"/>'
        for name, value in sorted(medians.items(), key=lambda item: item[0] == "lull"):  # lull on top
            yield dot(left + position(value / least), y, name, value / least, colour[name])


def dot(x, y, name, ratio, colour):
    radius = 5.5 if name == "lull" else 4
    return (f'<circle cx="{x:.1f}" cy="{y}" r="{radius}" fill="{colour}" fill-opacity=".85">'
            f'<title>{html.escape(name)} {ratio:.2f}</title></circle>')


def write_plot(path, panels, allocators):
    """panels: {title: {case: {allocator: median}}}, all with the same cases."""
    colour = colours(allocators)
    cases = list(next(iter(panels.values())))
    width = LABELS + len(panels) * (PANEL + GAP) + 20
    height = TOP + LINE * len(cases) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>', *legend(allocators, colour)]
    parts += [text(LABELS - 12, TOP + LINE * i + LINE / 2 + 4, case, "end") for i, case in enumerate(cases)]
    for i, (title, of_panel) in enumerate(panels.items()):
        parts += panel(LABELS + i * (PANEL + GAP), title, of_panel, colour)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
