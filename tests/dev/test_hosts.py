"""Which host is used, that a user's own is left as it is, and the folder that each checkout has for itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from danlu.devtools.console import Trouble
from danlu.devtools.hosts import ensure_host, host_python, make_base, requirement_lines
from danlu.devtools.places import base_directory, cache_root, venv_python

from .fakes import write_tree

ROOT = Path(__file__).resolve().parents[2]


def dev(*arguments: str, folder: Path, script: Path = ROOT / "dev.py", **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMFYUI_")}
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=folder, env={**kept, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def content(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COMFYUI_PATH", "COMFYUI_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "danlu-main 1.0"
    folder.mkdir()
    (folder / "requirements.txt").write_text("pip\n", encoding="utf-8")
    return folder


# The real thing, in the cache of whoever runs this.


def test_env_json_from_any_folder(tmp_path: Path) -> None:
    answer = dev("env", "--json", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert list(facts) == ["python", "comfyui", "version", "base_directory", "pack", "owned"]
    assert Path(facts["python"]).is_file() and (Path(facts["comfyui"]) / "main.py").is_file()
    base = Path(facts["base_directory"])
    assert all((base / name).is_dir() for name in ("custom_nodes", "models", "input", "output", "user"))
    assert (base / "custom_nodes" / "danlu").resolve() == ROOT
    assert not base.is_relative_to(facts["comfyui"])


def test_a_second_call_takes_under_a_second(tmp_path: Path) -> None:
    """By the clock; by CPU time on a machine with more to do than it has cores."""
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)

    def now() -> float:
        spent = os.times()
        return spent.children_user + spent.children_system if busy else time.monotonic()

    def seconds() -> float:
        start = now()
        assert dev("env", "--json", folder=tmp_path).stderr == ""
        return now() - start

    dev("env", "--json", folder=tmp_path)
    assert statistics.median(seconds() for _ in range(3)) < 1.0


# A ComfyUI that is the user's own.


def test_the_users_own_host_is_not_written_to(tmp_path: Path, cache: Path, checkout: Path) -> None:
    tree = write_tree(tmp_path / "ComfyUI")
    before = content(tree)
    answer = dev("env", "--json", folder=tmp_path, COMFYUI_PATH=str(tree), COMFYUI_PYTHON=sys.executable)
    assert answer.returncode == 0, answer.stderr
    facts = json.loads(answer.stdout)
    assert (facts["owned"], facts["comfyui"], facts["version"]) == (False, str(tree), "0.30.0")
    assert facts["python"] == sys.executable
    assert Path(facts["base_directory"]).is_relative_to(cache)
    assert content(tree) == before
    assert not (cache / "venv").exists() and not (cache / "installed.json").exists()


def test_the_tree_we_are_installed_in_goes_first(tmp_path: Path, cache: Path) -> None:
    tree = write_tree(tmp_path / "ComfyUI")
    pack = tree / "custom_nodes" / "danlu-pack"
    shutil.copytree(ROOT / "devtools", pack / "devtools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dev.py", pack)
    before = content(tree)
    other = write_tree(tmp_path / "other")
    answer = dev("env", "--json", folder=tmp_path, script=pack / "dev.py", COMFYUI_PATH=str(other),
                 COMFYUI_PYTHON=sys.executable, PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
    facts = json.loads(answer.stdout)
    assert facts["comfyui"] == str(tree) and facts["pack"] == str(pack)
    assert content(tree) == before


def test_what_is_missing_is_told_with_the_command(tmp_path: Path, cache: Path) -> None:
    checkout = tmp_path / "checkout"
    tree = write_tree(tmp_path / "ComfyUI")
    shutil.copytree(ROOT / "devtools", checkout / "devtools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dev.py", checkout)
    (checkout / "requirements.txt").write_text("pip\nno-such-package>=1  # why\npip>=999\n", encoding="utf-8")
    answer = dev("env", "--json", folder=tmp_path, script=checkout / "dev.py", COMFYUI_PATH=str(tree),
                 COMFYUI_PYTHON=sys.executable)  # fmt: skip
    assert answer.returncode == 1 and answer.stdout == ""
    assert "lacks no-such-package>=1, pip>=999" in answer.stderr
    assert "--install" in answer.stderr and f"{sys.executable} -m pip install" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_test_tools_are_asked_for_only_by_test(tmp_path: Path, cache: Path, checkout: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("COMFYUI_PATH", str(write_tree(tmp_path / "ComfyUI")))
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", str(bare)], check=True)
    monkeypatch.setenv("COMFYUI_PYTHON", str(venv_python(bare)))
    assert ensure_host(checkout).python == venv_python(bare)
    with pytest.raises(Trouble, match=r"lacks pytest.*mypy"):
        ensure_host(checkout, tools=True)


def test_settings_that_point_nowhere(tmp_path: Path, cache: Path, checkout: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "nothing"))
    with pytest.raises(Trouble, match="is no ComfyUI folder"):
        ensure_host(checkout)
    monkeypatch.setenv("COMFYUI_PATH", str(write_tree(tmp_path / "ComfyUI")))
    monkeypatch.setenv("COMFYUI_PYTHON", str(tmp_path / "nothing"))
    with pytest.raises(Trouble, match="COMFYUI_PYTHON=.* does not exist"):
        ensure_host(checkout)


def test_the_python_of_a_users_host(tmp_path: Path, cache: Path) -> None:
    tree = write_tree(tmp_path / "portable" / "ComfyUI")
    portable = tmp_path / "portable" / "python_embeded" / "python.exe"
    for path in (portable, venv_python(tmp_path / "portable" / "venv"), venv_python(tree / ".venv")):
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="utf-8")
        assert host_python(tree) == path  # each goes before the ones made so far


def test_an_old_host_is_told(tmp_path: Path, cache: Path) -> None:
    tree = write_tree(tmp_path / "ComfyUI")
    (tree / "comfyui_version.py").write_text('__version__ = "0.19.3"\n', encoding="utf-8")
    answer = dev("env", "--json", folder=tmp_path, COMFYUI_PATH=str(tree), COMFYUI_PYTHON=sys.executable)
    assert "is ComfyUI 0.19.3; Danlu needs 0.30.0" in answer.stderr
    assert json.loads(answer.stdout)["version"] == "0.19.3"


def test_requirement_lines(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text("# head\n\n a>=1  # why\nb\n", encoding="utf-8")
    assert requirement_lines(path) == ["a>=1", "b"]
    assert requirement_lines(tmp_path / "none.txt") == []


# The base directory.


def test_two_checkouts_have_two_folders(tmp_path: Path, cache: Path) -> None:
    checkouts = [tmp_path / name / "danlu" for name in ("a", "b")]
    for checkout in checkouts:
        checkout.mkdir(parents=True)
    bases = [make_base(checkout) for checkout in checkouts]
    assert bases[0] != bases[1] and make_base(checkouts[0]) == bases[0]
    links = [base / "custom_nodes" / "danlu" for base in bases]
    assert [link.resolve() for link in links] == [checkout.resolve() for checkout in checkouts]
    assert make_base(checkouts[0], "-test") not in bases


def test_a_stale_link_is_set_right_and_a_real_folder_is_left_alone(cache: Path, checkout: Path) -> None:
    link = make_base(checkout) / "custom_nodes" / "danlu"
    link.unlink()
    link.symlink_to(cache / "gone", target_is_directory=True)
    assert (make_base(checkout) / "custom_nodes" / "danlu").resolve() == checkout.resolve()
    link.unlink()
    link.mkdir()
    (link / "precious.txt").write_text("kept", encoding="utf-8")
    with pytest.raises(Trouble, match="is not a link of ours"):
        make_base(checkout)
    assert (link / "precious.txt").exists()


def test_awkward_folder_names(tmp_path: Path) -> None:
    assert base_directory(tmp_path, tmp_path / "丹炉 (copy)").name.startswith("-copy-")
    assert base_directory(tmp_path, tmp_path / "a b").parent == tmp_path / "base"


@pytest.mark.parametrize(
    ("system", "env", "expected"),
    [
        ("linux", {}, "home/.cache/danlu"),
        ("linux", {"XDG_CACHE_HOME": "{root}/xdg"}, "xdg/danlu"),
        ("darwin", {}, "home/Library/Caches/danlu"),
        ("win32", {"LOCALAPPDATA": "{root}/local"}, "local/danlu"),
        ("linux", {"DANLU_CACHE": "{root}/mine"}, "mine"),
    ],
)
def test_the_cache_folder_of_each_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str,
                                         env: dict[str, str], expected: str) -> None:  # fmt: skip
    for name in ("DANLU_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value.format(root=tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_root() == tmp_path / expected
