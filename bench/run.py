"""`dev.py bench`: measures, prints one table, writes JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from .rounds import Machine, Result, measure, package_name
from .scenarios import CAPTION, ENCODE, SCENARIOS, chosen
from .table import caption_table, encode_table, table

ROUNDS = 7


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    machine = Machine(
        packages=Path(os.path.abspath(options.packages)),
        package=package_name(),
        models=options.scratch / "models",
        logs=options.scratch / "logs",
        threads=options.threads,
    )
    scenarios = chosen(options.only)
    encode = ENCODE in options.only or not options.only
    caption = CAPTION in options.only or not options.only
    if not scenarios and not encode and not caption:
        names = ", ".join([*(s.name for s in SCENARIOS), ENCODE, CAPTION])
        print(f"dev.py bench: nothing is called {' or '.join(options.only)}. There are: {names}", file=sys.stderr)
        return 2
    facts = {**about(options.threads), "command": _command(options), "rounds": options.rounds}
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    results: list[Result] = []
    for scenario in scenarios:
        print(f"\nmeasuring {scenario.name} ...", file=sys.stderr, flush=True)
        results.append(measure(machine, scenario, options.rounds))
        print("\n" + table(results[-1:]), flush=True)
    encoded = None
    if encode:
        from .encode import measure_encode

        encoded = measure_encode(machine)
        print("\n" + encode_table(encoded), flush=True)
    captioned = None
    if caption:
        from .caption import measure_caption

        captioned = measure_caption(machine, options.rounds)
        print("\n" + caption_table(captioned), flush=True)
    if options.json:
        found = [r.as_dict() for r in results]
        whole = {"facts": facts, "results": found, "encode": encoded, "caption": captioned}
        options.json.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    if len(results) > 1:
        print("\nall together\n" + table(results), flush=True)
    return int(any(m.error for result in results for m in result.measured))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dev.py bench",
        description="Speed and memory of a training step beside the host's own trainer, a plain diffusers + peft "
        "loop, and the floor (the frozen network forward and backward to its input).",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"any of: {', '.join(s.name for s in SCENARIOS)}, {ENCODE}, {CAPTION}",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds that count (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch, in every process (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, every round's too")
    parser.add_argument("--scratch", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--packages", type=Path, required=True, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _command(options: argparse.Namespace) -> str:
    only = f" --only {' '.join(options.only)}" if options.only else ""
    return f"python dev.py bench{only} --rounds {options.rounds} --threads {options.threads}"


def about(threads: int) -> dict[str, str]:
    """The machine and what the figures stand on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "peft", "diffusers"))
    return {
        "when": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {threads} threads in use",
        "python": platform.python_version(),
        "packages": packages,
    }


if __name__ == "__main__":
    raise SystemExit(main())
