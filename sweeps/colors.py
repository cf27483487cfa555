"""One colour for each router, the same in every figure and on every page.

The ten colours are those of M. A. Petroff, *Accessible Color Sequences for Data
Visualization* (arXiv 2107.02270): they were chosen so that people with any common
colour vision deficiency tell them apart, also in pairs. Routers of one family share a
colour; what stands beside each other in one colour differs in line and marker.
"""

from collections.abc import Sequence
from typing import NamedTuple

BLUE, ORANGE, RED, GRAY, PURPLE = "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"
BROWN, FLAME, SAND, SLATE, CYAN = "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"

ROUTER_COLORS = {
    "attention": BLUE,
    "bert": BLUE,
    "gpt2": BLUE,
    "gpt_neox": BLUE,
    "llama": BLUE,
    "qwen2": BLUE,
    "qwen3": BLUE,
    "forgetting_attention": CYAN,
    "retention": FLAME,
    "gla": SAND,
    "rwkv4": ORANGE,
    "rwkv6": ORANGE,
    "rwkv": ORANGE,
    "selective_ssm": BROWN,
    "ssd": BROWN,
    "mamba": BROWN,
    "mamba2": BROWN,
    "graph_attention": PURPLE,
    "depth_attention": RED,
    "qwen3_attnres": RED,
    "hyper_connections": SLATE,
}
"""Colour of every router, and of every family of published models, by name."""
OTHER = GRAY
"""Colour of routers of other packages."""
LINES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")


class Look(NamedTuple):
    """How one sweep is drawn.

    Attributes:
      color: Colour of its router, as ``#rrggbb``.
      line: Style of its lines, in the words of plotly.
      marker: Shape of its points, in the words of plotly.
    """

    color: str
    line: str
    marker: str


def router_color(name: str) -> str:
    """Colour of a router, as ``#rrggbb``."""
    return ROUTER_COLORS.get(name, OTHER)


def looks(routers: Sequence[str]) -> list[Look]:
    """Colour, line and marker of sweeps that are drawn together, by their routers.

    Sweeps of one colour get different lines and markers, as far as there are any.
    """
    used: dict[str, int] = {}
    found = []
    for router in routers:
        color = router_color(router)
        place = used[color] = used.get(color, -1) + 1
        found.append(
            Look(color, LINES[place % len(LINES)], MARKERS[place % len(MARKERS)])
        )
    return found
