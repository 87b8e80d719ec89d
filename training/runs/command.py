"""`dev.py runs`: lists, prunes, exports and imports the runs of a ComfyUI."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ...errors import DanluError
from ..memory import shown_bytes
from .overview import RunFacts, chosen, facts, label, overview, table
from .prune import prune_checkpoints, prune_states, to_trash
from .transfer import export_run, import_run

RUNS = Path("user") / "__danlu" / "runs"
"""Below the base directory, as the host lays it out."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        print(options.command(options.base_directory / RUNS, options))
    except DanluError as error:
        print(f"dev.py runs: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    base = argparse.ArgumentParser(add_help=False)
    base.add_argument(
        "--base-directory",
        type=Path,
        default=argparse.SUPPRESS,
        help="the folder with user/ in it: ComfyUI's own, or what its --base-directory says",
    )
    parser = argparse.ArgumentParser(prog="dev.py runs", description=__doc__, parents=[base], allow_abbrev=False)
    parser.add_argument("--packages", help=argparse.SUPPRESS)
    actions = parser.add_subparsers(required=True, metavar="list | prune | export | import")

    actions.add_parser("list", parents=[base], help="every run and its size").set_defaults(command=_list)
    prune = actions.add_parser("prune", parents=[base], help="make room")
    prune.add_argument("runs", nargs="*", metavar="RUN", help="a name, or an id or its beginning")
    prune.add_argument("--all", action="store_true", help="every run")
    what = prune.add_mutually_exclusive_group(required=True)
    what.add_argument("--states", action="store_true", help="all states but the newest, which a run goes on from")
    what.add_argument("--checkpoints", action="store_true", help="all checkpoints but the last and the pinned ones")
    what.add_argument("--trash", action="store_true", help="the whole run, moved to user/__danlu/trash")
    prune.set_defaults(command=_prune)
    export = actions.add_parser("export", parents=[base], help="one file, to go on elsewhere")
    export.add_argument("runs", nargs="+", metavar="RUN", help="a name, or an id or its beginning")
    export.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="default: where you are")
    export.set_defaults(command=_export)
    taken = actions.add_parser("import", parents=[base], help="a run that was exported")
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE")
    taken.set_defaults(command=_import)
    return parser


def _list(runs: Path, _options: argparse.Namespace) -> str:
    return f"{runs}\n{table(overview(runs))}"


def _prune(runs: Path, options: argparse.Namespace) -> str:
    if bool(options.runs) == options.all:
        raise DanluError("Name the runs to prune, or give --all.")
    found = overview(runs) if options.all else [facts(chosen(runs, text)) for text in options.runs]
    return "\n".join(_pruned(run, options) for run in found) or "There are no runs yet."


def _pruned(run: RunFacts, options: argparse.Namespace) -> str:
    shown = label(run.store)
    if options.all and run.store.is_kept:
        return f"{shown}: pinned, left as it is"
    if options.trash:
        return f"{shown}: moved to {to_trash(run.store)}"
    freed = prune_states(run.store) if options.states else prune_checkpoints(run.store)
    return f"{shown}: {shown_bytes(freed)} freed"


def _export(runs: Path, options: argparse.Namespace) -> str:
    return "\n".join(str(export_run(chosen(runs, text), options.to)) for text in options.runs)


def _import(runs: Path, options: argparse.Namespace) -> str:
    done = [import_run(file, runs) for file in options.files]
    return "\n".join(f"{label(found.store)}: {'imported' if found.new else 'is here already'}" for found in done)


if __name__ == "__main__":
    sys.exit(main())
