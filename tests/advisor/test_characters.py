"""The advisor on characters that nobody saw while it was built, trained far too long on purpose.

Judged by a measure that it never reads: the demo's distance, of pictures of prompts that nothing was trained on. Five
characters in turn with two ranks and two learning rates, not each with each: that would take an hour.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pytest
import torch

from danlu.advisor.measures import Evidence
from danlu.advisor.reading import read_evidence
from danlu.advisor.report import report
from danlu.advisor.verdicts import GOOD, NOT_LEARNED, OVER, Judgement, judge
from danlu.training.data import TrainingData
from danlu.training.runs.store import RunHandle

from .. import host_process

host_process.prepare()

from danlu.demo.creature import DANTONG  # noqa: E402
from danlu.demo.dataset import TRIGGER, dataset_scenes, evaluation_scenes  # noqa: E402
from danlu.demo.generate import Base, load_base  # noqa: E402

from .characters import Character, distance, encoded, trained, write_pictures  # noqa: E402 - need the host

pytestmark = pytest.mark.slow
log = logging.getLogger(__name__)

SEEDS = (2101, 2102, 2103, 2104, 2105)
SETTINGS = ((4, 4e-3), (16, 2.5e-3), (16, 4e-3), (4, 4e-3), (16, 2.5e-3))
"""Rank and learning rate of each."""
PICTURES, HELD_OUT, STEPS, EVERY = 3, 4, 500, 50
SPREAD = (50, 200, 350, 500)
"""Evenly: what one gets who picks a checkpoint at random."""
PROMPTS = evaluation_scenes(10)
TURNED = 4
"""Of the five: one character (the fourth) is still drawn better at the last step, by either measure."""
KEPT, KEPT_ON_AVERAGE = 0.6, 0.8
"""Of what the best checkpoint has come nearer to the character than the base, whose distance is 1: the recommended
one's share."""


@dataclass(frozen=True)
class Trial:
    character: Character
    data: TrainingData
    run: RunHandle
    evidence: Evidence
    judgement: Judgement


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of steps at a high rate go another way for the smallest difference: the same everywhere."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(tmp_path_factory.mktemp("clip") / "clip.safetensors")


@pytest.fixture(scope="module")
def trials(base: Base, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return [
        trial(base, tmp_path_factory.mktemp(f"character{seed}"), seed, rank, rate)
        for seed, (rank, rate) in zip(SEEDS, SETTINGS, strict=True)
    ]


def trial(base: Base, folder: Path, seed: int, rank: int, rate: float, steps: int = STEPS) -> Trial:
    """The character of a seed, or with seed 0 the demo's own."""
    character, scenes = Character.of(seed) if seed else Character(DANTONG, TRIGGER), dataset_scenes()
    pictures = write_pictures(character, scenes[:PICTURES], folder / "pictures", seed)
    held_out = write_pictures(character, scenes[-HELD_OUT:], folder / "held out", seed + 1)
    data = encoded(base, character, pictures, held_out, folder / "cache")
    # Averaged weights: with batch 1 and a high rate, single states jump about.
    run = trained(base, data, folder / "runs", steps, EVERY, rank, learning_rate=rate, ema_decay=0.95)
    evidence = read_evidence(run.folder)
    found = Trial(character, data, run, evidence, judge(evidence))
    log.info("character %d, rank %d, learning rate %g\n%s", seed, rank, rate, report(evidence, found.judgement))
    return found


@pytest.fixture(scope="module")
def distances(base: Base, trials: list[Trial]) -> list[Mapping[int, float]]:
    """Of each, by step."""
    found: list[Mapping[int, float]] = []
    for one in trials:
        steps = sorted({one.judgement.ranking[0], *SPREAD})
        found.append({step: distance(base, one.run, step, one.character, PROMPTS) for step in steps})
        log.info("recommended %d of %s", one.judgement.ranking[0], {k: round(v, 3) for k, v in found[-1].items()})
    return found


def states(one: Trial) -> list[str]:
    return [verdict.state for verdict in one.judgement.verdicts]


def check_over_trained(one: Trial) -> None:
    """In the right order, and the recommended checkpoint beats the last one on held-out pictures."""
    assert GOOD in states(one) and states(one)[-1] == OVER
    points = {point.step: point for point in one.evidence.points()}
    best, last = points[one.judgement.ranking[0]], points[STEPS]
    assert best.held_out is not None and last.held_out is not None and best.held_out < last.held_out


def test_verdicts_turn_in_the_right_order(trials: list[Trial]) -> None:
    for one in trials:
        assert states(one) == sorted(states(one), key=(NOT_LEARNED, GOOD, OVER).index)
        assert one.judgement.recommended is not None
    over = [one for one in trials if OVER in states(one)]
    assert len(over) >= TURNED
    for one in over:
        check_over_trained(one)


def test_the_demos_own_character(base: Base, tmp_path: Path) -> None:
    check_over_trained(trial(base, tmp_path, 0, 16, 4e-3))


def test_its_pictures_of_unseen_prompts_keep_most_of_what_the_best_ones_have(
    trials: list[Trial], distances: list[Mapping[int, float]]
) -> None:
    """Most, not all: the distance is that of ten pictures, and says the same of checkpoints side by side."""
    kept = []
    for one, found in zip(trials, distances, strict=True):
        kept.append((1.0 - found[one.judgement.ranking[0]]) / (1.0 - min(found.values())))
    assert min(kept) >= KEPT and fmean(kept) >= KEPT_ON_AVERAGE, kept


def test_it_beats_one_picked_at_random(trials: list[Trial], distances: list[Mapping[int, float]]) -> None:
    picked = [fmean(found[step] for step in SPREAD) for found in distances]
    chosen = [found[one.judgement.ranking[0]] for one, found in zip(trials, distances, strict=True)]
    assert fmean(chosen) < fmean(picked), (chosen, picked)


def test_what_never_learns_gets_no_good(base: Base, tmp_path: Path) -> None:
    never = trial(base, tmp_path, SEEDS[0], 4, 1e-7, steps=3 * EVERY)
    assert {verdict.state for verdict in never.judgement.verdicts} == {NOT_LEARNED}
    assert never.judgement.recommended is None
