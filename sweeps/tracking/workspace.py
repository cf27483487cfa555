"""The view and the report of a project in W&B, as objects of ``wandb-workspaces``.

Both are built without a network; `save` is the one call that needs a server. The panels
read what `rows` says: curve runs are stepped by the knob, so their line plots overlay
the onset curves of all sweeps, and members are stepped by their optimiser steps.
"""

import dataclasses
import importlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import BadInput
from sweeps.storage.manifest import read_manifest
from sweeps.tracking.protocol import CURVE
from sweeps.tracking.rows import plain_name

TITLE, DEFAULT_KNOB = "Onset", "token_brake"
ROUTER = "router"
"""Key of the config under which a curve run names its router; it colours the lines."""


@dataclasses.dataclass(frozen=True)
class Panel:
    """One line plot.

    Attributes:
      title: What it shows.
      metrics: What is drawn.
      log: Whether the horizontal axis is logarithmic.
    """

    title: str
    metrics: tuple[str, ...]
    log: bool = False


CURVES = (
    Panel(
        "Collapse fraction, with its 95 % interval",
        tuple(f"onset/collapse_fraction{end}" for end in ("", "_low", "_high")),
        log=True,
    ),
    Panel(
        "Hub mass, quartiles over seeds, and the largest null",
        (
            *(f"onset/hub_mass_{end}" for end in ("median", "low", "high")),
            "onset/null_uniform_high",
            "onset/null_brake_only_high",
            "onset/null_untrained_high",
        ),
        log=True,
    ),
    Panel(
        "Rank ratio, quartiles over seeds",
        tuple(f"onset/rank_ratio_{end}" for end in ("median", "low", "high")),
        log=True,
    ),
    Panel(
        "Value drain: logarithm of the hub's value norm over the median",
        tuple(f"onset/hub_value_log_ratio_{end}" for end in ("median", "low", "high")),
        log=True,
    ),
    Panel(
        "Held-out loss in nats, quartiles over seeds",
        tuple(f"onset/loss_{end}" for end in ("median", "low", "high")),
        log=True,
    ),
)
"""Against the knob, one line for each sweep."""
MEMBERS = (
    Panel("Hub mass", ("concentration/hub_mass",)),
    Panel("Rank ratio", ("collapse/rank_ratio",)),
    Panel("Value drain", ("norms/hub_value_log_ratio",)),
    Panel("Held-out loss in nats", ("loss/held_out",)),
)
"""Against optimiser steps, members grouped by the value of the knob."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """Which runs of which project are shown.

    Attributes:
      entity: User or team that owns the project; "" for the user's default.
      project: The project.
      groups: Sweeps, by the group of their runs; all of the project if empty.
      knob: Name of the swept knob in W&B.
    """

    entity: str
    project: str
    groups: tuple[str, ...]
    knob: str


def require_workspaces() -> None:
    """Checks that the optional package is there.

    Raises:
      BadInput: it is not; the message says how to install it.
    """
    try:
        importlib.import_module("wandb_workspaces.workspaces")
    except ImportError as error:
        raise BadInput(
            f"needs the package wandb-workspaces ({error}); install it with "
            "pip install 'router-sweeps[workspaces]'"
        ) from None


def make_view(scope: Scope) -> Any:
    """The saved view: onset curves of all sweeps, then their members by the knob."""
    import wandb_workspaces.workspaces as ws

    curves = [_plot(panel, scope.knob, "") for panel in CURVES]
    members = [_plot(panel, "opt_step", scope.knob) for panel in MEMBERS]
    return ws.Workspace(
        entity=scope.entity,
        project=scope.project,
        name=TITLE,
        sections=[
            ws.Section(
                name=f"Onset curves against {scope.knob}",
                panels=curves,
                is_open=True,
                layout_settings=_rows_of(len(curves)),
            ),
            ws.Section(
                name=f"Members in training, by {scope.knob}",
                panels=members,
                is_open=True,
                layout_settings=_rows_of(len(members)),
            ),
        ],
        settings=ws.WorkspaceSettings(x_axis="Step", max_runs=100),
        runset_settings=ws.RunsetSettings(filters=_filters(scope)),
    )


def make_report(scope: Scope) -> Any:
    """The W&B Report: the same panels with what they mean, over runs of their own."""
    import wandb_workspaces.reports.v2 as wr

    curves, members = (
        # Without entity and project, for whose number W&B would ask the server.
        wr.Runset(name=name, filters=_filters(scope, job))
        for name, job in (("sweeps", f"== '{CURVE}'"), ("members", f"!= '{CURVE}'"))
    )
    return wr.Report(
        entity=scope.entity,
        project=scope.project,
        title=TITLE,
        description=f"Where routing collapses as {scope.knob} grows",
        blocks=[
            wr.H1("Onset curves"),
            wr.P(
                "Each line is one sweep. A seed counts as collapsed when its hub mass "
                "exceeds the threshold and, by a margin, the quantile of every "
                "criterion null. The axis is logarithmic, so the value 0, which has "
                "no logarithm, is in the table of each run and not in the plot."
            ),
            wr.PanelGrid(
                runsets=[curves],
                panels=[_plot(panel, scope.knob, "", i) for i, panel in _at(CURVES)],
            ),
            wr.H1(f"Members in training, grouped by {scope.knob}"),
            wr.P("Each line is the mean over seeds, with their smallest and largest."),
            wr.PanelGrid(
                runsets=[members],
                panels=[
                    _plot(panel, "opt_step", scope.knob, i) for i, panel in _at(MEMBERS)
                ],
            ),
        ],
    )


def scope_of(workdirs: Sequence[Path], project: str, entity: str | None) -> Scope:
    """The scope of some sweeps, from their manifests, or of a whole project.

    Args:
      workdirs: Work directories of the sweeps that are shown; none for all.
      project: The project; "" for the one that the manifests name.
      entity: User or team; None for the one that the manifests name, or $WANDB_ENTITY.

    Raises:
      BadInput: a directory holds no sweep, or one that was not tracked; or the sweeps
        have different knobs, projects or owners.
    """
    found: dict[str, set[str]] = {"group": set(), "knob": set()}
    found |= {"project": {project} - {""}, "entity": {entity or ""} - {""}}
    for workdir in workdirs:
        manifest = read_manifest(workdir)
        tracked = manifest.get("wandb") or {}
        if not tracked.get("group"):
            raise BadInput(f"workdir={workdir}: was not tracked by Weights & Biases")
        found["group"].add(str(tracked["group"]))
        found["knob"].add(plain_name(manifest["config"]["sweep"]["knob"]))
        for name, given in (("project", project), ("entity", entity)):
            if not given and tracked.get(name):
                found[name].add(str(tracked[name]))
    found["knob"] = found["knob"] or {DEFAULT_KNOB}
    found["entity"] = found["entity"] or {os.environ.get("WANDB_ENTITY", "")} - {""}
    for name in ("knob", "project", "entity"):
        if len(found[name]) > 1:
            several = ", ".join(sorted(found[name]))
            raise BadInput(f"{name}: must be one for all sweeps, but is {several}")
    one = {name: next(iter(found[name]), "") for name in ("knob", "project", "entity")}
    if not one["project"]:
        raise BadInput("--project is required without a directory")
    return Scope(
        one["entity"], one["project"], tuple(sorted(found["group"])), one["knob"]
    )


def save(scope: Scope) -> list[str]:
    """Saves view and report; returns their addresses. This needs a server."""
    import wandb

    if not scope.entity:
        own = str(wandb.Api().default_entity)
        scope = dataclasses.replace(scope, entity=own)
    view, report = make_view(scope), make_report(scope)
    view.save()
    report.save()
    return [view.url, report.url]


def _at(panels: Sequence[Panel]) -> list[tuple[int, Panel]]:
    return list(enumerate(panels))


def _plot(panel: Panel, x: str, grouped: str, place: int | None = None) -> Any:
    """A line plot of runs, or of groups of runs with the same value of a config key."""
    import wandb_workspaces.reports.v2 as wr

    grouping: dict[str, Any] = {"legend_fields": [f"config:{ROUTER}.name", "run:group"]}
    if grouped:
        grouping = {
            "groupby": wr.Config(grouped),
            "groupby_aggfunc": "mean",
            "groupby_rangefunc": "minmax",
        }
    where: dict[str, Any] = {}
    if place is not None:  # two in a row, in columns of a grid of 24
        where["layout"] = wr.Layout(x=12 * (place % 2), y=8 * (place // 2), w=12, h=8)
    return wr.LinePlot(
        title=panel.title,
        x=x,
        y=list(panel.metrics),
        log_x=panel.log or None,
        title_x=x,
        max_runs_to_show=100,
        **grouping,
        **where,
    )


def _rows_of(panels: int) -> Any:
    import wandb_workspaces.workspaces as ws

    return ws.SectionLayoutSettings(columns=2, rows=math.ceil(panels / 2))


def _filters(scope: Scope, job: str = "") -> str:
    """Which runs are shown, as an expression of W&B."""
    chosen = [f"Metric('JobType') {job}"] if job else []
    if scope.groups:
        chosen.append(f"Metric('Group') in {list(scope.groups)!r}")
    return " and ".join(chosen)
