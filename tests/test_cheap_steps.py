"""What makes steps on a CPU cheap changes no number: draws of dropout, and AdamW over the rows of an embedding in use."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import dropout, scaled_dot_product_attention

from iter_bench import checkpoints
from iter_bench.dropout import fast_draws
from iter_bench.rowwise import LARGE, RowwiseAdamW, clip_norm, want_rows

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


class Model(nn.Module):
    """A sum over embeddings, used by two layers, beside ordinary weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.words = nn.Embedding(LARGE, 6, padding_idx=0)
        self.places = nn.Embedding(8, 6)
        self.layer = nn.Linear(6, 6)
        self.double()

    def loss(self, ids):
        x = self.words(ids) + self.places(torch.arange(len(ids)))
        again = nn.functional.embedding(ids.flip(0), self.words.weight, sparse=self.words.sparse)
        return (self.layer(x) * again).tanh().sum() * 10


def test_adamw_over_rows_is_adamw(tmp_path):
    """Words come, go and come back; the second half goes on from a checkpoint."""
    batches = [torch.randint(0, 5 + 40 * step, (8,), generator=torch.Generator().manual_seed(step)) for step in range(20)]
    options = {"lr": 0.01, "weight_decay": 0.1, "fused": True}

    def trained(rowwise):
        model = Model()
        if rowwise:
            want_rows(model)
        optimizer = (RowwiseAdamW if rowwise else torch.optim.AdamW)(model.parameters(), **options)
        for step, ids in enumerate(batches):
            if rowwise and step == 10:
                folder = checkpoints.CheckpointFolder(tmp_path, "key")
                folder.store(model, optimizer, [], selected=False)
                model = Model()
                want_rows(model)
                optimizer = RowwiseAdamW(model.parameters(), **options)
                folder.resume(model, optimizer)
            model.loss(ids).backward()
            assert model.words.weight.grad.is_sparse == rowwise
            (clip_norm if rowwise else nn.utils.clip_grad_norm_)(list(model.parameters()), 0.5)
            optimizer.param_groups[0]["lr"] = 0.01 / (1 + step)
            optimizer.step()
            optimizer.zero_grad()
        return model

    start, plain, ours = Model(), trained(False), trained(True)
    for name, wanted in plain.named_parameters():
        torch.testing.assert_close(dict(ours.named_parameters())[name], wanted, rtol=1e-12, atol=1e-12, msg=name)
    assert ((plain.words.weight - start.words.weight).abs().amax(1) > 0.005).sum() > 50
