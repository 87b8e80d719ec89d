"""Final texts: put together by a template, nothing doubled, the same when they are composed again."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from danlu.captioning.compose import TEMPLATE, Recipe, Said, compose
from danlu.captioning.compose_set import compose_dataset
from danlu.captioning.texts import kind_of, kind_of_all
from danlu.captioning.trainer_view import Length, view
from danlu.dataset.captions import MAX_WORDS
from danlu.errors import DanluError

from .caption_sets import captioned, composed, load, make, save, texts

PROSE = "A dog sits, on a mat."
TAGS = "1girl, red hair, 1girl"


def text(caption: str, of_kind: str = "", before: str = "", tags: str = "", **recipe: str) -> str:
    said = Said(caption, before, tags, "my cat", "animals")
    return compose(Recipe(**recipe).checked(), said, of_kind or kind_of_all([caption]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("caption", "recipe", "expected"),
    [
        (TAGS, {"trigger": "ohwx"}, "ohwx, 1girl, red hair"),
        (TAGS, {"trigger": "ohwx", "prefix": "best", "suffix": "outdoors"}, "ohwx, best, 1girl, red hair, outdoors"),
        (
            TAGS,
            {"trigger": "ohwx", "prefix": "best, ", "suffix": ", outdoors"},
            "ohwx, best, 1girl, red hair, outdoors",
        ),
        ("1girl, best", {"prefix": "best"}, "best, 1girl"),
        ("red hair, ohwx, 1girl", {"trigger": "ohwx"}, "ohwx, red hair, 1girl"),
        ("red hair, ohwx, 1girl", {"trigger": "OHWX"}, "OHWX, red hair, 1girl"),
        ("photo of [trigger], 1girl", {"trigger": "ohwx"}, "photo of ohwx, 1girl"),
        ("photo of [trigger], 1girl", {}, "photo of, 1girl"),
        (TAGS, {"trigger": "ohwx", "prefix": "photo of [Trigger]"}, "photo of ohwx, 1girl, red hair"),
        (PROSE, {"trigger": "ohwx"}, "ohwx, A dog sits, on a mat."),
        (PROSE, {"prefix": "Clean it."}, "Clean it. A dog sits, on a mat."),
        (PROSE, {"prefix": "Clean it"}, "Clean it. A dog sits, on a mat."),
        ("a dog sits on a mat.", {"prefix": "a photo of"}, "a photo of a dog sits on a mat."),
        (PROSE, {"suffix": "Soft light"}, "A dog sits, on a mat. Soft light."),
        (PROSE, {"suffix": ", in the style of ohwx"}, "A dog sits, on a mat, in the style of ohwx."),
        ("A dog named ohwx sits.", {"trigger": "ohwx", "prefix": "Clean it."}, "Clean it. A dog named ohwx sits."),
        ("ohwx, A dog sits.", {"trigger": "ohwx", "prefix": "Clean it."}, "ohwx, Clean it. A dog sits."),
        ("一只狗在跑。", {"trigger": "丹童", "prefix": "把图变干净。"}, "丹童, 把图变干净。 一只狗在跑。"),
        ("", {"trigger": "ohwx"}, "ohwx"),
        ("", {"trigger": "ohwx", "prefix": "Clean it."}, "ohwx, Clean it."),
        ("two\nlines  of\ttext here. Yes.", {}, "two lines of text here. Yes."),
        ("as it is, (like this. That ,", {}, "as it is, (like this. That ,"),
    ],
)
def test_texts(caption: str, recipe: dict[str, str], expected: str) -> None:
    assert text(caption, **recipe) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{caption}", "1girl, red hair"),
        ("{caption}, {trigger}", "1girl, red hair, ohwx"),
        ("a photo of {trigger}, {caption}", "a photo of ohwx, 1girl, red hair"),
        ("({trigger}) {caption}", "(ohwx) 1girl, red hair"),
        ("{name}: {caption}", "my cat: 1girl, red hair"),
        ("{folder} {trigger} {caption}", "animals, ohwx, 1girl, red hair"),
        ("{caption} by {suffix}", "1girl, red hair"),
        ("{caption}, best quality", "1girl, red hair, best quality"),
        ("{tags}. {before}", "1girl, red hair."),
        ("", "ohwx, 1girl, red hair"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert text(TAGS, template=template, trigger="ohwx", tags=TAGS if "tags" in template else "") == expected


def test_words_go_with_the_variable_that_they_belong_to() -> None:
    pair = "Before: {before} After: {caption}"
    assert text("A clean dog.", before="A dirty dog.", template=pair) == "Before: A dirty dog. After: A clean dog."
    assert text("A clean dog.", template=pair) == "After: A clean dog."
    assert (
        text("1girl, ohwx, x", template="a photo of {trigger}, {caption}", trigger="ohwx")
        == "a photo of ohwx, 1girl, x"
    )


@pytest.mark.parametrize(
    ("caption_from", "expected"),
    [
        ("after", "Clean it. A clean dog."),
        ("before", "Clean it. A dirty dog."),
        ("both", "Clean it. A dirty dog. A clean dog."),
        ("none", "Clean it."),
    ],
)
def test_which_picture_of_a_pair_is_told(caption_from: str, expected: str) -> None:
    found = text("A clean dog.", "prose", before="A dirty dog", prefix="Clean it.", caption_from=caption_from)
    assert found == expected
    assert text(found, "prose", before="A dirty dog", prefix="Clean it.", caption_from=caption_from) == expected


def test_separators() -> None:
    assert text(TAGS, prefix="p", suffix="s", tag_separator=" | ") == "p | 1girl, red hair | s"
    assert text(PROSE, prefix="p", suffix="Q.", prose_separator=" -- ") == "p -- A dog sits, on a mat. -- Q."


WORDS = [
    "a dog",
    "Red hair",
    "ohwx",
    "cat,",
    "in a park",
    "1girl,",
    "Clean it.",
    "photo of",
    "sits. It",
    "[trigger]",
    "红发",
]
TEMPLATES = [
    TEMPLATE,
    "{prefix} {caption}",
    "{caption}, {trigger}",
    "a photo of {trigger}, {caption} {suffix}",
    "{trigger} {name}: {caption}",
    "({trigger}) {caption}",
    "{prefix}\n{caption}",
]


@pytest.mark.parametrize("seed", range(4))
def test_composing_again_gives_the_same(seed: int) -> None:
    """Whatever words are in there, with no journal to tell what was composed."""
    rnd = random.Random(seed)

    def words(most: int) -> str:
        return " ".join(rnd.choice(WORDS) for _ in range(rnd.randint(0, most))).strip(" ,")

    for _ in range(300):
        recipe = Recipe(rnd.choice(["", "ohwx", "my trig"]), words(2), words(2), rnd.choice(TEMPLATES)).checked()
        said, kind = Said(words(5), name="n", folder="f"), rnd.choice(["tags", "prose"])
        once = compose(recipe, said, kind)
        assert compose(recipe, replace(said, caption=once), kind) == once, (recipe, said, kind)
        assert ",," not in once and ", ," not in once and "  " not in once and once == once.strip()


@pytest.mark.parametrize("kind", ["tags", "prose"])
def test_the_trigger_is_there_once(kind: str) -> None:
    rnd = random.Random(1)
    for _ in range(300):
        parts = [rnd.choice(["ohwx", "[trigger]", "a dog", "a cat"]) for _ in range(3)]
        caption = ", ".join(dict.fromkeys(parts))
        if "ohwx" in caption and "[trigger]" in caption:
            continue
        found = text(caption, kind, trigger="ohwx", prefix=rnd.choice(["", "best", "p"]))
        assert found.count("ohwx") == 1, (caption, found)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"template": "{caption} {colour}"}, r"'template' holds \{colour\}"),
        ({"template": "{caption.__class__}"}, "'template' holds"),
        ({"template": "{caption"}, "without its other half"),
        ({"template": "{{caption}}"}, "without its other half"),
        ({"kind": "song"}, "'kind'"),
        ({"caption_from": "above"}, "'caption_from'"),
    ],
)
def test_what_cannot_be_used_is_named(inputs: dict[str, str], message: str) -> None:
    with pytest.raises(DanluError, match=message):
        Recipe(**inputs).checked()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("caption", "kind"),
    [
        ("1girl, red hair, looking at viewer", "tags"),
        ("A dog sits on a mat.", "prose"),
        ("a small dog sits quietly on an old mat", "prose"),
        ("A dog, which is brown and rather small, sits on a mat near the door", "prose"),
        ("一只狗，红发，微笑", "tags"),
        ("一只狗在公园里奔跑。", "prose"),
        ("a cat", ""),
        ("", ""),
    ],
)
def test_kinds(caption: str, kind: str) -> None:
    assert kind_of(caption) == kind


# Whole datasets


def test_each_picture_has_its_name_and_folder(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"my_cat (3)": b"x", "10_ohwx man/b": b"y"})
    dataset = composed(load(folder), template="{folder}: {name}: {caption}", kind="tags")
    assert {p.caption for p in dataset.pictures} == {"set: my cat: x", "ohwx man: b: y"}


def test_trigger_of_the_dataset_and_another_one(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y"})
    loaded = load(folder, trigger="ohwx")
    assert composed(loaded).pictures[0].caption == "ohwx, x, y"
    other = composed(loaded, trigger="sks")
    assert (other.pictures[0].caption, other.trigger) == ("sks, x, y", "sks")
    assert (other.pictures[0].body, dict(other.pictures[0].parts)) == ("x, y", {"trigger": "sks"})


def test_regularisation_pictures_do_not_get_the_trigger(tmp_path: Path) -> None:
    one, two = make(tmp_path / "one", {"a": b"x"}), make(tmp_path / "two", {"b": b"y"})
    joined = replace(load(one), joined=(load(two, role="regularisation"), load(two, role="validation")))
    captions = [part.pictures[0].caption for part in composed(joined, trigger="ohwx").parts()]
    assert captions == ["ohwx, x", "y", "ohwx, y"]


def test_tags_of_another_captioner(tmp_path: Path) -> None:
    dataset = captioned(load(make(tmp_path / "set", {"a": None})), "A dog sits.")
    tags = captioned(dataset, "dog, solo")
    both = compose_dataset(dataset, Recipe(template="{caption} {tags}"), tags).dataset
    assert both.pictures[0].caption == "A dog sits. dog, solo."
    assert both.pictures[0].body == "A dog sits."
    save(both)
    loaded = load(dataset.folder)  # a captioner leaves what has a caption: it hands on the composed text
    for others in (loaded, None):
        again = compose_dataset(loaded, Recipe(template="{tags} {caption}", kind="prose"), others).dataset
        assert again.pictures[0].caption == "dog, solo. A dog sits."


def test_tags_alone_are_a_caption(tmp_path: Path) -> None:
    dataset = load(make(tmp_path / "set", {"a": None, "b": None}))
    tags = captioned(replace(dataset, pictures=dataset.pictures[:1]), "dog, solo")
    found = compose_dataset(dataset, Recipe(trigger="ohwx", template="{trigger}, {tags}"), tags)
    assert [p.caption for p in found.dataset.pictures] == ["ohwx, dog, solo", "ohwx"] and found.empty == ("b.png",)
    save(found.dataset)
    assert texts(dataset.folder) == {"a.txt": b"ohwx, dog, solo"}


def test_the_default_caption_is_composed_but_is_no_caption(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    dataset = composed(load(folder, trigger="ohwx", default_caption="a thing"), prefix="p")
    assert (dataset.pictures[0].caption, dataset.pictures[0].body) == ("ohwx, p, a thing", "")
    again = composed(dataset, prefix="q")
    assert again.pictures[0].caption == "ohwx, q, a thing"
    assert "Nothing to write" in save(again).text()


def test_the_node_says_what_changed_and_what_was_cut(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"x, y", "b": b"word " * (MAX_WORDS + 5), "c": None})
    found = compose_dataset(load(folder), Recipe(prefix="p", kind="tags"))
    lines = "\n".join(found.lines())
    assert "3 captions (tags), 3 changed" in lines and "1 picture without a caption: c.png" in lines
    assert "Cut: b.png: 406 words, the first 400 are used" in lines
    assert found.difference().startswith("3 texts changed:\na.png\n- x, y\n+ p, x, y\n")
    assert found.difference(shown=1).endswith("... and 2 more")
    assert compose_dataset(load(folder), Recipe()).difference() == "No text changes."


# What Danlu wrote is composed anew; what somebody edited is not


@pytest.mark.parametrize("format", [".txt", ".caption", "metadata.csv", "metadata.jsonl"])
def test_a_new_prefix_needs_no_captioner(tmp_path: Path, format: str) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": None})
    save(composed(captioned(load(folder)), trigger="ohwx", prefix="one"), format=format)
    loaded = load(folder)
    assert [p.caption for p in loaded.pictures] == ["ohwx, one, a a thing", "ohwx, one, a b thing"]
    anew = composed(loaded, trigger="sks", prefix="two")
    assert [(p.caption, p.body, p.captioner, p.seed) for p in anew.pictures] == [
        ("sks, two, a a thing", "a a thing", "c0ffee", 7),
        ("sks, two, a b thing", "a b thing", "c0ffee", 7),
    ]
    before = texts(folder)
    assert "Nothing to write" in save(anew, format=format).text() and texts(folder) == before
    save(anew, "replace", format=format)
    assert [p.caption for p in load(folder).pictures] == ["sks, two, a a thing", "sks, two, a b thing"]
    assert (
        "Nothing to write" in save(composed(load(folder), trigger="sks", prefix="two"), "replace", format=format).text()
    )


def test_another_instruction_for_all(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    save(composed(load(folder), prefix="Clean it.", caption_from="none"))
    anew = composed(load(folder), prefix="Make it clean.", caption_from="none")
    assert anew.pictures[0].caption == "Make it clean." and anew.pictures[0].body == ""
    assert compose_dataset(load(folder), Recipe(prefix="Make it clean.")).empty == ("a.png",)
    save(anew, "replace")
    assert texts(folder) == {"a.txt": b"Make it clean."}


def test_a_text_edited_by_hand_is_never_composed_anew(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None, "b": None})
    save(composed(captioned(load(folder)), trigger="ohwx", prefix="one"))
    (folder / "a.txt").write_text("ohwx, one, my own words")
    found = compose_dataset(load(folder, trigger="ohwx"), Recipe(prefix="two"))
    assert [p.caption for p in found.dataset.pictures] == ["ohwx, one, my own words", "ohwx, two, a b thing"]
    assert found.edited == ("a.png",) and "1 text edited by hand, left alone: a.png" in found.lines()
    assert "1 text left alone: edited by hand" in save(found.dataset, "replace").text()
    assert (folder / "a.txt").read_text() == "ohwx, one, my own words"


def test_a_new_caption_goes_before_what_the_journal_says(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": None})
    save(composed(captioned(load(folder)), prefix="one"))
    again = captioned(load(folder), "another text")
    assert composed(again, prefix="two").pictures[0].caption == "two, another text"


def test_a_text_with_an_addition_of_ours_stays_whole(tmp_path: Path) -> None:
    folder = make(tmp_path / "set", {"a": b"mine"})
    save(captioned(load(folder)), "append")
    assert composed(load(folder), prefix="p").pictures[0].caption == "p, mine, a a thing"


def test_a_saved_set_is_stable(tmp_path: Path) -> None:
    """Load, compose, save: once is enough, also in another folder and without the journal."""
    folder = make(tmp_path / "set", {"a": b"A dog sits.", "b": b"A cat runs."})
    recipe = {"trigger": "ohwx", "prefix": "Clean it.", "suffix": "Soft light."}

    def run() -> str:
        return save(composed(load(folder, trigger="ohwx"), **recipe), "replace", replace_yours=True).text()

    assert run().startswith("2 texts written")
    found = texts(folder)
    assert "Nothing to write" in run()
    (folder / ".captions").rename(tmp_path / "gone")
    assert "Nothing to write" in run() and texts(folder) == found


# What the trainer will see


def words_of(caption: str) -> tuple[Length, ...]:
    count = len(caption.split())
    return (Length("l", count, 1 + count // 75, 75), Length("t5xxl", 2 * count))


def test_view(tmp_path: Path) -> None:
    dataset = load(make(tmp_path / "set", {"a": b"x y", "b": b"word " * 100, "c": None}))
    assert view(dataset, 1) == [
        "What the trainer will see:",
        "a.png: x y  [2 words]",
        "... and 2 more",
        "1 empty text: c.png",
    ]
    lines = view(dataset, 2, words_of)
    assert lines[1] == "a.png: x y  [l: 2 tokens, t5xxl: 4 tokens]"
    assert lines[2].endswith("[l: 100 tokens in 2 chunks of 75, t5xxl: 200 tokens]")
    assert "l reads 75 tokens at a time; longer texts are read in several pieces: b.png" in lines
    assert lines[-1] == "Longest: l 100 tokens, t5xxl 200 tokens"
