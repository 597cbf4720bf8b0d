"""However a file is damaged, a load ends in documents or in a DataError, never in another exception."""

import copy
import json
from pathlib import Path

import pytest
from fuzzing import ANNOTATED, DYGIE, SCHEMA, SPERT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iter_bench.data import spert
from iter_bench.document import Document
from iter_bench.errors import DataError

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
cut = st.tuples(
    st.integers(0, 600), st.integers(0, 3), st.one_of(st.binary(max_size=3), st.text('|\n\t -OBI019{}[]",:.é', max_size=3))
)


def load(read, path: Path, skip_bad: bool) -> None:
    try:
        documents = read(path, skip_bad)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(document, Document) for document in documents)


@pytest.mark.parametrize("name", ANNOTATED)
@quick
@given(cuts=st.lists(cut, min_size=1, max_size=3), skip_bad=st.booleans())
def test_damaged_bytes(tmp_path, name, cuts, skip_bad):
    text, read = ANNOTATED[name]
    data = text.encode()
    for at, length, new in cuts:
        at %= len(data) + 1
        data = data[:at] + (new if isinstance(new, bytes) else new.encode()) + data[at + length :]
    path = tmp_path / "file"
    path.write_bytes(data)
    load(read, path, skip_bad)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 9),
    st.just(10**30),
    st.floats(allow_nan=True),
    st.sampled_from(["", " ", "a", "Drug", "with", "\ud800", "0", "<extra_id_22>", "<extra_id_23>"]),
    st.sampled_from([[], {}, [[]], [None], {"type": "Drug"}, ["a", "b"], [0, 0, "Drug"]]),
)


def places(node: object) -> list[tuple[object, object]]:
    """(container, key) of every value in a JSON document."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    return [place for key in keys for place in [(node, key), *places(node[key])]]


@pytest.mark.parametrize(("name", "content"), [("spert.json", SPERT), ("dygie.json", DYGIE)])
@quick
@given(data=st.data(), skip_bad=st.booleans())
def test_damaged_values(tmp_path, name, content, data, skip_bad):
    content = copy.deepcopy(content)
    for _ in range(data.draw(st.integers(1, 3))):
        if not (here := places(content)):
            break
        container, key = data.draw(st.sampled_from(here))
        if isinstance(container, dict) and data.draw(st.booleans()):
            del container[key]
        else:
            container[key] = copy.deepcopy(data.draw(values))
    path = tmp_path / "file"
    path.write_text(json.dumps(content))
    load(ANNOTATED[name][1], path, skip_bad)
    if name == "spert.json":
        gold = [Document("one", ("a", "b")), Document("2", ("c",))]
        load(lambda file, _: spert.read_predictions(file, SCHEMA, gold) and gold, path, skip_bad)
        load(lambda file, _: spert.read_types(file) and [], path, skip_bad)
