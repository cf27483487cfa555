"""The console command ``onset``: finds the command, owns messages and exit codes.

Exit codes: 0, done; 1, a check failed or a file could not be written; 2, bad input,
explained in one line on stderr, or no command, which prints the overview; 75, a sweep
was stopped and continues when it is launched again; 130 or 143, interrupted with
nothing saved.
"""

import importlib
import inspect
import os
import re
import sys

if __name__ == "__main__":
    from sweeps.runtime.interrupts import watch_command

    watch_command(sys.argv[1:])  # before what is slow to import

from pathlib import Path
from types import ModuleType

from absl import flags
from ml_collections import ConfigDict, config_flags

from sweeps.errors import BadInput, printable
from sweeps.runtime.interrupts import watch_command
from sweeps.runtime.output import quiet_threads, steady_output

COMMANDS = {
    "sweep": "train one router at many knob values and seeds, and map the onset",
    "measure": "measure published models, and sweep a knob of theirs at evaluation",
    "report": "write one HTML page of sweeps and measured models, without network",
    "sync": "upload to Weights & Biases what sweeps have written to disk for it",
    "workspace": "build a view and a report of sweeps in Weights & Biases",
    "compare": "show the onsets of finished sweeps side by side",
    "check": "run the executable contract on a router, built in or your own",
    "coverage": "measure by simulation how often the interval holds the true onset",
    "refinement": "measure by simulation how much refinement narrows the interval",
    "plan": "estimate size and speed of a sweep on TPU slices, without having one",
    "launch": "print the recipe that runs a sweep on Slurm, Cloud TPU VMs or GKE",
    "bench": "time training against PyTorch and plain JAX, or one router by itself",
}
ROOMS = {
    "coverage": "studies",
    "refinement": "studies",
    "sync": "online",
    "workspace": "online",
}
"""Rooms of `sweeps.commands` in which commands have their modules, if not in itself."""
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
LONG_WORD = re.compile(r"\S{300,}")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
      arguments: Arguments without the program's name; by default those of the process.

    Returns:
      The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if arguments else BAD_INPUT
    name, *rest = arguments
    if name not in COMMANDS:
        return _refuse("onset", f"unknown command {name!r}: must be one of {_names()}")
    # SciPy's LAPACK reads this when JAX loads it. With threads of its own on cores that
    # all run devices already, the SVD of a 200 x 200 matrix took 14 to 210 ms, not 1.5.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    path = f"{ROOMS[name]}.{name}" if name in ROOMS else name
    module = importlib.import_module(f"sweeps.commands.{path}")
    if {"-h", "--help"} & set(rest):
        print(_usage(name, module))
        return 0
    try:
        values, positional = parse(module, name, rest)
        return int(module.command(values, *positional))
    except flags.Error as error:
        return _refuse(f"onset {name}", str(error).splitlines()[0])
    except BadInput as error:
        return _refuse(f"onset {name}", " ".join(str(error).split()))
    except OSError as error:
        print(f"onset {name}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"onset {name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(
    module: ModuleType, name: str, arguments: list[str]
) -> tuple[flags.FlagValues, list[str]]:
    """Parses a command's flags and arguments.

    The config file runs before absl sees the arguments, because absl would take some of
    its mistakes for its own.

    Raises:
      flags.Error: a flag or an argument is wrong.
      BadInput: the config file is, or a setting is out of range.
    """
    # These load JAX, which must not happen before `main` has set its environment.
    from sweeps.design.config_file import check_config, load_config
    from sweeps.design.config_keys import add_own_keys

    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "Config file.", flag_values=values)
    module.define_flags(values)
    given = _config_of(arguments)
    if given is not None:
        config = load_config(given)
        add_own_keys(config, arguments)
        config.lock()
        values["config"].parser = _Loaded(config)
    command_line = [f"onset {name}", *arguments]
    # config_flags looks for overrides in sys.argv, whatever list it is given.
    saved, sys.argv = sys.argv, command_line
    try:
        positional = values(command_line)[1:]
    except flags.IllegalFlagValueError as error:
        raise flags.Error(_unreadable(str(error))) from None
    except (AttributeError, KeyError) as error:
        raise flags.Error(_unknown_key(arguments, str(error))) from None
    except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError) as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise flags.Error(
            f"--config.KEY=VALUE: a value cannot be read ({said})"
        ) from None
    finally:
        sys.argv = saved
    if given is not None:
        check_config(config)
    taken = list(inspect.signature(module.command).parameters.values())[1:]
    any_number = any(one.kind is one.VAR_POSITIONAL for one in taken)
    if len(positional) > len(taken) and not any_number:
        raise flags.Error(f"unexpected argument {positional[len(taken)]!r}")
    return values, positional


