"""Which ComfyUI, which Python, which base directory."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .build import Builder
from .console import Trouble, say, timed
from .diagnosis import trouble_from
from .places import Pins, Places, base_directory, cache_root, venv_python
from .running import clean_environment, pip_environment, run_logged

PACK = "danlu"
OLDEST = (0, 30, 0)

# Runs in the host's Python: which of the requirements on argv it lacks, and all that it has.
PROBE = """
import json, sys
from importlib import metadata
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
def lacks(line):
    wanted = Requirement(line)
    try:
        return not wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return True
has = sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions() if d.metadata['Name']})
print(json.dumps({"missing": [line for line in sys.argv[1:] if lacks(line)], "has": has}))
"""


@dataclass(frozen=True)
class Host:
    python: Path
    comfyui: Path
    version: str
    owned: bool


def ensure_host(
    checkout: Path,
    *,
    install: bool = False,
    tools: bool = False,
    make_builder: Callable[[Places, Path], Builder] = Builder,
) -> Host:
    """The host to use, complete; ours is made when there is none, the user's own is left as it is."""
    requirements = checkout / "requirements.txt"
    tree = installed_tree(checkout) or named_tree()
    if tree is None:
        builder = make_builder(Places(cache_root()), requirements)
        builder.ensure()
        places = builder.places
        return Host(places.python, places.tree, comfyui_version(places.tree), owned=True)
    host = Host(host_python(tree), tree, comfyui_version(tree), owned=False)
    numbers = tuple(int(part) for part in re.findall(r"\d+", host.version)[:3])
    if numbers and numbers < OLDEST:
        say(f"note: {tree} is ComfyUI {host.version}; Danlu needs {'.'.join(map(str, OLDEST))} or newer.")
    _complete(host, [*requirement_lines(requirements), *(Pins().dev if tools else ())], install)
    return host


def is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir() and (folder / "folder_paths.py").is_file()


def installed_tree(checkout: Path) -> Path | None:
    """<ComfyUI>/custom_nodes/<pack>: the tree we are installed in."""
    tree = checkout.parent.parent
    return tree if checkout.parent.name == "custom_nodes" and is_comfyui(tree) else None


def named_tree() -> Path | None:
    named = os.environ.get("COMFYUI_PATH")
    if not named:
        return None
    tree = Path(os.path.abspath(os.path.expanduser(named)))
    if not is_comfyui(tree):
        raise Trouble(
            f"COMFYUI_PATH={named} is no ComfyUI folder (it has no main.py and comfy/). "
            "Correct it, or unset it to use a ComfyUI of our own."
        )
    return tree


def comfyui_version(tree: Path) -> str:
    for name, pattern in (
        ("comfyui_version.py", r'__version__\s*=\s*"([^"]+)"'),
        ("pyproject.toml", r'(?m)^version\s*=\s*"([^"]+)"'),
    ):
        path = tree / name
        if path.is_file() and (found := re.search(pattern, path.read_text(encoding="utf-8"))):
            return found[1]
    return "unknown"


def host_python(tree: Path) -> Path:
    """The Python that the user's own ComfyUI runs with, as far as its surroundings tell."""
    if named := os.environ.get("COMFYUI_PYTHON"):
        path = Path(os.path.abspath(os.path.expanduser(named)))
        if not path.is_file():
            raise Trouble(f"COMFYUI_PYTHON={named} does not exist. Set it to the Python that runs {tree}.")
        return path
    venvs = [venv_python(folder / name) for folder in (tree, tree.parent) for name in (".venv", "venv")]
    for candidate in (*venvs, tree.parent / "python_embeded" / "python.exe"):
        if candidate.is_file():
            return candidate
    if importlib.util.find_spec("torch"):
        return Path(sys.executable)
    raise Trouble(
        f"no Python found for {tree}: there is no venv in or beside it, and this Python has no torch. "
        "Set COMFYUI_PYTHON to the one that runs it."
    )


def requirement_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def _complete(host: Host, wanted: Sequence[str], install: bool) -> None:
    missing, has = _probe(host, wanted)
    if not missing:
        return
    command = subprocess.list2cmdline([str(host.python), "-m", "pip", "install", *missing])
    if not install:
        raise Trouble(
            f"{host.python} lacks {', '.join(missing)}. Add --install to have it put there, or run:\n  {command}"
        )
    cache = cache_root()
    log, constraints = cache / "logs" / "own-host.log", cache / "constraints-own-host.txt"
    cache.mkdir(parents=True, exist_ok=True)
    names = {re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in missing}
    kept = [line for line in has if line.partition("==")[0].lower() not in names]
    constraints.write_text("\n".join(kept) + "\n", encoding="utf-8")  # what the host has stays as it is
    pip = [str(host.python), "-m", "pip", "install", "-c", str(constraints), *missing]
    with timed(f"installing {', '.join(missing)}"):
        if run_logged(pip, log, pip_environment(cache / "tmp")) != 0:
            raise trouble_from(log, "install", 0.5)


def _probe(host: Host, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    found = subprocess.run(
        [str(host.python), "-c", PROBE, *wanted],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    if found.returncode != 0:
        last = (found.stderr.strip().splitlines() or ["no output"])[-1]
        raise Trouble(f"{host.python} does not work ({last}). Set COMFYUI_PYTHON to the Python that runs ComfyUI.")
    answer = json.loads(found.stdout)
    return list(answer["missing"]), list(answer["has"])


def make_base(checkout: Path, suffix: str = "") -> Path:
    """Our own base directory for this checkout, with the pack linked into its custom_nodes."""
    base = base_directory(cache_root(), checkout, suffix)
    for name in ("custom_nodes", "models", "input", "output", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    _link(base / "custom_nodes" / PACK, checkout)
    return base


def _link(link: Path, checkout: Path) -> None:
    target = checkout.resolve()
    if os.path.realpath(link) == str(target):
        return
    if os.path.lexists(link):
        if not link.is_symlink() and os.path.realpath(link) == os.path.join(os.path.realpath(link.parent), link.name):
            raise Trouble(f"{link} is not a link of ours. Move it away and run this again.")
        _unlink(link)
    if os.name != "nt":
        link.symlink_to(target, target_is_directory=True)
    elif subprocess.run(["cmd", "/c", "mklink", "/J", str(link), str(target)], capture_output=True).returncode:
        raise Trouble(f"the folder link {link} could not be made. Make it by hand: mklink /J {link} {target}")


def _unlink(link: Path) -> None:
    """A junction is removed as a folder is; its content is not touched."""
    if link.is_symlink():
        link.unlink()
    else:
        os.rmdir(link)
