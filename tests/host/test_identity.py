"""A base model's identity: its content and what is applied to it, whatever it is called."""

from __future__ import annotations

from danlu.host.identity import model_identity

from .support import Base


def test_a_hooked_model_is_like_no_other(base: Base) -> None:
    plain = model_identity(base.patcher)
    first, second = base.patcher.clone(), base.patcher.clone()
    for clone in (first, second):
        clone.set_model_attn1_patch(lambda *args: args)
    identities = [plain, model_identity(first), model_identity(second)]
    assert len(set(identities)) == 3
    assert model_identity(first) == identities[1]


def test_a_clone_with_nothing_on_it_is_the_same_model(base: Base) -> None:
    assert model_identity(base.patcher.clone()) == model_identity(base.patcher)
