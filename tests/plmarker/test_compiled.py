"""Compiled encoders of both stages: they take effect, give the same, and are left alone where they don't."""

import pytest

pytestmark = pytest.mark.slow


def test_compiled_encoders_take_effect_with_few_graphs_and_give_the_same(tiny, caplog):
    system, documents = tiny(count=12)
    plain = system.predict(documents, batch_size=5)
    assert sum(len(e.entities) for e in plain) > 20 and sum(len(e.relations) for e in plain) > 20
    assert system.execution["compile"] == "none"
    system.compile(documents[:3])
    assert system.predict(documents, batch_size=5) == plain
    stages = {"ner": system.ner, "re": system.relation}
    paths = {name: stage.module.paths["shared_text"] for name, stage in stages.items()}
    assert system.execution["compile"] == "; ".join(f"{name}: inductor, graphs: {p.graphs}" for name, p in paths.items())
    assert all(1 <= path.graphs <= 4 and path.problem is None for path in paths.values()), "with and without padding"
    assert "iter_bench" not in {record.name for record in caplog.records}


@pytest.mark.usefixtures("doubling_compiler")
def test_a_compiler_that_errs_is_told_and_not_used(tiny, caplog):
    system, documents = tiny(count=4)
    plain = system.predict(documents)
    system.compile(documents)
    assert system.execution["compile"].count("none: compiled, its states are 1.0e+00 apart") == 2
    assert "plmarker's encoder (re) runs without compiling" in caplog.text and system.predict(documents) == plain
