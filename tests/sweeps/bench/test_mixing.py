"""The mixing benchmark at tiny lengths, its fit and its refusals."""

import importlib.util

import numpy as np
import pytest

from sweeps.bench.mixing import fitted_exponent
from sweeps.main import main
from tests import ROOT

CONFIGS = ROOT / "configs"
TINY = ["--length=12", "--lengths=8,16", "--config.model.width=16"]


def bench(config: str, *flags: str) -> int:
    return main(["bench", "--what=mixing", f"--config={CONFIGS}/{config}.py", *flags])


@pytest.mark.parametrize("config", ["rwkv4", "selective_ssm"])
def test_reports_peers_and_growth(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(config, *TINY) == 0
    out = capsys.readouterr().out
    for named in ("T = 12", "Onset", "plain lax.scan", "fitted exponent"):
        assert named in out
    present = importlib.util.find_spec("transformers") is not None
    assert ("not installed" in out) != present
    assert ("transformers, CPU" in out) == present


@pytest.mark.parametrize(
    ("config", "flags", "named"),
    [
        ("attention", [], "router.name='attention'"),
        ("rwkv4", ["--config.router.name=gla"], "router.token_shift"),
        ("rwkv4", ["--lengths=8"], "--lengths=8: must be at least two"),
        ("rwkv4", ["--lengths=8,x"], "--lengths=8,x"),
        ("rwkv4", ["--length=0"], "--length=0"),
        ("rwkv4", ["--what=speed"], "what"),
    ],
)
def test_refuses_in_one_line(
    config: str, flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(config, *TINY, *flags) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert named in err
    assert not out


def test_the_exponent_is_that_of_the_power() -> None:
    lengths = [512, 1024, 2048, 4096]
    values = 0.3 * np.asarray(lengths) ** 1.25
    np.testing.assert_allclose(fitted_exponent(lengths, list(values)), 1.25, rtol=1e-5)
