"""Which pictures are held out, and that nothing is trained on them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from danlu.training.batches import BatchPlan
from danlu.training.held_out import held_out_keys, some_of, with_validation

from .toys import entry, training_data


@pytest.mark.parametrize(("images", "held_out"), [(4, 0), (11, 0), (12, 1), (24, 2), (80, 8), (500, 8)])
def test_how_many(images: int, held_out: int) -> None:
    data = with_validation(training_data(images), "auto")
    assert len(data.validation) == held_out and len(data.trained) == images - held_out
    assert data.image_count == images - held_out
    assert data.entries == training_data(images).entries or held_out


@pytest.mark.parametrize(("images", "held_out"), [(1, 0), (2, 1), (11, 1), (24, 2)])
def test_how_many_where_it_is_asked_for(images: int, held_out: int) -> None:
    assert len(with_validation(training_data(images), "on").validation) == held_out


def test_a_picture_more_changes_one_at_most() -> None:
    keys = [f"content {i}" for i in range(60)]
    for key in ("new", "another", "a third"):
        before, now = held_out_keys(keys), held_out_keys([*keys, key])
        assert len(before - now) <= 1 and len(now - before) <= 1


def test_names_and_order_play_no_part() -> None:
    data = training_data(30)
    renamed = replace(data, entries=tuple(replace(e, name=f"z{e.name}") for e in reversed(data.entries)))
    chosen = [{e.image_key for e in with_validation(d, "auto").validation} for d in (data, renamed)]
    assert chosen[0] == chosen[1]


def test_all_sizes_and_doubles_of_a_picture_go_together() -> None:
    entries = training_data(24).entries
    both = (*entries, *(replace(e, latent_key=f"{e.latent_key} large", target_size=(64, 64)) for e in entries))
    data = with_validation(training_data(entries=both), "auto")
    held = {e.image_key for e in data.validation}
    assert len(held) == 2 and len(data.validation) == 4
    assert not held & {e.image_key for e in data.trained}
    assert {e.target_size for e in some_of(data.validation, 8)} == {(32, 32)}


def test_it_is_part_of_what_a_run_is_and_told() -> None:
    data = training_data(24)
    held = with_validation(data, "auto")
    assert held.fingerprint != data.fingerprint
    assert all(e.name in held.notes[-1] for e in held.validation) and "never trained on" in held.notes[-1]
    seen = {e.image_key for index in range(100) for e in BatchPlan.of(held.trained, 1, 0).rows(index)}
    assert len(seen) == 22 and not seen & {e.image_key for e in held.validation}


def test_off_and_a_folder_of_its_own_hold_nothing_out() -> None:
    data = training_data(24)
    assert with_validation(data, "off") == data
    own = replace(data, entries=(*data.entries, replace(entry("other"), role="validation")))
    assert with_validation(own, "auto") == own
