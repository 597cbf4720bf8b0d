from hypothesis import given
from hypothesis import strategies as st

from iter_bench.batching import by_length


@given(st.lists(st.integers(1, 600)), st.integers(1, 9), st.none() | st.integers(1, 900))
def test_every_sample_is_in_one_batch_that_is_as_large_as_the_limits_allow(lengths, batch_size, tokens):
    batches = list(by_length(lengths, batch_size, tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(lengths, reverse=True)
    for number, batch in enumerate(batches, 1):
        padded = max(lengths[i] for i in batch) * (len(batch) + 1)
        assert len(batch) <= batch_size
        assert len(batch) == 1 or tokens is None or padded - lengths[batch[0]] <= tokens
        assert len(batch) == batch_size or number == len(batches) or padded > tokens
