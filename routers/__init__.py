"""Routing mechanisms: pure functions of (params, x, geometry, knobs)."""

from routers.attention import Attention, AttentionConfig
from routers.base import Geometry, Knob, Router, Routing, causal_geometry, neutral_knobs

ROUTERS: dict[str, tuple[type[Router], type]] = {
    "attention": (Attention, AttentionConfig),
}
"""Every router of the package by name, with the dataclass of its settings."""

__all__ = [
    "ROUTERS",
    "Attention",
    "AttentionConfig",
    "Geometry",
    "Knob",
    "Router",
    "Routing",
    "causal_geometry",
    "neutral_knobs",
]
