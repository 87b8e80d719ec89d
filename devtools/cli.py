"""The commands of dev.py."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from . import schemas
from .browser import ensure_chromium
from .build import Builder
from .checks import run_stages, stages
from .console import Trouble, say
from .hosts import PACK, Host, ensure_host, make_base
from .places import CHECKOUT, Places, cache_root
from .running import clean_environment

MakeBuilder = Callable[[Places, Path], Builder]
# `-m demo.run` would take the demo of whatever checkout one stands in, and PYTHONPATH would reach every child.
START_DEMO = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("demo.run", run_name="__main__", alter_sys=True)
"""
# As a module of the pack, which is a package in the base directory, whatever the checkout's folder is called.
START_MODULE = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def main(arguments: Sequence[str], *, checkout: Path = CHECKOUT, make_builder: MakeBuilder = Builder) -> int:
    options, rest = _parse(arguments)
    try:
        return int(options.command(options, rest, checkout, make_builder))
    except Trouble as trouble:
        say(f"dev.py: {trouble}")
        return 1
    except KeyboardInterrupt:
        say("\ndev.py: stopped; the next call goes on from here")
        return 130


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="dev.py",
        description="One door for people who work on Danlu.",
        allow_abbrev=False,
        epilog="The host: the ComfyUI this checkout is installed in, else COMFYUI_PATH (its Python: "
        "COMFYUI_PYTHON), else one of our own in the cache folder (DANLU_CACHE), which the first call makes.",
    )
    names = "env | demo | train | test | bench | runs | check | schemas"
    commands = parser.add_subparsers(required=True, metavar=names)
    env = _command(commands, "env", run_env, "find or make the host and print what is used")
    env.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else there")
    env.set_defaults(own_arguments_only=True)
    _command(
        commands,
        "demo",
        run_demo,
        "run demo/run.py in the host",
        "All other arguments go to demo/run.py (`dev.py demo -- --help` lists them).",
    )
    _command(
        commands,
        "train",
        run_train,
        "train a LoRA from a config file, without a browser",
        "All other arguments go to headless/command.py: `dev.py train -- --help` lists them.",
    )
    _command(
        commands,
        "test",
        run_test,
        "ruff, mypy and all tests in the host",
        "All other arguments go to pytest, e.g. `dev.py test tests/pack -k import`.",
    )
    _command(
        commands,
        "bench",
        run_bench,
        "speed and memory of training, beside the host's own trainer and others",
        "All other arguments go to bench/run.py (`dev.py bench -- --help` lists them).",
    )
    _command(
        commands,
        "runs",
        run_runs,
        "list, prune, export and import the runs of a ComfyUI",
        "All other arguments go to training/runs/command.py: `dev.py runs list`, `dev.py runs -- --help`.",
    )
    _command(commands, "check", run_check, "whether training is right on this machine, for a bug report")
    pinned = _command(commands, "schemas", run_schemas, "whether the nodes still fit people's workflows")
    pinned.add_argument("--write", action="store_true", help="pin the nodes as they are in tests/pack/schemas.json")
    pinned.add_argument("--incompatible", action="store_true", help="with --write: also what breaks workflows")
    pinned.set_defaults(own_arguments_only=True)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.own_arguments_only:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options, rest[1:] if rest[:1] == ["--"] else rest


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[..., int],
    summary: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=summary, epilog=epilog, allow_abbrev=False)
    command.add_argument(
        "--install",
        action="store_true",
        help="install what is missing into a ComfyUI that is your own (ours is always completed)",
    )
    command.set_defaults(command=run, own_arguments_only=False)
    return command


def run_env(options: argparse.Namespace, _rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    facts: dict[str, str | bool] = {
        "python": str(host.python),
        "comfyui": str(host.comfyui),
        "version": host.version,
        "base_directory": str(make_base(checkout)),
        "pack": str(checkout),
        "owned": host.owned,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name + ':':<16}{str(value).lower() if isinstance(value, bool) else value}")
    return 0


def run_demo(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    script = checkout / "demo" / "run.py"
    if not script.is_file():
        raise Trouble(f"{script} is missing: this checkout has no demo.")
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    env = host_environment(host, make_base(checkout))
    return subprocess.run([str(host.python), "-c", START_DEMO, str(checkout), *rest], env=env).returncode


def run_test(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    host = ensure_host(checkout, install=options.install, tools=True, make_builder=make_builder)
    base = make_base(checkout, "-test")
    chromium = ensure_chromium(host.python, cache_root() / "logs")
    say(f"ComfyUI {host.version} in {host.comfyui}\nPython {host.python}\nChromium {chromium}")
    # Several processes share the cores: threads that have nothing to do sleep.
    env = {"OMP_WAIT_POLICY": "PASSIVE", **host_environment(host, base), "CHROMIUM": str(chromium)}
    return run_stages(stages(host, checkout, base, cache_root(), rest), env)


def run_bench(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    scratch = cache_root() / "bench"
    return run_module(host, checkout, "bench.run", "--scratch", str(scratch), *rest)


def run_check(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    return run_module(host, checkout, "bench.check", *rest)


def run_runs(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    """Of the ComfyUI that the checkout is installed in; of ours: what `dev.py demo` trained."""
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    base = make_base(checkout) if host.owned else host.comfyui
    return run_module(host, checkout, "training.runs.command", "--base-directory", str(base), *rest)


def run_train(options: argparse.Namespace, rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    """In the ComfyUI that the checkout is installed in, with its models; in ours: with those of the demo."""
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    base = make_base(checkout) if host.owned else host.comfyui
    places = ("--comfyui", str(host.comfyui), "--base-directory", str(base))
    return run_module(host, checkout, "headless.command", *places, *rest)


def run_schemas(options: argparse.Namespace, _rest: Sequence[str], checkout: Path, make_builder: MakeBuilder) -> int:
    host = ensure_host(checkout, install=options.install, make_builder=make_builder)
    pack, pinned = make_base(checkout) / "custom_nodes" / PACK, checkout / schemas.PINNED
    found = schemas.current(host.python, host.comfyui, pack)
    if options.write:
        schemas.pin(found, pinned, options.incompatible)
    schemas.check(found, pinned)
    say(f"{len(found)} nodes, as pinned")
    return 0


def run_module(host: Host, checkout: Path, module: str, *arguments: str) -> int:
    """A module of the pack in the host's Python; it learns in `--packages` where the pack is a package."""
    base = make_base(checkout)
    packages = str(base / "custom_nodes")
    command = [str(host.python), "-c", START_MODULE, packages, f"{PACK}.{module}", "--packages", packages, *arguments]
    return subprocess.run(command, env=host_environment(host, base)).returncode


def host_environment(host: Host, base: Path) -> dict[str, str]:
    return clean_environment(DANLU_COMFYUI=str(host.comfyui), DANLU_BASE_DIRECTORY=str(base))
