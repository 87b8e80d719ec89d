"""What people read: no link leads nowhere, both READMEs say the same, and configs in the text can be read."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from danlu.headless.job import read_job
from danlu.training.presets import preset_settings, resolution_for

ROOT = Path(__file__).resolve().parents[2]
HELP = ROOT / "web" / "docs"
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "web/docs/**/*.md", "demo/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
OURS = "https://github.com/danlu-team/danlu/blob/main/"
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_ADDRESS = r"\(((?:[^()\s]|\([^()]*\))+)\)"
_PICTURE, _LINK = re.compile(r"!\[[^\[\]]*\]" + _ADDRESS), re.compile(r"\[[^\[\]]*\]" + _ADDRESS)
TOPICS = {
    "first-lora": "five minutes",
    "recipes": "edit",
    "choosing-a-checkpoint": "Advisor",
    "captions": "trigger",
    "memory": "checkpointing",
    "training-further": "New pictures",
    "combining-loras": "Join Datasets",
    "rented-gpu": "export",
    "small-cards": "8 GB",
    "from-other-trainers": "OneTrainer",
    "troubleshooting": "NaN",
    "architecture": "nodes/",
}
"""Pages that people look for -> a word that is in each."""


def links(page: Path) -> list[str]:
    """Of pictures first: a link may stand around one."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    return _PICTURE.findall(text) + _LINK.findall(_PICTURE.sub("", text))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


def dead(page: Path) -> list[str]:
    return [link for link in links(page) if not _leads_somewhere(page, link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    if link.startswith(OURS):
        return (ROOT / unquote(link.removeprefix(OURS).partition("#")[0])).exists()
    if re.match(r"[a-z]+:", link):
        return True
    address, _, anchor = unquote(link).partition("#")
    # The front end looks for what a help page shows from the folder of all of them.
    folder = HELP if page.is_relative_to(HELP) else page.parent
    target = folder / address if address else page
    if not target.exists() or not target.resolve().is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_link_leads_nowhere(page: Path) -> None:
    assert dead(page) == []


def test_help_pages_link_to_the_web_only() -> None:
    """The panel opens a link as it stands: a relative one would lead into ComfyUI's own address."""
    for page in HELP.rglob("*.md"):
        text = _PICTURE.sub("", _CODE.sub("", page.read_text(encoding="utf-8")))
        assert all(link.startswith("https://") for link in _LINK.findall(text)), page


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n[a](gone.md) [b](#a) [c](#b) ![d](d.jpg) `[e](gone)`\n[![f](f.jpg)](g(1).md)", encoding="utf-8"
    )
    assert links(page) == ["d.jpg", "f.jpg", "gone.md", "#a", "#b", "g(1).md"]
    assert anchors(page) == {"a"}


@pytest.mark.parametrize("name", TOPICS)
def test_a_page_is_there_and_can_be_found(name: str) -> None:
    assert TOPICS[name] in (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert f"{name}.md" in links(ROOT / "docs" / "README.md")


def test_every_page_is_listed() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(links(ROOT / "docs" / "README.md"))


def configs() -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(r"```(?:yaml|toml)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]


@pytest.mark.parametrize(("page", "block"), configs())
def test_a_config_in_the_text_can_be_read(page: str, block: str) -> None:
    assert read_job(block).datasets, page


@pytest.mark.parametrize(("family", "memory"), [("sd15", "6 GB"), ("sdxl", "6 GB"), ("sdxl", "8 GB"), ("flux", "6 GB")])
def test_the_page_on_small_cards_says_what_the_preset_sets(family: str, memory: str) -> None:
    found = preset_settings(f"person / {memory}", family, {"rank": 64})
    parts = [f"rank {found['rank'].value} at most"]
    parts += ["attention layers only"] if "targets" in found else []
    parts += ["checkpointing on"] if "gradient_checkpointing" in found else []
    size = resolution_for(memory, family)
    parts += [] if size == "auto" else [f"resolution {size}"]
    page = (ROOT / "docs" / "small-cards.md").read_text(encoding="utf-8")
    assert f"| {', '.join(parts)} |" in page
    assert preset_settings("person / 8 GB", "flux", {"rank": 64}).keys() >= {"targets", "gradient_checkpointing"}


def outline(page: Path) -> dict[str, list[str]]:
    """What both languages share."""
    text = page.read_text(encoding="utf-8")
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    rows = [len(row.split("|")) for row in without_code.splitlines() if row.startswith("|")]
    return {
        "headings": re.findall(r"^(#+) ", without_code, re.MULTILINE),
        "commands": re.findall(r"```.*?```", text, re.DOTALL),
        "links": sorted(link for link in links(page) if not link.startswith("README")),
        "tables": [str(count) for count in rows],
        "lists": re.findall(r"^(-|\d+\.) ", without_code, re.MULTILINE),
    }


@pytest.mark.parametrize("part", ["headings", "commands", "links", "tables", "lists"])
def test_both_readmes_have_the_same_parts(part: str) -> None:
    """A section, command, picture or row that one of them lacks."""
    assert outline(ROOT / "README.zh-CN.md")[part] == outline(ROOT / "README.md")[part]


def test_each_readme_leads_to_the_other() -> None:
    assert "README.zh-CN.md" in links(ROOT / "README.md") and "README.md" in links(ROOT / "README.zh-CN.md")
