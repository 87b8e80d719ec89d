"""The same with a real pip, real virtual environments and real kills, on an index of a few kilobytes."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from danlu.devtools.places import venv_python

from .fakes import TOP, fake_pins, write_index, write_tree, write_wheel

DRIVER = Path(__file__).with_name("driver.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills and inherited locks are POSIX here")


@dataclasses.dataclass
class World:
    root: Path

    def call(
        self, *arguments: str, env: dict[str, str] | None = None, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments, env=env, **settings)
        return subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def command(
        self, *arguments: str, env: dict[str, str] | None = None, **settings: Any
    ) -> tuple[list[str], dict[str, str]]:
        pins = {**dataclasses.asdict(fake_pins(self.index / f"{TOP}.tar.gz")), **settings.pop("pins", {})}
        del pins["pythons"]
        given = {"checkout": str(self.checkout), "pins": pins, **settings}
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("COMFYUI_", "PIP_"))}
        environment |= {"DANLU_CACHE": str(self.cache), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
                        "PIP_FIND_LINKS": str(self.index), "PIP_NO_CACHE_DIR": "1", **(env or {})}  # fmt: skip
        return [sys.executable, str(DRIVER), json.dumps(given), *arguments], environment

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def checkout(self) -> Path:
        return self.root / "Danlu checkout"

    def installed(self) -> set[str]:
        code = "from importlib.metadata import distributions as d; print(*[p.metadata['Name'] for p in d()])"
        python = venv_python(self.cache / "venv")
        return set(subprocess.run([str(python), "-c", code], capture_output=True, text=True).stdout.split())


def make_world(root: Path) -> World:
    world = World(root)
    write_index(world.index)
    world.checkout.mkdir()
    (world.checkout / "requirements.txt").write_text("# ours\ntinypeft>=1\n", encoding="utf-8")
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made by calls that are killed (-9) in the middle of a step, pip living on, until one comes through."""
    world = make_world(tmp_path_factory.mktemp("world"))
    codes = []
    for _ in range(6):
        codes.append(world.call("env", "--json", kill_at=3, orphan=True).returncode)
        if codes[-1] == 0:
            break
    assert codes[-1] == 0 and len(codes) > 2 and set(codes[:-1]) == {-9}
    return world


def test_killed_again_and_again_it_still_gets_complete(world: World) -> None:
    assert {"torch", "torchvision", "torchaudio", "torchsde", "tinyhost", "tinytest", "tinypeft"} <= world.installed()
    answer = world.call("env", "--json")
    assert answer.returncode == 0 and answer.stderr == ""
    facts = json.loads(answer.stdout)
    assert set(facts) == {"python", "comfyui", "version", "base_directory", "pack", "owned"}
    assert facts["version"] == "0.30.0" and facts["owned"] is True
    assert Path(facts["comfyui"]) == world.cache / "ComfyUI-0.30.0"
    assert (Path(facts["base_directory"]) / "custom_nodes" / "danlu").resolve() == world.checkout.resolve()
    assert not (world.cache / "tmp").exists()


def test_stdout_is_one_object_also_while_it_installs(world: World) -> None:
    (world.checkout / "requirements.txt").write_text("# ours, changed\ntinypeft>=1\n", encoding="utf-8")
    answer = world.call("env", "--json")
    assert json.loads(answer.stdout)["owned"] and len(answer.stdout.splitlines()) == 1
    assert "[1/1] the pack's requirements: done in" in answer.stderr


def test_a_second_call_waits_for_the_first(world: World) -> None:
    (world.checkout / "requirements.txt").write_text("# for two\ntinypeft>=1\n", encoding="utf-8")
    command, env = world.command("env", "--json")
    calls = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [call.communicate()[1] for call in calls]
    assert [call.returncode for call in calls] == [0, 0]
    assert sum("[1/1]" in text for text in said) == 1, said


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            {"env": {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}},
            "no network",
        ),
        ({"pins": {"sha256": "0" * 64}}, "hash mismatch"),
    ],
    ids=["offline", "another file"],
)
def test_what_pip_says_is_understood(world: World, tmp_path: Path, what: dict[str, Any], said: str) -> None:
    """On a copy of the finished cache without its archive, and with the step undone."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "venv").symlink_to(world.cache / "venv", target_is_directory=True)
    stamp = json.loads((world.cache / "installed.json").read_text(encoding="utf-8"))
    (tmp_path / "cache" / "installed.json").write_text(json.dumps({"venv": stamp["venv"]}), encoding="utf-8")
    env = {"DANLU_CACHE": str(tmp_path / "cache"), **what.pop("env", {})}
    if said == "no network":
        env["PIP_FIND_LINKS"] = ""
    answer = world.call("env", "--json", env=env, **what)
    assert answer.returncode == 1 and answer.stdout == ""
    assert said in answer.stderr and "Traceback" not in answer.stderr
    assert "dev.py: source: " in answer.stderr and str(tmp_path / "cache" / "logs") in answer.stderr


def test_the_lock_goes_with_its_holder(world: World) -> None:
    """Nothing to clean up after a crash: a lock file that is merely there holds nobody up."""
    assert (world.cache / "lock").exists()
    (world.checkout / "requirements.txt").write_text("# once more\ntinypeft>=1\n", encoding="utf-8")
    start = time.monotonic()
    assert world.call("env").returncode == 0
    assert time.monotonic() - start < 30


# Installing into a ComfyUI that is the user's own, which is done with --install only.


def test_install_adds_what_is_missing_and_changes_nothing(world: World, tmp_path: Path) -> None:
    write_wheel(world.index, "tinyextra", needs=["torch>=1"])
    write_wheel(world.index, "torch", "2.0")
    env = own_host(world, tmp_path)
    before = world.installed()
    (world.checkout / "requirements.txt").write_text("tinyextra\n", encoding="utf-8")
    assert world.call("env", "--json", env=env).returncode == 1
    assert world.installed() == before
    answer = world.call("env", "--json", "--install", env=env)
    assert answer.returncode == 0, answer.stderr
    assert world.installed() == before | {"tinyextra"}
    site = next((world.cache / "venv").glob("lib/python*/site-packages"))
    assert (site / "torch-1.0.dist-info").is_dir(), "a package that was there has been changed"


def test_install_refuses_what_would_change_a_package(world: World, tmp_path: Path) -> None:
    write_wheel(world.index, "tinygreedy", needs=["torch>=2"])
    write_wheel(world.index, "torch", "2.0")
    env = own_host(world, tmp_path)
    (world.checkout / "requirements.txt").write_text("tinygreedy\n", encoding="utf-8")
    answer = world.call("env", "--install", env=env)
    assert answer.returncode == 1
    assert "nothing was changed" in answer.stderr and "tinygreedy" in answer.stderr
    assert "tinygreedy" not in world.installed()


def own_host(world: World, folder: Path) -> dict[str, str]:
    python = venv_python(world.cache / "venv")
    return {
        "COMFYUI_PATH": str(write_tree(folder / "ComfyUI")),
        "COMFYUI_PYTHON": str(python),
        "DANLU_CACHE": str(folder / "cache"),
    }
