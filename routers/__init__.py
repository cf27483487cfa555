"""Routing mechanisms: pure functions of (params, x, geometry, knobs)."""

from importlib.metadata import entry_points

from routers.attention import Attention, AttentionConfig
from routers.base import Geometry, Knob, Router, Routing, causal_geometry, neutral_knobs
from routers.depth_attention import DepthAttention, DepthAttentionConfig
from routers.forgetting_attention import ForgettingAttention, ForgettingAttentionConfig
from routers.gla import GatedLinearAttention, GatedLinearAttentionConfig
from routers.graph_attention import GraphAttention, GraphAttentionConfig
from routers.hyper_connections import HyperConnections, HyperConnectionsConfig
from routers.retention import Retention, RetentionConfig
from routers.rwkv import RWKV4, RWKV4Config
from routers.rwkv6 import RWKV6, RWKV6Config
from routers.selective_ssm import SelectiveSSM, SelectiveSSMConfig
from routers.ssd import SSD, SSDConfig

ROUTERS: dict[str, tuple[type[Router], type]] = {
    "attention": (Attention, AttentionConfig),
    "depth_attention": (DepthAttention, DepthAttentionConfig),
    "forgetting_attention": (ForgettingAttention, ForgettingAttentionConfig),
    "gla": (GatedLinearAttention, GatedLinearAttentionConfig),
    "graph_attention": (GraphAttention, GraphAttentionConfig),
    "hyper_connections": (HyperConnections, HyperConnectionsConfig),
    "retention": (Retention, RetentionConfig),
    "rwkv4": (RWKV4, RWKV4Config),
    "rwkv6": (RWKV6, RWKV6Config),
    "selective_ssm": (SelectiveSSM, SelectiveSSMConfig),
    "ssd": (SSD, SSDConfig),
}
"""Every router of this package by name, with the dataclass of its settings."""

ENTRY_POINTS = "onset.routers"
"""Entry-point group under which other packages offer their routers.

Each entry reads ``name = "package.module:Router"``. The default value of the router's
``config`` attribute determines the dataclass of its settings."""


def find_router(name: str) -> tuple[type[Router], type]:
    """A router and the dataclass of its settings, from here or from another package.

    Args:
      name: Key of `ROUTERS`, or name of an entry point in the group `ENTRY_POINTS`.

    Raises:
      ValueError: No router has that name, or the package that offers it is broken.
    """
    if name in ROUTERS:
        return ROUTERS[name]
    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in offered:
        raise ValueError(
            f"router.name={name!r}: must be one of "
            f"{', '.join(sorted(ROUTERS | offered))}"
        )
    try:
        router = offered[name].load()
    except (Exception, SystemExit) as error:  # another package may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(
            f"router.name={name!r}: its entry point {offered[name].value!r} cannot be "
            f"loaded ({reason})"
        ) from None
    if not (isinstance(router, type) and issubclass(router, Router)):
        raise ValueError(
            f"router.name={name!r}: its entry point {offered[name].value!r} must be a "
            "subclass of routers.base.Router"
        )
    return router, type(router.config)


__all__ = [
    "ENTRY_POINTS",
    "ROUTERS",
    "Attention",
    "AttentionConfig",
    "Geometry",
    "Knob",
    "Router",
    "Routing",
    "causal_geometry",
    "find_router",
    "neutral_knobs",
]
