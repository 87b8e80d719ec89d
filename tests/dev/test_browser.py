"""A Chromium for the browser tests: the one that is there, else one that can be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from danlu.devtools import browser
from danlu.devtools.browser import ensure_chromium, find_chromium
from danlu.devtools.console import Trouble


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_found_by_setting_or_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("google-chrome", "chromium"):  # the second goes before the first
        program = make_program(tmp_path / "bin" / name)
        assert find_chromium() == program
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "mine"))
    with pytest.raises(Trouble, match="CHROMIUM="):
        find_chromium()
    program = make_program(tmp_path / "mine")
    assert find_chromium() == program


class Bare:
    """A machine without a browser, on which some commands work."""

    def __init__(self, patch: pytest.MonkeyPatch, works: Sequence[str], debian_root: bool = True) -> None:
        self.works, self.ran = works, list[str]()
        patch.setattr(browser, "_run", self.run)
        patch.setattr(browser, "_is_debian_root", lambda: debian_root)
        patch.setattr(browser, "find_chromium", lambda: self.there("apt-get install"))
        patch.setattr(browser, "_playwrights_own", lambda python: self.there("playwright install"))

    def run(self, command: Sequence[str], logs: Path) -> bool:
        self.ran.append(" ".join(command).removeprefix("python -m "))
        # As on a new machine: without a first `update`, apt-get knows no packages.
        knows = "apt-get update" in self.ran or not self.ran[-1].startswith("apt-get install")
        return knows and any(part in self.ran[-1] for part in self.works)

    def there(self, by: str) -> Path | None:
        last = self.ran[-1] if self.ran else ""
        return Path("/a/chromium") if by in last and self.run(self.ran.pop().split(), Path()) else None


@pytest.mark.parametrize(
    ("works", "ran"),
    [
        (["playwright"], ["playwright install chromium"]),
        (["apt-get"], ["playwright install chromium", "apt-get install -y chromium", "apt-get update",
                       "apt-get install -y chromium"]),
    ],
    ids=["playwright", "apt-get"],
)  # fmt: skip
def test_what_is_tried(monkeypatch: pytest.MonkeyPatch, works: list[str], ran: list[str]) -> None:
    bare = Bare(monkeypatch, works)
    assert ensure_chromium(Path("python"), Path("logs")) == Path("/a/chromium")
    assert bare.ran == ran


def test_none_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Bare(monkeypatch, [], debian_root=False)
    with pytest.raises(Trouble, match="Install Chromium or Chrome, or set CHROMIUM"):
        ensure_chromium(Path("python"), Path("logs"))
    assert bare.ran == ["playwright install chromium"]
