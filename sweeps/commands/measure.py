"""onset measure: measures published models, and sweeps a knob of theirs at evaluation.

    onset measure MODEL... --text=FILE --workdir=DIR [--knob=token.brake --num=9 ...]

MODEL is a folder as on Hugging Face (config.json and safetensors), a GGUF file, a name
on the Hugging Face hub such as EleutherAI/pythia-160m, where it can be reached, or
whatever a reader of one's own takes (--reader). The text is cut into windows of equal
length, which take the place of seeds. Nothing is trained: a knob changes how the
published weights are evaluated. With several models, each has a folder of its own in
the work directory. A measurement that was stopped continues from its last pass.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from absl import flags
from rich.console import Console

from sweeps.design.experiment import TRACKING_MODES
from sweeps.errors import BadInput
from sweeps.measured.asked import Asked, open_asked
from sweeps.measured.story import measure
from sweeps.runtime.compile_cache import keep_compiled
from sweeps.runtime.interrupts import INTERRUPTS
from sweeps.runtime.placement import claim_cores
from sweeps.runtime.stop_signal import STOPPED, Stopped
from sweeps.storage.paths import user_path
from sweeps.storage.workdir import continues


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "workdir", None, "Directory for the results.", flag_values=values
    )
    flags.DEFINE_list(
        "text",
        ["pydoc_data.topics"],
        "Texts, separated by commas: files, or pydoc_data.topics (part of Python).",
        flag_values=values,
    )
    flags.DEFINE_integer("length", 256, "Tokens of a window.", flag_values=values)
    flags.DEFINE_integer(
        "windows", 32, "Number of windows, of all texts.", flag_values=values
    )
    flags.DEFINE_string(
        "knob", "token.brake", "Knob that is swept.", flag_values=values
    )
    flags.DEFINE_float(
        "low", 0.001, "Smallest positive value of the knob.", flag_values=values
    )
    flags.DEFINE_float("high", 1.0, "Largest value of the knob.", flag_values=values)
    flags.DEFINE_integer(
        "num",
        0,
        "Number of values from low to high, evenly spaced in the logarithm; 0: the "
        "neutral value alone, at which the model is the published one.",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "zero", True, "Whether to measure the value 0 too.", flag_values=values
    )
    flags.DEFINE_string("dtype", "float32", "float32 or bfloat16.", flag_values=values)
    flags.DEFINE_integer(
        "groups",
        1,
        "Groups of channels reported as heads where a router has none.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "reader", "", "Reader of one's own, module:function.", flag_values=values
    )
    flags.DEFINE_string(
        "revision",
        "",
        "Branch, tag or commit of a model on the Hugging Face hub.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "wandb",
        "auto",
        TRACKING_MODES,
        "Weights & Biases: online, offline into the work directory, disabled, or auto, "
        "which is online with an API key.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seed", 0, "Seed of shuffles and untrained weights.", flag_values=values
    )


def command(values: flags.FlagValues, *models: str) -> int:
    """Runs the command; returns its exit code."""
    if not models or not all(models):
        raise BadInput(
            "MODEL is required: a folder, a .gguf file, or a name on the Hugging Face "
            "hub"
        )
    if not values.workdir:
        raise BadInput("--workdir is required")
    top = user_path("workdir", values.workdir)
    workdirs = [top / _name(model) for model in models] if len(models) > 1 else [top]
    if len(set(workdirs)) < len(models):
        raise BadInput(
            f"MODEL: {', '.join(models)} must have different names, which their "
            f"folders in --workdir={values.workdir} get"
        )
    claim_cores()
    keep_compiled()
    names = {field.name for field in dataclasses.fields(Asked)}
    given: dict[str, Any] = {name: values[name].value for name in names & set(values)}
    given["texts"] = tuple(values.text)
    # All are opened before the first is measured, because that may take hours.
    opened = [open_asked(Asked(model=model, **given)) for model in models]
    for one, workdir in zip(opened, workdirs, strict=True):
        try:
            measure(one, workdir, Console(), values.wandb)
        except Stopped:
            print(
                f"onset measure: stopped; {continues(workdir, 'pass')}", file=sys.stderr
            )
            INTERRUPTS.told = True
            return STOPPED
    return 0


def _name(model: str) -> str:
    """Name of a model's folder in the work directory."""
    path = Path(model).absolute()
    return path.stem if path.suffix in (".gguf", ".npz") else path.name
