"""The ``rpaccel`` command: words and options to calls, results to text or JSON, errors to a status.

Status 0: everything equal; 1: a mismatch or failed check; 2: bad input, one line on stderr.
A command is a function of the parsed words that returns what ``--json`` writes. Heavy modules are
imported by the command that needs them, so that the light ones start at once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from driver.bench.command import add_benches
from driver.errors import UserError
from hdl.config import ConfigError
from sim.errors import SimulationError, SimulatorError
from synth.command import add_synth
from synth.errors import SynthesisError

from . import listing
from .api import run
from .data_commands import add_data_commands
from .schedule_commands import add_schedule_commands

__all__ = ["main"]

Command = Callable[[argparse.Namespace], dict[str, Any]]

BAD_INPUT = (UserError, ConfigError, SimulatorError, SynthesisError)


def _generate(args: argparse.Namespace) -> dict[str, Any]:
    from driver.generate import generate

    return generate(args)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    words = {name: value for name, value in vars(args).items() if name not in ("command", "json")}
    return run(**words, progress=_progress)


def _estimate(args: argparse.Namespace) -> dict[str, Any]:
    from driver.estimate import estimate

    return estimate(
        preset_name=args.preset,
        pipeline=args.pipeline,
        partition=args.partition,
        items=args.items,
        max_rows=args.max_rows,
        seed=args.seed,
        progress=_progress,
    )


def _progress(text: str) -> None:
    """A line on stderr for long work."""
    print(text, file=sys.stderr, flush=True)


def _demo(args: argparse.Namespace) -> dict[str, Any]:
    from driver.demo import demo

    return demo(args)


def _bench(args: argparse.Namespace) -> dict[str, Any]:
    from driver.bench.command import bench

    return bench(args, _progress)


def _synth(args: argparse.Namespace) -> dict[str, Any]:
    from synth.command import synth

    return synth(args, _progress)


class _Parser(argparse.ArgumentParser):
    """Argument errors in one line, like every other bad input."""

    def error(self, message: str) -> Any:
        raise UserError(f"{message} (see {self.prog} --help)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _add_preset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", metavar="P", required=True, help="see `rpaccel presets`")


def _add_workload_options(parser: argparse.ArgumentParser) -> None:
    """What is ranked, and on which engines."""
    add = parser.add_argument
    add("--pipeline", metavar="NAME", required=True, help="see `rpaccel pipelines`")
    add("--items", metavar="N", type=_positive, help="items of the first stage; scales all stages")
    add("--max-rows", metavar="N", type=_positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    add("--seed", metavar="N", type=int, default=1, help="seed of queries and simulation (1)")
    add("--partition", metavar="TEXT",
        help='engines, such as "64x64:2@1,32x32:8@0", fused, split, or search')  # fmt: skip


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``run``; keys of the result are listed in the documentation."""
    _add_workload_options(parser)
    add = parser.add_argument
    add("--queries", metavar="N", type=_positive, default=1, help="queries to run (1)")
    add("--in-flight", metavar="N", type=_positive, help="queries submitted at any time (all)")
    add("--cold", action="store_true", help="count the loading of weights and cache as well")
    add("--backend", choices=["rtl", "timing", "golden", "board"], default="rtl")
    add("--simulator", choices=["verilator", "icarus"], default="verilator")
    add("--port", metavar="DEV",
        help="serial port of the board back end, or sim:BOARD for a simulated board")  # fmt: skip
    add("--port-timeout", metavar="S", type=float,
        help="seconds before an unanswered request is repeated (1, simulated: 60)")  # fmt: skip
    add("--policy", choices=["exact", "quota", "binned"], default="exact")
    add(
        "--sub-batches",
        metavar="N",
        type=_positive,
        help="sub-batches of a query, 1 to 16 (8 where each stage has engines of its own, else 1)",
    )
    add("--bins", metavar="W", type=int,
        help="width of the bins of policy binned: 4096, 1024, 256 or 64 (256)")  # fmt: skip
    add("--dram", choices=["reference", "fast", "hostile"], default="reference",
        help="device memory: latency 100, none, or random up to 2000 (reference)")  # fmt: skip
    add("--table-dram", metavar="BYTES", type=int,
        help="timing: device memory for tables, larger ones lie on an SSD")  # fmt: skip
    add("--cache-split", metavar="SETS", help="static cache by stage, such as 256+64 (chosen)")
    add("--histogram", metavar="FILE", type=Path, help="of `rpaccel profile`, for the static cache")
    add("--mp-cache", metavar="N", type=int, default=0,
        help="finished DHE vectors of hot ids that engines hold, at most (0)")  # fmt: skip
    add("--waves", metavar="FILE", type=Path, help="write waves, and a save file beside them")
    add("--waves-depth", metavar="N", type=_positive, help="levels of hierarchy in the waves")
    add("--waves-window", metavar="FROM:TO", help="cycles to record")
    add("--report", metavar="FILE", type=Path, help="write a report as HTML")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rpaccel", description="Hardware generator for recommendation inference.")
    words = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def finish(sub: argparse.ArgumentParser, command: Command) -> None:
        sub.set_defaults(command=command)
        # An absent FILE means standard output: "-", and text for people goes to stderr then.
        sub.add_argument("--json", metavar="FILE", nargs="?", const="-", help="write the result")

    def add(word: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = words.add_parser(word, help=text, description=text)
        finish(sub, command)
        return sub

    add("presets", listing.presets, "list the device configurations")
    add("pipelines", listing.pipelines, "list the ranking pipelines")
    generate = add("generate", _generate, "write Verilog and side files of a device")
    _add_preset(generate)
    generate.add_argument("--macs-per-dsp", metavar="N", type=_positive, default=1,
        help="2: neighbouring PEs share a DSP block (DSP48 and alike) (1)")  # fmt: skip
    generate.add_argument(
        "--bus-mhz",
        metavar="F",
        type=float,
        help="also a module whose bus has a clock of its own, and constraints",
    )
    generate.add_argument("--out", metavar="DIR", type=Path, required=True, help="output folder")
    run = add("run", _run, "run queries of a pipeline and compare with the golden model")
    _add_preset(run)
    _add_run_options(run)
    words_of = "predict cycles, bytes and hardware of a device before any synthesis"
    guess = add("estimate", _estimate, words_of)
    _add_preset(guess)
    _add_workload_options(guess)
    add_data_commands(add, _positive)
    add_schedule_commands(add, _positive)
    demo = add("demo", _demo, "generate a device, run a query on its Verilog and report")
    demo.add_argument("--simulator", choices=["verilator", "icarus"], default="verilator")
    add_synth(add("synth", _synth, "area and clock rate on an FPGA, placed and routed"), _positive)
    text = "measure the device and the generator"
    for bench in add_benches(words.add_parser("bench", help=text, description=text), _positive):
        finish(bench, _bench)
    return parser


def _check_target(target: str | None) -> None:
    """Refuse before the work is done what could not be written after it."""
    if target in (None, "-"):
        return
    path = Path(str(target))
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}")


