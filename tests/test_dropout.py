"""Dropout drawn by a faster generator is dropout all the same."""

import math

import pytest
import torch
from torch.nn.functional import dropout, scaled_dot_product_attention

from iter_bench.dropout import fast_draws

CPU = torch.device("cpu")


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_draws_are_those_of_dropout(rate):
    """Each is independent of those beside and below it and in the next call; what is kept is scaled up, and so its gradient."""
    torch.manual_seed(1)
    x = torch.ones(999, 1001, requires_grad=True)
    with fast_draws(CPU):
        first, second = dropout(x, rate), dropout(x, rate)
    (gradient,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(gradient, first)
    kept = first > 0
    torch.testing.assert_close(first[kept], torch.full_like(first[kept], 1 / (1 - rate)))
    variance = rate * (1 - rate)
    assert abs(kept.double().mean() - (1 - rate)) < 5 * math.sqrt(variance / x.numel())
    away = kept.double() - (1 - rate)
    for other in (away.roll(1, 0), away.roll(1, 1), away.roll(4, 1), (second > 0).double() - (1 - rate)):
        assert abs((away * other).mean()) < 5 * variance / math.sqrt(x.numel())


@pytest.mark.parametrize("certain", [0.0, 1.0, 1 - 1e-9])
def test_what_is_certain_is_drawn_so(certain):
    with fast_draws(CPU):
        assert torch.equal(torch.empty(1001).bernoulli_(certain), torch.full((1001,), round(certain, 3)))


def test_draws_reach_attention_and_follow_from_the_seed():
    def attended(seed):
        torch.manual_seed(seed)
        states = torch.eye(64)[None, None]
        with fast_draws(CPU):
            return scaled_dot_product_attention(states, states, states, dropout_p=0.5)

    assert 0.45 < (attended(1) > 0).double().mean() < 0.55
    assert torch.equal(attended(1), attended(1))
    assert not torch.equal(attended(1), attended(2))
    torch.manual_seed(1)
    plain = dropout(torch.ones(100))
    attended(1)
    torch.manual_seed(1)
    assert torch.equal(dropout(torch.ones(100)), plain)  # torch draws as ever afterwards
