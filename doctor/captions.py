"""Texts that are missing, the same, without the trigger, of two kinds, or longer than what is read."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from ..dataset.captions import without_trigger
from ..dataset.model import counted
from .finding import Finding, Severity, Subject, Thresholds, about, named

CLIP_WORDS = 55
"""About 75 tokens, all that the text encoders of SD1.5 and SDXL read at once."""
T5_WORDS = 350
"""About 500 tokens, all that those of Flux and its kind read."""
SEVERAL = 3
"""As few pictures with the same text are no pattern."""
ENOUGH_WORDS = 12
"""Shorter captions that differ in one word say different things."""
_WORD = re.compile(r"[^\W_]+")
_MARK = "\x00"


def captions(subjects: Sequence[Subject], limits: Thresholds) -> Iterator[Finding]:
    trained = [s for s in subjects if s.part.role == "train"]
    yield from _missing([s for s in subjects if s.part.role != "validation"])
    yield from _same([s for s in trained if own_words(s)], limits)
    yield from _nearly_same([s for s in trained if own_words(s)], limits)
    yield from _trigger(subjects, trained)
    yield from _mixed([s for s in trained if own_words(s)])
    yield from _long(subjects)


def own_words(subject: Subject) -> list[str]:
    """Of the caption without the trigger, in lower case."""
    return _WORD.findall(without_trigger(subject.picture.caption, subject.part.trigger).lower())


def _missing(subjects: Sequence[Subject]) -> Iterator[Finding]:
    bare = [s for s in subjects if not own_words(s)]
    all_of_them = len(bare) == len(subjects)
    yield from about(
        "no caption",
        Severity.NOTE if all_of_them and any(s.part.trigger for s in bare) else Severity.WARNING,
        bare,
        "with no text but the trigger",
        "Caption them: with the trigger alone, the LoRA learns clothes and backgrounds as part of it.",
    )


def _same(subjects: Sequence[Subject], limits: Thresholds) -> Iterator[Finding]:
    """The same words, in whatever order and case."""
    groups: dict[tuple[str, ...], list[Subject]] = defaultdict(list)
    for subject in subjects:
        groups[tuple(sorted(own_words(subject)))].append(subject)
    same = [s for group in groups.values() if len(group) > 1 for s in group]
    most = max((len(group) for group in groups.values()), default=0)
    if same:
        many = most >= SEVERAL and len(same) > limits.same_captions * len(subjects)
        yield Finding(
            "same caption",
            Severity.WARNING if many else Severity.NOTE,
            tuple(s.number for s in same),
            f"{counted(len(same), 'image')} with the same words as another: {named(same)}",
            "Say what differs from picture to picture; what no caption tells apart becomes one with the trigger.",
        )


def _nearly_same(subjects: Sequence[Subject], limits: Thresholds) -> Iterator[Finding]:
    """All words but one, of at least ENOUGH_WORDS different ones."""
    holders: dict[frozenset[str], dict[frozenset[str], int]] = defaultdict(dict)
    for subject in subjects:
        own = frozenset(own_words(subject))
        if len(own) >= ENOUGH_WORDS:
            for rest in (own, *(own - {word} for word in own)):
                holders[rest][own] = subject.number
    alike = {number for others in holders.values() if len(others) > 1 for number in others.values()}
    found = [s for s in subjects if s.number in alike]
    many = len(found) > limits.same_captions * len(subjects)
    yield from about(
        "like captions",
        Severity.WARNING if many else Severity.NOTE,
        found,
        "with all words but one as another has",
        "Read them: captioners repeat themselves where they see little.",
    )


def _trigger(subjects: Sequence[Subject], trained: Sequence[Subject]) -> Iterator[Finding]:
    lacking = [s for s in trained if s.part.trigger and not _holds(s)]
    yield from about(
        "no trigger",
        Severity.PROBLEM,
        lacking,
        "without the trigger in the caption",
        "Type the trigger at Load Dataset (Danlu): it is put in front where it is missing.",
    )
    if trained and not any(s.part.trigger for s in trained) and not _common_word(trained):
        yield Finding(
            "no trigger",
            Severity.NOTE,
            (),
            "There is no trigger, and no word that all captions share.",
            "Right for a style that is always on; else type a trigger at Load Dataset (Danlu).",
        )
    triggers = {s.part.trigger for s in trained if s.part.trigger}
    held = [s for s in subjects if s.part.role == "regularisation" and any(_says(s, word) for word in triggers)]
    yield from about(
        "trigger in regularisation",
        Severity.PROBLEM,
        held,
        "for regularisation with the trigger in the caption",
        "Take it out: they show what the trigger is not.",
    )


def _holds(subject: Subject) -> bool:
    return _says(subject, subject.part.trigger)


def _says(subject: Subject, word: str) -> bool:
    return _MARK in without_trigger(subject.picture.caption, word, _MARK)


def _common_word(subjects: Sequence[Subject]) -> bool:
    """One of more than three letters, as an invented name or a class is."""
    counts = Counter(word for s in subjects for word in set(own_words(s)) if len(word) > 3)
    return bool(counts) and counts.most_common(1)[0][1] == len(subjects)


def _mixed(subjects: Sequence[Subject]) -> Iterator[Finding]:
    texts = {s.number: without_trigger(s.picture.caption, s.part.trigger) for s in subjects}
    tags = [s for s in subjects if is_tags(texts[s.number])]
    prose = [s for s in subjects if is_prose(texts[s.number])]
    few, kind, other = min((tags, "tags", "sentences"), (prose, "sentences", "tags"), key=lambda found: len(found[0]))
    if few and len(few) >= 0.1 * len(subjects) and len(few) < len(subjects) // 2 + 1:
        yield from about(
            "tags and prose",
            Severity.WARNING,
            few,
            f"captioned in {kind}, others in {other}",
            "Caption all of them the same way, the way that you will write prompts.",
        )


def is_tags(text: str) -> bool:
    """Four or more parts between commas, of two words or less on average."""
    parts = [part.split() for part in text.split(",") if part.strip()]
    return len(parts) >= 4 and sum(map(len, parts)) <= 2.5 * len(parts)


def is_prose(text: str) -> bool:
    """Parts between commas of five words or more on average."""
    parts = [part.split() for part in text.split(",") if part.strip()]
    return bool(parts) and sum(map(len, parts)) >= 5 * len(parts)


def _long(subjects: Sequence[Subject]) -> Iterator[Finding]:
    lengths = {s.number: len(_WORD.findall(s.picture.caption)) for s in subjects}
    far = [s for s in subjects if lengths[s.number] > T5_WORDS]
    yield from about(
        "long caption",
        Severity.WARNING,
        far,
        f"with more than {T5_WORDS} words",
        "Shorten them: no text encoder reads the end.",
    )
    over = [s for s in subjects if CLIP_WORDS < lengths[s.number] <= T5_WORDS]
    yield from about(
        "long for CLIP",
        Severity.NOTE,
        over,
        f"with more than {CLIP_WORDS} words",
        "Fine for Flux, Qwen and their kind; what comes after about 75 tokens counts less with SD1.5 and SDXL.",
    )
