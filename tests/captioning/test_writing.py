"""Writing captions: every policy on every state of a text, and back to the very bytes."""

from __future__ import annotations

import base64
import os
import random
from pathlib import Path

import pytest

from danlu.captioning.journal import Journal
from danlu.captioning.places import Places
from danlu.captioning.plan import POLICIES, STATES
from danlu.captioning.undo import undo_captions
from danlu.errors import DanluError

from .caption_sets import Quiet, captioned, composed, load, make, picture, save, texts, tree, undo

OURS = b"an earlier thing"
FIRST = {
    "missing": None,
    "empty": b"\r\n",
    "yours": b"my words\r\n",
    "ours": None,
    "edited": None,
    "mixed": b"my words",
}
NEW = "a {} thing"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One picture for each state, named after it."""
    folder = make(tmp_path / "set", FIRST)
    part = load(folder)
    for state, policy in (("ours", "skip"), ("edited", "skip"), ("mixed", "append")):
        chosen = part.pictures[[p.path.stem for p in part.pictures].index(state)]
        save(captioned(type(part)(folder, (chosen,), ""), OURS.decode()), policy)
    (folder / "edited.txt").write_bytes(b"an earlier thing, mended")
    return folder


KEPT = {
    "missing": None,
    "empty": b"\r\n",
    "yours": b"my words\r\n",
    "ours": OURS,
    "edited": b"an earlier thing, mended",
    "mixed": b"my words, an earlier thing",
}
NEW_TEXTS = {state: f"a {state} thing".encode() for state in STATES} | {"empty": b"a empty thing\r\n"}
APPENDED = {
    "yours": b"my words, a yours thing\r\n",
    "ours": b"an earlier thing, a ours thing",
    "mixed": b"my words, an earlier thing, a mixed thing",
}
PREPENDED = {
    "yours": b"a yours thing, my words\r\n",
    "ours": b"a ours thing, an earlier thing",
    "mixed": b"a mixed thing, my words, an earlier thing",
}
FILLED = {state: NEW_TEXTS[state] for state in ("missing", "empty")}
REPLACED = NEW_TEXTS | {"yours": b"a yours thing\r\n"}
EXPECTED: dict[tuple[str, bool], dict[str, bytes]] = {
    ("skip", False): {"missing": NEW_TEXTS["missing"]},
    ("fill_empty", False): FILLED,
    ("append", False): FILLED | APPENDED,
    ("prepend", False): FILLED | PREPENDED,
    ("replace", False): FILLED | {"ours": NEW_TEXTS["ours"]},
    ("skip", True): {"missing": NEW_TEXTS["missing"]},
    ("fill_empty", True): FILLED,
    ("append", True): FILLED | APPENDED | {"edited": b"an earlier thing, mended, a edited thing"},
    ("prepend", True): FILLED | PREPENDED | {"edited": b"a edited thing, an earlier thing, mended"},
    ("replace", True): REPLACED,
}


def test_the_states_are_what_they_are_called(folder: Path) -> None:
    plan = save(captioned(load(folder)), dry_run=True).plans[0]
    assert {item.picture.path.stem: item.state for item in plan.items} == {state: state for state in STATES}
    assert {name[:-4]: text for name, text in texts(folder).items()} == {k: v for k, v in KEPT.items() if v is not None}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("replace_yours", [False, True])
def test_every_policy_on_every_state_and_back(folder: Path, policy: str, replace_yours: bool) -> None:
    before = tree(folder)
    saved = save(captioned(load(folder), NEW), policy, replace_yours=replace_yours)
    expected = {state: text for state, text in (KEPT | EXPECTED[policy, replace_yours]).items() if text is not None}
    assert {name[:-4]: text for name, text in texts(folder).items()} == expected
    assert tree(folder).keys() - before.keys() == {"missing.txt"}
    again = save(captioned(load(folder), NEW), policy, replace_yours=replace_yours)
    assert not any(plan.written for plan in again.plans) and "Nothing to write" in again.text()
    report = undo(folder)
    assert tree(folder) == before
    assert saved.run in report and "1 removed" in report


def test_undo_twice_undoes_once_and_the_undo_can_be_undone(folder: Path) -> None:
    before = tree(folder)
    save(captioned(load(folder)), "replace", replace_yours=True)
    after = tree(folder)
    undo(folder)
    report = undo(folder)
    assert tree(folder) == before and "undone already" in report
    undo(folder, Journal(folder).entries()[-1].run)
    assert tree(folder) == after


def test_undo_only_says_what_it_would_do(folder: Path) -> None:
    saved = save(captioned(load(folder)), "replace", replace_yours=True)
    after = tree(folder)
    report = undo(folder, apply=False)
    assert tree(folder) == after
    assert "5 texts would be restored, 1 would be removed" in report and f"Run {saved.run}" in report


def test_undo_leaves_what_was_changed_since(folder: Path) -> None:
    save(captioned(load(folder)), "replace", replace_yours=True)
    (folder / "yours.txt").write_bytes(b"better words")
    (folder / "ours.txt").unlink()
    report = undo(folder)
    assert (folder / "yours.txt").read_bytes() == b"better words" and not (folder / "ours.txt").exists()
    assert "yours.txt (changed since)" in report and "ours.txt (changed since)" in report
    assert (folder / "edited.txt").read_bytes() == KEPT["edited"]


def test_an_older_run_by_its_name(folder: Path) -> None:
    first = save(captioned(load(folder), "one {}"), "fill_empty")
    second = save(captioned(load(folder), "two {}"), "replace")
    with pytest.raises(DanluError, match=r"'run': there is no run 'nonsense'.*" + second.run):
        undo(folder, "nonsense")
    assert "missing.txt (changed since)" in undo(folder, first.run)
    undo(folder, second.run)
    assert (folder / "missing.txt").read_bytes() == b"one missing"
    undo(folder, first.run)
    assert not (folder / "missing.txt").exists()


def test_what_undo_brings_back_has_its_old_owner(folder: Path) -> None:
    """After an undo, the user's text is the user's again, and ours is ours."""
    save(captioned(load(folder)), "replace", replace_yours=True)
    undo(folder)
    plan = save(captioned(load(folder)), dry_run=True).plans[0]
    assert {item.picture.path.stem: item.state for item in plan.items} == {state: state for state in STATES}


@pytest.mark.parametrize("seed", range(6))
def test_no_sequence_of_runs_loses_a_text(tmp_path: Path, seed: int) -> None:
    rnd = random.Random(seed)
    options: list[bytes | None] = [
        None,
        b"",
        b" \n",
        b"mine",
        b"\xef\xbb\xbfmine, too\r\n",
        b"mine. Really.",
        "我的".encode("gb18030"),
    ]
    folder = make(tmp_path / "set", {str(number): rnd.choice(options) for number in range(5)})
    for turn in range(25):
        before, known = tree(folder), len(Journal(folder).entries())
        deed = rnd.choice(["save", "save", "undo", "edit", "delete", "undo named"])
        file = folder / f"{rnd.randrange(5)}.txt"
        if deed == "edit":
            file.write_bytes((rnd.choice(options) or b"") + str(turn).encode())
        elif deed == "delete":
            file.unlink(missing_ok=True)
        elif deed == "undo named" and known:
            undo(folder, rnd.choice(Journal(folder).entries()).run)
        elif deed == "undo":
            undo(folder)
        else:
            source = captioned(load(folder), f"{rnd.choice('xyz')} {{}}") if rnd.random() < 0.6 else load(folder)
            dataset = composed(source, trigger=rnd.choice(["", "ohwx"]), prefix=rnd.choice(["", "p"]))
            policy, yours = rnd.choice(POLICIES), rnd.random() < 0.4
            saved = save(dataset, policy, replace_yours=yours)
            _nothing_lost(folder, before, known)
            if any(plan.written for plan in saved.plans):
                undo(folder, saved.run)
                assert tree(folder) == before, (turn, policy, yours)
                undo(folder, Journal(folder).entries()[-1].run)
            continue
        if deed.startswith("undo"):
            _nothing_lost(folder, before, known)


def _nothing_lost(folder: Path, before: dict[str, bytes], known: int) -> None:
    """Bytes that were there are there, or in the journal."""
    new = {entry.file: entry.old_bytes() for entry in Journal(folder).entries()[known:]}
    after = tree(folder)
    for name, content in before.items():
        assert after.get(name) == content or new[name] == content
    assert all(new.get(name, b"") is None for name in after.keys() - before.keys())


# Bytes


ENCODINGS = [
    (b"one\r\ntwo\r\n", "utf-8", b"one\r\ntwo, new \xc3\xa9\r\n"),
    (b"one\ntwo", "utf-8", b"one\ntwo, new \xc3\xa9"),
    (b"\xef\xbb\xbfone\r\n", "utf-8 with its mark", b"\xef\xbb\xbfone, new \xc3\xa9\r\n"),
    ("one\r\n".encode("utf-16"), "utf-16", "one, new é\r\n".encode("utf-16")),
    (b"\xfe\xff" + "one".encode("utf-16-be"), "big endian", b"\xfe\xff" + "one, new é".encode("utf-16-be")),
    ("红发".encode("gb18030"), "gb18030", "红发, new é".encode("gb18030")),
    (b"caf\xe9", "cp1252", b"caf\xe9, new \xe9"),
]


@pytest.mark.parametrize(("old", "_name", "new"), ENCODINGS, ids=[name for _, name, _ in ENCODINGS])
def test_encoding_mark_and_line_ends_are_kept(tmp_path: Path, old: bytes, _name: str, new: bytes) -> None:
    folder = make(tmp_path / "set", {"a": old})
    save(captioned(load(folder), "new é"), "append")
    assert (folder / "a.txt").read_bytes() == new
    undo(folder)
    assert (folder / "a.txt").read_bytes() == old


def test_letters_that_an_encoding_has_not_make_it_utf_8(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"caf\xe9"})
    save(captioned(load(folder), "猫"), "append")
    assert (folder / "a.txt").read_text(encoding="utf-8") == "café, 猫"


def test_new_files_are_plain_utf_8_with_the_usual_rights(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": b"x"})
    (folder / "b.txt").chmod(0o640)
    mask = os.umask(0o022)
    try:
        save(captioned(load(folder), "红 {}"), "append")
    finally:
        os.umask(mask)
    assert (folder / "a.txt").read_bytes() == "红 a".encode()
    assert (folder / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (folder / "b.txt").stat().st_mode & 0o777 == 0o640


def test_files_are_replaced_and_never_rewritten(tmp_path: Path) -> None:
    """Whoever reads one meanwhile has the old text or the new one; another name of the file keeps the old one."""
    folder = make(tmp_path / "set", {"a": b"mine"})
    os.link(folder / "a.txt", tmp_path / "other name")
    save(captioned(load(folder)), "append")
    assert (tmp_path / "other name").read_bytes() == b"mine" and (folder / "a.txt").read_bytes() == b"mine, a a thing"


def test_letters_that_no_encoding_has(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    save(captioned(load(folder), "half \ud83d of one"))
    assert (folder / "a.txt").read_bytes() == b"half ? of one"
    assert "Nothing to write" in save(captioned(load(folder), "half \ud83d of one"), "append").text()


# Which file


def test_two_pictures_of_one_stem_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": None})
    picture(folder / "A.jpg")
    before = tree(folder)
    with pytest.raises(DanluError, match=r"share one caption file: (A\.jpg and a\.png|a\.png and A\.jpg)"):
        save(captioned(load(folder)))
    assert tree(folder) == before and not (folder / ".captions").exists()
    (folder / "a.txt").write_bytes(b"of both")
    assert set(texts(_saved(folder))) == {"a.txt", "b.txt"}, "nothing would be written to it"


def _saved(folder: Path, **options: object) -> Path:
    save(captioned(load(folder)), **options)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("name", ["a.caption", "a.png.txt", "A.TXT", "a.txt"])
def test_a_picture_keeps_the_file_that_it_has(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "set", {"a": None})
    (folder / name).write_bytes(b"mine")
    assert texts(_saved(folder)) == {name: b"mine"}
    assert texts(_saved(folder, policy="append")) == {name: b"mine, a a thing"}


def test_the_stem_is_what_is_before_the_last_point(tmp_path: Path) -> None:
    folder = make(tmp_path / "v1.png_set", {"a.b": None, "10_cat/c": None})
    assert texts(_saved(folder)) == {"a.b.txt": b"a a.b thing", "10_cat/c.txt": b"a c thing"}


def test_other_formats(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    assert texts(_saved(folder, format=".caption")) == {"a.caption": b"a a thing"}


def test_another_folder_below_output(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"mine", "10_cat/c": None})
    dataset = captioned(load(folder))
    saved = save(dataset, folder="my captions/x")
    there = tmp_path / "output" / "my captions" / "x"
    assert texts(there) == {"a.txt": b"a a thing", "10_cat/c.txt": b"a c thing"}
    assert texts(folder) == {"a.txt": b"mine"} and saved.dataset.pictures[1].text_file == folder / "a.txt"
    undo(there)
    assert texts(there) == {}


@pytest.mark.parametrize("text", ["..", "a/../../b", "/etc", "C:\\x", "~/x", "a\0b", "CON", "a/.ssh", "\\\\host\\x"])
def test_no_folder_outside_of_output(tmp_path: Path, text: str) -> None:
    folder = make(tmp_path / "set", {"a": None})
    before = tree(tmp_path)
    with pytest.raises(DanluError, match="'folder' is"):
        save(captioned(load(folder)), folder=text)
    assert tree(tmp_path) == before


def test_a_link_below_output_does_not_lead_out(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DanluError, match="'folder' is"):
        save(captioned(load(folder)), folder="link")
    assert tree(tmp_path / "elsewhere") == {}


def test_pictures_that_only_we_keep_get_their_captions_below_output(tmp_path: Path) -> None:
    folder = make(tmp_path / "user" / "__danlu" / "unpacked" / "cats-0123", {"a": None})
    places = Places(tmp_path / "output", (tmp_path / "user" / "__danlu",))
    saved = save(captioned(load(folder)), places=places)
    assert texts(tmp_path / "output") == {"danlu/captions/unpacked/cats-0123/a.txt": b"a a thing"}
    assert "only Danlu uses" in saved.text() and not (folder / ".captions").exists()


def test_archives_that_hold_folders_of_one_name_have_their_own_captions(tmp_path: Path) -> None:
    hidden = tmp_path / "user" / "__danlu"
    places = Places(tmp_path / "output", (hidden,))
    for archive in ("cats-0123", "dogs-4567"):
        folder = make(hidden / "unpacked" / archive / "dataset", {"1": None})
        save(captioned(load(folder), archive), places=places)
    assert texts(tmp_path / "output" / "danlu" / "captions" / "unpacked") == {
        "cats-0123/dataset/1.txt": b"cats-0123",
        "dogs-4567/dataset/1.txt": b"dogs-4567",
    }


def test_joined_datasets_go_to_their_own_folders(tmp_path: Path) -> None:
    from dataclasses import replace

    one, two = make(tmp_path / "one", {"a": None}), make(tmp_path / "two", {"a": None, "b": b"mine"})
    joined = replace(load(one), joined=(load(two), load(one)))
    saved = save(captioned(joined))
    assert texts(one) == {"a.txt": b"a a thing"} and texts(two) == {"a.txt": b"a a thing", "b.txt": b"mine"}
    assert saved.text().startswith("2 texts written")
    other = replace(captioned(load(one), "x"), joined=(captioned(load(one), "y"),))
    with pytest.raises(DanluError, match="different captions for the same pictures"):
        save(other, "replace")
    below = save(captioned(joined), folder="all")
    assert len(below.plans) == 2
    assert set(texts(tmp_path / "output")) == {"all/one/a.txt", "all/two/a.txt", "all/two/b.txt"}


# Links, and what is no file


def test_links_are_left_alone_and_told(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": None, "c": None})
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    (folder / "a.txt").symlink_to(secret)
    os.mkfifo(folder / "b.txt")
    dataset = load(folder, captions="none")
    saved = save(captioned(dataset), "replace", replace_yours=True)
    assert secret.read_bytes() == b"secret" and (folder / "a.txt").is_symlink()
    assert "a.txt (it is a link), b.txt (it is no file)" in saved.text()
    assert (folder / "c.txt").read_bytes() == b"a c thing"


def test_folders_that_are_links_out_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    elsewhere = make(tmp_path / "elsewhere", {"b": None})
    (folder / "10_cat").symlink_to(elsewhere)
    with pytest.raises(DanluError, match="leads out of"):
        save(captioned(load(folder)))
    assert texts(elsewhere) == {} and texts(folder) == {}


@pytest.mark.parametrize("name", [".captions", ".captions/journal.jsonl", ".captions/lock"])
def test_a_journal_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "set", {"a": None})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_bytes(b"keep")
    if name != ".captions":
        (folder / ".captions").mkdir()
    (folder / name).symlink_to(elsewhere if name == ".captions" else elsewhere / "file")
    with pytest.raises(DanluError, match="link, which is never followed"):
        save(captioned(load(folder)))
    assert tree(elsewhere) == {"file": b"keep"} and texts(folder) == {}


def test_the_journal_is_no_part_of_the_dataset(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "10_x/b": None})
    names = [p.name for p in load(folder, recursive=True).pictures]
    _saved(folder)
    (folder / ".captions" / "c.png").write_bytes((folder / "a.png").read_bytes())
    loaded = load(folder, recursive=True)
    assert [p.name for p in loaded.pictures] == names and loaded.report.captions_without_image == ()


# What is no caption


def test_no_caption_no_text(tmp_path: Path) -> None:
    """A captioner that failed leaves the picture to the next run: a trigger alone would look like a caption."""
    folder = make(tmp_path / "set", {"a": None})
    for dataset in (load(folder, trigger="ohwx"), composed(load(folder), trigger="ohwx", prefix="p")):
        assert "1 picture without a caption, nothing written: a.png" in save(dataset).text()
    assert texts(folder) == {}
    alone = composed(load(folder), trigger="ohwx", prefix="Clean it.", caption_from="none")
    assert save(alone).text().startswith("1 text written")
    assert texts(folder) == {"a.txt": b"ohwx, Clean it."}


def test_the_journal_says_what_a_text_was_made_of(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"old"})
    dataset = composed(captioned(load(folder)), trigger="ohwx", prefix="p")
    saved = save(dataset, "replace", replace_yours=True)
    (entry,) = Journal(folder).entries()
    assert (entry.run, entry.file, entry.body, entry.captioner, entry.seed) == (
        saved.run,
        "a.txt",
        "a a thing",
        "c0ffee",
        7,
    )
    assert entry.parts == {"trigger": "ohwx", "prefix": "p"} and base64.b64decode(entry.old or "") == b"old"
    assert entry.time > 1e9


def test_the_dataset_that_comes_out_knows_its_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": b"mine"})
    dataset = save(captioned(load(folder)), "append").dataset
    assert [(p.caption, p.text_file) for p in dataset.pictures] == [
        ("a a thing", folder / "a.txt"),
        ("mine, a b thing", folder / "b.txt"),
    ]


def test_an_interrupt_keeps_what_is_written(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {str(number): None for number in range(5)})
    calls = 0

    class Interrupted(BaseException): ...

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        save(captioned(load(folder)), watcher=Quiet(stop))
    assert 0 < len(texts(folder)) < 5
    assert save(captioned(load(folder))).text().startswith(f"{5 - calls + 2} texts written")
    assert len(texts(folder)) == 5


def test_wrong_choices_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    for options in ({"policy": "burn"}, {"format": ".exe"}):
        with pytest.raises(DanluError, match=f"'{next(iter(options))}'"):
            save(captioned(load(folder)), **options)  # type: ignore[arg-type]


# Undo that goes on, and of several folders


@pytest.mark.parametrize("stops", [1, 2])
def test_an_interrupted_undo_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: int) -> None:
    """`stops` 1: between two batches."""
    monkeypatch.setattr("danlu.captioning.undo.BATCH", 2)
    folder = make(tmp_path / "set", {str(number): None for number in range(7)})
    save(captioned(load(folder)))

    class Interrupted(BaseException): ...

    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls > stops:
            raise Interrupted

    with pytest.raises(Interrupted):
        undo_captions([folder], "", True, Quiet(stop))
    assert len(texts(folder)) == 7 - 2 * stops
    undo(folder)
    assert texts(folder) == {}
    assert "undone already" in undo(folder)


def test_the_last_run_is_the_newest_of_all_folders(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", {"a": None}), make(tmp_path / "two", {"b": None})
    save(captioned(load(one)))
    save(captioned(load(two)))
    undo_captions([one, two], "", True, Quiet())
    assert set(texts(one)) == {"a.txt"} and texts(two) == {}
    assert "undone already" in undo_captions([one, two], "", True, Quiet()).text()
    assert set(texts(one)) == {"a.txt"}


def test_an_undo_that_did_not_come_to_the_second_folder_goes_on(tmp_path: Path) -> None:
    from dataclasses import replace

    one, two = make(tmp_path / "one", {"a": None}), make(tmp_path / "two", {"b": None})
    save(captioned(replace(load(one), joined=(load(two),))))
    undo(one)
    assert texts(one) == {} and set(texts(two)) == {"b.txt"}
    undo_captions([one, two], "", True, Quiet())
    assert texts(two) == {}


# Whose words


def test_the_users_words_stay_the_users_when_they_are_composed(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"my words"})
    save(composed(load(folder), trigger="ohwx"), "replace", replace_yours=True)
    assert texts(folder) == {"a.txt": b"ohwx, my words"}
    saved = save(captioned(load(folder)), "replace")
    assert texts(folder) == {"a.txt": b"ohwx, my words"} and "1 text left alone: yours" in saved.text()
    save(composed(load(folder), trigger="sks"), "replace")
    assert texts(folder) == {"a.txt": b"sks, my words"}, "the trigger is Danlu's to change"
    save(captioned(load(folder)), "replace", replace_yours=True)
    save(captioned(load(folder), "b {}"), "replace")
    assert texts(folder) == {"a.txt": b"b a"}


def test_a_caption_of_the_picture_before_is_one(tmp_path: Path) -> None:
    from dataclasses import replace

    folder = make(tmp_path / "set", {"a": None})
    loaded = load(folder, trigger="ohwx").mapped(lambda _, p: replace(p, before_body="a cat"))
    save(loaded)
    assert texts(folder) == {}, "a trigger alone is none"
    save(loaded.mapped(lambda _, p: replace(p, caption="ohwx, a cat", captioner="c0ffee")))
    assert texts(folder) == {"a.txt": b"ohwx, a cat"}
