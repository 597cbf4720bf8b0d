"""Compiled encoder and decoder: they take effect, give the same, and are left alone where they don't."""

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_compiled_code_takes_effect_with_few_graphs_and_gives_the_same(tiny, encoder, caplog):
    system, documents = tiny(encoder=encoder)
    plain = system.predict(documents, batch_size=5)
    assert sum(len(e.entities) for e in plain) > 20 and sum(len(e.relations) for e in plain) > 20
    assert system.execution["compile"] == "none"
    system.compile(documents[:4])
    found = system.predict(documents, batch_size=5)
    assert found == plain
    for one, other in zip(found, plain, strict=True):
        for ours, theirs in zip((*one.entities, *one.relations), (*other.entities, *other.relations), strict=True):
            assert ours.score == pytest.approx(theirs.score, abs=1e-6)  # norms of T5 are in float32
    read, write = system.module.read, system.module.write
    graphs = f"encoder: inductor, graphs: {read.graphs}; decoder: inductor, graphs: {write.graphs}"
    assert system.execution["compile"] == graphs and read.problem is None and write.problem is None
    assert read.graphs > 0 and 1 <= write.graphs <= 6, "not one a pass, though each pass looks at more outputs"
    assert "iter_bench" not in {record.name for record in caplog.records}


@pytest.mark.usefixtures("doubling_compiler")
def test_a_compiler_that_errs_is_told_and_not_used(tiny, caplog):
    system, documents = tiny(count=4)
    plain = system.predict(documents)
    system.compile(documents)
    assert system.execution["compile"].count("none: ") == 2
    assert "asp's encoder runs without compiling: compiled, its states are 1.0e+00 apart" in caplog.text
    assert "asp's decoder runs without compiling" in caplog.text and system.predict(documents) == plain
