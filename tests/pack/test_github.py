"""What runs on GitHub: nothing here can run it, so that at least it can be read, and what it calls is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from danlu.devtools import cli

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
ON = True
"""How YAML 1.1 reads the key `on`."""


def read(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def runs(path: Path) -> list[str]:
    return [step["run"] for step in steps(read(path)) if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_one(path: Path) -> None:
    workflow = read(path)
    assert {"name", ON, "permissions", "jobs"} <= set(workflow)
    for job in workflow["jobs"].values():
        assert job["runs-on"] and job["steps"]
    for step in steps(workflow):
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1")), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_an_expression_names_is_there(path: Path) -> None:
    text, workflow = path.read_text(encoding="utf-8"), read(path)
    ids = {step["id"] for step in steps(workflow) if "id" in step}
    for name in re.findall(r"\bsteps\.(\w+)\.", text):
        assert name in ids
    matrices = [job.get("strategy", {}).get("matrix", {}) for job in workflow["jobs"].values()]
    for name in re.findall(r"\bmatrix\.(\w+)", text):
        assert any(name in matrix for matrix in matrices)
    assert set(re.findall(r"\bsecrets\.(\w+)", text)) <= (
        {"REGISTRY_ACCESS_TOKEN"} if path.stem == "publish" else set()
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in runs(path):
        for command in re.findall(r"python dev\.py (\w+)", text):
            with pytest.raises(SystemExit) as ended:
                cli.main([command, "--help"])
            assert ended.value.code == 0
        for module in re.findall(r"python -m ([\w.]+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
        for name in re.findall(r"\btests/[\w/.]+", text):
            assert (ROOT / name).exists()


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="these scripts are for bash")
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_scripts_are_bash(path: Path) -> None:
    for text in runs(path):
        plain = re.sub(r"\$\{\{.*?\}\}", "x", text)
        assert plain == text, "what comes from outside goes through env: it could end the line"
        subprocess.run(["bash", "-n"], input=plain, text=True, check=True)


def test_tests_run_on_three_systems() -> None:
    matrix = read(GITHUB / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}


def version_step() -> str:
    return next(
        step["run"] for step in steps(read(GITHUB / "workflows" / "publish.yml")) if step.get("id") == "version"
    )


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="this script is for bash")
@pytest.mark.parametrize(("changed", "published"), [('version = "0.2.0"', True), ('description = "new"', False)])
def test_a_changed_version_is_published_and_nothing_else(changed: str, published: bool, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]

    def commit(text: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)

    subprocess.run([*git, "init", "-q"], check=True)
    lines = ['version = "0.1.0"', 'description = "old"']
    commit("\n".join(lines))
    key = changed.partition(" ")[0]
    commit("\n".join(changed if line.startswith(key) else line for line in lines))
    before = subprocess.run([*git, "rev-parse", "HEAD^"], check=True, capture_output=True, text=True).stdout.strip()
    output = tmp_path / "output"
    output.touch()
    env = {**os.environ, "BEFORE": before, "GITHUB_EVENT_NAME": "push", "GITHUB_OUTPUT": str(output)}
    subprocess.run(["bash", "-e", "-c", version_step()], cwd=tmp_path, env=env, check=True)
    assert (output.read_text(encoding="utf-8") == "new=yes\n") is published


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(path: Path) -> None:
    form = read(path)
    assert form["name"] and form["description"]
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert all(item["type"] in ("input", "textarea", "dropdown", "checkboxes") for item in fields)
    assert all(item["attributes"]["label"] for item in fields)
    assert len({item["id"] for item in fields}) == len(fields)
    assert any(item.get("validations", {}).get("required") for item in fields)


def test_addresses_in_templates_are_ours_and_lead_to_files() -> None:
    start = "https://github.com/danlu-team/danlu/blob/main/"
    text = "".join(path.read_text(encoding="utf-8") for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
    for address in re.findall(r"https?://[^\s)\"]+", text):
        assert address.startswith(start) and (ROOT / address.removeprefix(start)).is_file(), address
