"""What JoyCaption is asked."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from danlu.captioning.joy_prompts import (
    Prompt,
    choose,
    custom_prompt,
    kind_of,
    prompt_list,
    table,
    trained_prompt,
)
from danlu.errors import DanluError

PROSE = [
    *("Descriptive", "Descriptive (Casual)", "Straightforward", "Stable Diffusion Prompt", "MidJourney"),
    *("Art Critic", "Product Listing", "Social Media Post"),
]
TAGS = ["Danbooru tag list", "e621 tag list", "Rule34 tag list", "Booru-like tag list"]


def test_the_table_is_complete() -> None:
    types = table()["types"]
    assert sorted(types) == sorted(PROSE + TAGS) and len(types) == 12
    for name, forms in types.items():
        assert forms["kind"] == ("tags" if name in TAGS else "prose"), name
        assert "{" not in forms["any"], name
        assert forms["words"].count("{word_count}") == 1 and "{length}" not in forms["words"], name
        assert forms["length"].count("{length}") == 1 and "{word_count}" not in forms["length"], name
    lengths = table()["lengths"]
    assert lengths[:6] == ["any", "very short", "short", "medium-length", "long", "very long"]
    assert lengths[6:] == [str(number) for number in range(20, 261, 10)]
    assert len(table()["extra"]) == 26 and len(set(table()["extra"].values())) == 26


def test_every_type_at_every_length_is_a_whole_prompt() -> None:
    prompts = {
        (kind, length): trained_prompt(kind, length) for kind in table()["types"] for length in table()["lengths"]
    }
    assert len({prompt.text for prompt in prompts.values()}) == 12 * 31
    for (kind, length), prompt in prompts.items():
        assert not re.search(r"[{}]", prompt.text), kind
        assert prompt.text[-1] == "." and "  " not in prompt.text, kind
        assert length == "any" or length in prompt.text, kind


def test_the_prompts_as_published() -> None:
    assert trained_prompt("Descriptive", "any").text == "Write a detailed description for this image."
    assert trained_prompt("Descriptive", "40").text == (
        "Write a detailed description for this image in 40 words or less."
    )
    assert trained_prompt("Booru-like tag list", "long").text == "Write a long list of Booru-like tags for this image."


def test_extra_options_and_the_name_follow_in_order_and_once() -> None:
    prompt = trained_prompt("Descriptive", "any", ["lighting", "Mention the hat.", "lighting"], name="zorp")
    assert prompt.text == (
        "Write a detailed description for this image. If there is a person/character in the image you must refer to "
        "them as zorp. Include information about lighting. Mention the hat."
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("Poem", "any"), "caption_type.*Poem.*Descriptive"),
        (("Descriptive", "medium"), "length.*'medium'.*medium-length"),
        (("Descriptive", "any", ["name"]), "name"),
    ],
)
def test_what_the_model_does_not_know_is_refused(arguments: tuple, says: str) -> None:
    with pytest.raises(DanluError, match=says):
        trained_prompt(*arguments)


def test_custom_prompts() -> None:
    assert custom_prompt(" Say what {name} wears.\n", name="zorp").text == "Say what zorp wears."
    assert custom_prompt("List the tags of this image.").kind == "tags"
    assert custom_prompt("List the tags of this image.", "prose").kind == "prose"
    assert custom_prompt("Describe the stage.").kind == "prose"


def test_a_list_of_prompts_is_drawn_by_weight_and_seed() -> None:
    prompts = prompt_list("3: Descriptive, short\n\nWhat is this?\nBooru-like tag list", ["no_mood"])
    assert [prompt.weight for prompt in prompts] == [3, 1, 1]
    assert prompts[0] == Prompt(
        "Write a short detailed description for this image. Do not mention the mood/feeling/etc of the image.",
        "prose",
        3,
    )
    assert prompts[1].text == "What is this?" and kind_of(prompts) == "prose" and kind_of(prompts[2:]) == "tags"
    drawn = [choose(prompts, seed).text for seed in range(1000)]
    assert drawn == [choose(prompts, seed).text for seed in range(1000)]
    counts = Counter(drawn)
    assert 550 < counts[prompts[0].text] < 650 and 150 < counts["What is this?"] < 250


def test_a_weight_of_nothing_is_refused() -> None:
    with pytest.raises(DanluError, match="weight of 'a'"):
        prompt_list("0: a")
