"""The view and the report of W&B, as objects; nothing is asked of a server."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeps.errors import BadInput
from sweeps.findings.summary import summarize_sweep
from sweeps.tracking.rows import curve_rows, member_rows
from sweeps.tracking.workspace import Scope, make_report, make_view, scope_of
from tests.sweeps.simulated import simulate_results

# wandb-workspaces defines its classes with what Pydantic will drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SCOPE = Scope("someone", "onset", ("attention-1", "gla-2"), "token_brake")


def plots(spec: Any) -> list[dict[str, Any]]:
    """Configs of all line plots in a spec."""
    if isinstance(spec, list):
        return [found for item in spec for found in plots(item)]
    if not isinstance(spec, dict):
        return []
    own = [spec["config"]] if spec.get("viewType") == "Run History Line Plot" else []
    return own + [found for item in spec.values() for found in plots(item)]


@pytest.mark.parametrize("make", [make_view, make_report])
def test_onset_curves_lie_over_a_logarithmic_knob_and_members_are_grouped_by_it(
    make: Any,
) -> None:
    spec = json.loads(make(SCOPE)._to_model().model_dump_json(by_alias=True))
    drawn = plots(spec)
    curves = [plot for plot in drawn if plot["xAxis"] == "token_brake"]
    members = [plot for plot in drawn if plot["xAxis"] == "opt_step"]
    assert len(curves) == 5 and len(members) == 4 and len(drawn) == 9
    assert all(plot["xLogScale"] for plot in curves)
    assert all("token_brake" in json.dumps(plot["groupBy"]) for plot in members)
    assert "attention-1" in json.dumps(spec) and "gla-2" in json.dumps(spec)


def test_the_panels_draw_what_is_logged() -> None:
    results = simulate_results(np.asarray((0.1, 0.2, 0.3)))
    said = curve_rows(results, summarize_sweep(results, "attention"))[0].keys()
    members = member_rows(results.final, results.outcomes["concentration"][-1])[0]
    spec = json.loads(make_view(SCOPE)._to_model().model_dump_json(by_alias=True))
    for plot in plots(spec):
        logged = said if plot["xAxis"] == "token_brake" else members.keys()
        assert set(plot["metrics"]) <= set(logged)


def test_the_scope_is_that_of_the_sweeps(tmp_path: Path) -> None:
    for number, project in enumerate(("one", "one", "two")):
        folder = tmp_path / str(number)
        folder.mkdir()
        manifest = {
            "complete": True,
            "fingerprint": "",
            "config": {"sweep": {"knob": "token.brake"}},
            "wandb": {"group": f"attention-{number}", "project": project},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
    folders = [tmp_path / str(number) for number in range(3)]
    groups = ("attention-0", "attention-1")
    expected = Scope("me", "one", groups, "token_brake")
    assert scope_of(folders[:2], "", "me") == expected
    with pytest.raises(BadInput, match="project: must be one for all sweeps"):
        scope_of(folders, "", "me")
    assert scope_of(folders, "other", "me").project == "other"
    with pytest.raises(BadInput, match="--project is required"):
        scope_of([], "", None)
