"""Routers of other packages: what is broken in one of them is one line."""

from pathlib import Path

import pytest

from routers import find_router
from sweeps.main import main
from tests import ROOT

ENTRIES = {
    "no_module": ("no_such_module_here:Router", "cannot be imported"),
    "no_class": ("broken_entries:Nothing", "cannot be imported"),
    "raises": ("raising_entry:Router", "RuntimeError: on import"),
    "exits": ("exiting_entry:Router", "SystemExit"),
    "no_router": ("broken_entries:NoRouter", "must be a subclass of"),
    "no_config": ("broken_entries:NoConfig", "must have a dataclass"),
}
MODULES = {
    "broken_entries": "from routers.base import Router\nclass NoRouter: pass\n"
    "class NoConfig(Router): pass\n",
    "raising_entry": "raise RuntimeError('on import\\nin two lines')\n",
    "exiting_entry": "import sys; sys.exit(0)\n",
}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_broken_entry_point_is_one_line(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    info = tmp_path / "broken_entries-1.0.dist-info"
    info.mkdir()
    lines = [f"{one} = {target}" for one, (target, _) in ENTRIES.items()]
    entries = "\n".join(["[onset.routers]", *lines])
    (info / "entry_points.txt").write_text(entries)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-entries\n")
    for module, text in MODULES.items():
        (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    target, said = ENTRIES[name]
    with pytest.raises(ValueError, match=f"router.name='{name}': {target}") as caught:
        find_router(name)
    assert said in str(caught.value)
    config = f"--config={ROOT}/configs/attention.py"
    flags = [config, f"--workdir={tmp_path}/w", f"--config.router.name={name}"]
    for arguments in (["check", name], ["sweep", *flags]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 1
        assert said in err
    assert not (tmp_path / "w").exists()
