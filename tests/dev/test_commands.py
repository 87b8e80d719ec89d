"""What the commands pass on, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from danlu.devtools import cli, schemas
from danlu.devtools.checks import Stage, run_stages, stages
from danlu.devtools.console import Trouble
from danlu.devtools.hosts import Host

ROOT = Path(__file__).resolve().parents[2]
SHOW = """
import os, sys
print(*sys.argv[1:], os.environ["DANLU_COMFYUI"], os.environ["DANLU_BASE_DIRECTORY"], sep="|")
sys.exit(7)
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout"
    (folder / "demo").mkdir(parents=True)
    (folder / "demo" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "demo" / "run.py").write_text(SHOW, encoding="utf-8")
    monkeypatch.setenv("DANLU_CACHE", str(tmp_path / "cache"))
    host = Host(Path(sys.executable), tmp_path / "tree", "0.30.0", owned=True)
    monkeypatch.setattr(cli, "ensure_host", lambda *_, **__: host)
    monkeypatch.setattr(cli, "ensure_chromium", lambda *_: Path("/a/chromium"))
    return folder


COMMANDS = ("env", "demo", "train", "test", "bench", "runs", "check", "schemas")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_everywhere(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    assert "usage: dev.py" in capsys.readouterr().out


@pytest.mark.parametrize("separator", [[], ["--"]])
def test_demo_hands_on_arguments_and_exit_code(
    checkout: Path, tmp_path: Path, separator: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", *separator, "--output", "a b", "--quick"], checkout=checkout) == 7
    *arguments, comfyui, base = capfd.readouterr().out.strip().split("|")
    assert arguments == ["--output", "a b", "--quick"]
    assert comfyui == str(tmp_path / "tree")
    assert Path(base).is_relative_to(tmp_path / "cache" / "base") and not base.endswith("-test")


def test_a_checkout_without_a_demo(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "demo" / "run.py").unlink()
    assert cli.main(["demo"], checkout=checkout) == 1
    assert "this checkout has no demo" in capsys.readouterr().err


def test_schemas_are_pinned_unless_they_break_workflows(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {"inputs": [{"name": "steps", "type": "INT"}], "outputs": []}
    (checkout / schemas.PINNED).parent.mkdir(parents=True)

    def call(found: object, *arguments: str) -> int:
        monkeypatch.setattr(schemas, "current", lambda *_: found)
        return cli.main(["schemas", *arguments], checkout=checkout)

    assert call({"DanluX": node}, "--write") == 0
    assert call({"DanluX": node}) == 0
    assert call({"DanluX": node, "DanluY": node}) == 1  # not pinned yet
    assert call({"DanluY": node}, "--write") == 1
    assert "DanluX: the node is gone" in capsys.readouterr().err
    assert call({"DanluX": node}) == 0
    assert call({"DanluY": node}, "--write", "--incompatible") == 0


def test_test_runs_all_three_and_only_pytest_is_narrowed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def keep(plan: list[Stage], env: dict[str, str]) -> int:
        seen.update(plan={stage.name: list(stage.command) for stage in plan}, env=env)
        return 1

    monkeypatch.setattr(cli, "run_stages", keep)
    assert cli.main(["test", "tests/pack", "-k", "import", "-x"], checkout=checkout) == 1
    plan, env = seen["plan"], seen["env"]
    assert isinstance(plan, dict) and isinstance(env, dict)
    assert list(plan) == ["ruff", "mypy", "pytest"]
    assert plan["pytest"][-4:] == ["tests/pack", "-k", "import", "-x"]
    assert "tests/pack" not in [*plan["ruff"], *plan["mypy"]]
    assert env["CHROMIUM"] == "/a/chromium"
    assert env["DANLU_BASE_DIRECTORY"].endswith("-test"), "tests must not touch the demo's folder"


def test_every_stage_runs_and_one_failure_is_enough(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = [
        Stage(name, [sys.executable, "-c", f"print('ran', '{name}'); raise SystemExit({code})"], tmp_path)
        for name, code in (("one", 0), ("two", 3), ("three", 0))
    ]
    assert run_stages(plan, os.environ) == 1
    shown = capfd.readouterr()
    assert [line for line in shown.out.splitlines() if line.startswith("ran")] == ["ran one", "ran two", "ran three"]
    assert "two      FAILED (exit code 3)" in shown.err and "three    passed" in shown.err
    assert run_stages(plan[:1], os.environ) == 0


def test_types_are_checked_through_the_link(tmp_path: Path) -> None:
    host = Host(Path("python"), tmp_path, "0.30.0", owned=True)
    mypy = stages(host, tmp_path / "no-python name", tmp_path / "base", tmp_path / "cache", [])[1]
    assert mypy.folder == tmp_path / "base" / "custom_nodes" and mypy.command[-1] == "danlu"


@pytest.mark.parametrize(
    ("command", "module", "own"),
    [("bench", "bench/run.py", "--scratch"), ("runs", "training/runs/command.py", "--base-directory")],
)
def test_modules_of_the_pack_get_what_follows(
    checkout: Path, command: str, module: str, own: str, capfd: pytest.CaptureFixture[str]
) -> None:
    place = checkout / module
    place.parent.mkdir(parents=True)
    place.write_text(SHOW, encoding="utf-8")
    assert cli.main([command, "--only", "a b", own, "mine"], checkout=checkout) == 7
    shown = capfd.readouterr().out.strip().split("|")
    base = shown[-1]
    given = {"bench": str(Path(base).parents[1] / "bench"), "runs": base}[command]
    assert shown[:-2] == ["--packages", f"{base}/custom_nodes", own, given, "--only", "a b", own, "mine"]


def test_runs_are_those_of_the_comfyui_that_the_checkout_is_installed_in(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Host(Path(sys.executable), tmp_path / "tree", "0.30.0", owned=False)
    monkeypatch.setattr(cli, "ensure_host", lambda *_, **__: theirs)
    called: list[str] = []

    def run_module(*arguments: object) -> int:
        called.extend(map(str, arguments[2:]))
        return 0

    monkeypatch.setattr(cli, "run_module", run_module)
    assert cli.main(["runs", "list"], checkout=checkout) == 0
    assert called == ["training.runs.command", "--base-directory", str(tmp_path / "tree"), "list"]


def test_trouble_is_a_line_and_exit_code_1(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> Host:
        raise Trouble("what is wrong. The remedy.")

    monkeypatch.setattr(cli, "ensure_host", fail)
    assert cli.main(["env", "--json"], checkout=checkout) == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "dev.py: what is wrong. The remedy.\n")


def test_env_takes_no_strange_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["env", "--jsn"])
    assert ended.value.code == 2
    assert "--jsn" in capsys.readouterr().err


def test_an_old_python_is_told_which_it_takes() -> None:
    code = f"import sys, runpy; sys.version_info = (3, 8, 1); runpy.run_path({str(ROOT / 'dev.py')!r})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.startswith("dev.py: Python 3.10 to 3.13 is needed, this is 3.8.")


def test_the_door_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys\nimport devtools.cli\n"
        "tops = {name.partition('.')[0] for name in sys.modules} - {'devtools', '__main__'}\n"
        "print(sorted(top for top in tops if top not in sys.stdlib_module_names))"
    )
    command = [sys.executable, "-I", "-S", "-c", f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stdout + answer.stderr


def test_ci_runs_exactly_the_door() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -eu" in lines
    assert lines[-1] == "exec python3 dev.py test"


@pytest.mark.parametrize("command", ["bench", "check"])
def test_modules_of_the_pack_run_in_the_hosts_python(
    checkout: Path, tmp_path: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (checkout / "__init__.py").write_text("", encoding="utf-8")
    (checkout / "bench").mkdir()
    for name in ("run.py", "check.py"):
        (checkout / "bench" / name).write_text(f"print({name!r})\n{SHOW}", encoding="utf-8")
    assert cli.main([command, "--only", "a b"], checkout=checkout) == 7
    name, shown = capfd.readouterr().out.strip().splitlines()
    assert name == {"bench": "run.py", "check": "check.py"}[command]
    option, packages, *rest, comfyui, base = shown.split("|")
    assert option == "--packages" and Path(packages) == Path(base) / "custom_nodes"
    assert comfyui == str(tmp_path / "tree") and rest[-2:] == ["--only", "a b"]
    if command == "bench":
        assert rest[0] == "--scratch" and Path(rest[1]).is_relative_to(tmp_path / "cache")