class _Loaded(flags.ArgumentParser):
    """Gives the flag ``--config`` the config that was loaded before."""

    def __init__(self, config: ConfigDict) -> None:
        self.config = config

    def parse(self, argument: str) -> ConfigDict:
        return self.config


def _config_of(arguments: list[str]) -> str | None:
    """The value of ``--config``, or None without one."""
    found = []
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-"):
            continue
        if flag == "flagfile":
            raise flags.Error("--flagfile: is not taken; give each flag by itself")
        if flag == "config":
            follows = arguments[index + 1] if index + 1 < len(arguments) else ""
            found.append(value if equals else follows)
    if found and not found[-1]:
        raise flags.Error("--config=: must be a config file")
    return found[-1] if found else None  # as with every flag, the last one holds


def _unreadable(message: str) -> str:
    """Says which values a key has, where one could not be read."""
    from sweeps.design.ranges import RANGES

    found = re.match(r"flag --config\.([\w.]+)=", message)
    if not found or found.group(1) not in RANGES:
        return message.removeprefix("flag ")
    given, _, _ = message.removeprefix("flag ").rpartition(": ")
    given = given if len(given) < 100 else f"{given[:96]} ..."
    return f"{given}: must be {RANGES[found.group(1)].words()}"


def _unknown_key(arguments: list[str], message: str) -> str:
    """Names the ``--config`` flag whose key does not exist."""
    found = re.search(r"'?\\?'(\w+)", message)
    key = found.group(1) if found else ""
    hint = re.search(r'Did you mean "(\w+)"', message)
    flag = next(
        (a for a in arguments if key and re.match(rf"--?config\.(.*\.)?{key}\b", a)),
        f"--config.….{key}",
    )
    suffix = f"; did you mean {hint.group(1)!r}?" if hint else ""
    return f"{flag.split('=')[0]}: no such config key{suffix}"


def _refuse(where: str, message: str) -> int:
    """Prints a message in one line, in which values of any length are shortened."""
    short = LONG_WORD.sub(lambda word: f"{word[0][:100]}...{word[0][-40:]}", message)
    print(f"{where}: {printable(short)}", file=sys.stderr)
    return BAD_INPUT


def _names() -> str:
    return ", ".join(COMMANDS)


def _overview() -> str:
    lines = [f"  {name:10} {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        ["Usage: onset COMMAND [--flags]", "", *lines, "", "onset COMMAND --help"]
    )


def _usage(name: str, module: ModuleType) -> str:
    values = flags.FlagValues()
    flags.DEFINE_string("config", None, "Config file.", flag_values=values)
    module.define_flags(values)
    known = values.flag_values_dict()
    lines = [f"  --{flag}: {values[flag].help}" for flag in known]
    return "\n".join([(module.__doc__ or "").strip(), "", "Flags:", *lines])


def _import_error(error: ImportError) -> str:
    """Names the file that hides a package of ours, or what cannot be imported."""
    top = (error.name or "").partition(".")[0]
    hiding = getattr(sys.modules.get(top), "__file__", None)
    if hiding and Path(hiding).parent != Path(__file__).parents[1] / top:
        return (
            f"{hiding} hides the package {top!r} of Onset; rename it, or remove its "
            "folder from PYTHONPATH"
        )
    return f"cannot be imported: {' '.join(str(error).split())}"


def entry() -> None:
    """Runs the command line of this process, and ends it with the exit code."""
    arguments = sys.argv[1:]
    watch_command(arguments)
    out, _ = steady_output()
    quiet_threads()
    where = " ".join(["onset", *arguments[:1]])
    try:
        code = main(arguments)
    except ImportError as error:
        code = _refuse(where, _import_error(error))
    out.flush()
    if out.lost and code == 0 and arguments[0] != "sweep":  # its record is on disk
        print(f"{where}: the output was lost ({out.lost})", file=sys.stderr)
        code = FAILED
    if code == FAILED:
        # A thread that cannot write its checkpoint would hold up an orderly exit.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    entry()
