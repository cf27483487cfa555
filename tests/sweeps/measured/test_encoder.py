"""An encoder from files to findings, and to a run of Weights & Biases on disk."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sweeps.storage.files import read_json
from sweeps.tracking.records import history
from tests.sweeps.measured.models import copy_model, expected, write_texts
from tests.sweeps.measured.test_measure import pick, run


def test_an_encoder_has_no_loss_and_is_tracked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_DIR", raising=False)
    model = copy_model("bert", tmp_path)
    text = write_texts(expected("bert")["tokens"], tmp_path)
    assert run(model, text, tmp_path / "work", "--wandb=offline") == 0
    told = capsys.readouterr()
    assert "drawing the figures" not in told.out + told.err
    assert (tmp_path / "work" / "figures" / "layers.png").stat().st_size > 10_000
    (point,) = json.loads((tmp_path / "work" / "onset.json").read_text())["curve"]
    for name in ("loss", "accuracy", "untrained_loss"):
        assert set(point[name].values()) == {None}
    rows = pq.read_table(tmp_path / "work" / "metrics.parquet").to_pylist()
    assert np.isnan(pick(rows, "loss/held_out")).all()
    attention = expected("bert")["attention"]  # [L, B, H, T, T], no order of nodes
    most = attention.astype(float).mean(-2).max(-1)
    found = pick(rows, "concentration/excess", null="", step=1, layer=1, head=2)
    np.testing.assert_allclose(found, 12 * most[1, :, 2], rtol=1e-4)
    tracked = read_json(tmp_path / "work" / "manifest.json")["wandb"]
    (file,) = tmp_path.glob(f"work/wandb/*/run-{tracked['curve']}.wandb")
    (row,) = [row for row in history(file) if "token_brake" in row]
    assert row["token_brake"] == 0
    assert row["onset/concentration_median"] == point["concentration"]["median"]
    assert "onset/loss_median" not in row