def _write(result: dict[str, Any], text: str | None, target: str | None) -> None:
    """Text for people on stdout, or on stderr when stdout carries the JSON."""
    if text:
        print(text, file=sys.stderr if target == "-" else sys.stdout)
    if target == "-":
        json.dump(result, sys.stdout, indent=2)
        print()
    elif target is not None:
        path = Path(target)
        # Through a second name: a reader never finds half a file.
        part = path.with_name(path.name + ".part")
        try:
            part.write_text(json.dumps(result, indent=2) + "\n")
            part.replace(path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from None


def main(words: Sequence[str] | None = None) -> int:
    """Run one command.

    A command's result may carry ``text`` (for people) and ``status`` (0 or 1); both are taken out
    before the rest is written as JSON.

    Returns
    -------
    int
        Exit status, see the module.
    """
    # The emitter of a pinned package, never whatever yosys the machine happens to have.
    os.environ.setdefault("AMARANTH_USE_YOSYS", "builtin")
    try:
        args = _parser().parse_args(words)
        _check_target(args.json)
        result = args.command(args)
        text, status = result.pop("text", None), result.pop("status", 0)
        _write(result, text, args.json)
        sys.stdout.flush()
    except BAD_INPUT as error:
        print(f"rpaccel: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has had enough; Python must not try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SimulationError as error:
        print(f"rpaccel: {error}", file=sys.stderr)
        return 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
