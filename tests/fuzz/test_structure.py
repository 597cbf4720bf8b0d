"""A record whose parts are exchanged or missing is refused, or `iter-bench verify` checks it to the end."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from pydantic import ValidationError
from record_examples import record
from throughput_examples import measured

from iter_bench.throughput import check
from iter_bench.verify import check_record

MISSING = object()
VALUES = (MISSING, None, 0, -1, 0.25, 1e-320, 1e300, 10**400, "", [], {})
WORK = {"flops": 2e9, "seconds": 0.004, "share": 0.4}
CEILING = {"dtype": "float32", "flops": 1e12, "matrix": 512, "copy_rate": 1e10}
RECORDS = {"run": (record(), check_record), "throughput": (measured(work=WORK, ceiling=CEILING), check.check_record)}


def places(node, at=()) -> Iterator[tuple]:
    """Where something stands in a record; of a list in its first two entries."""
    entries = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*at, key)
        yield from places(value, (*at, key))


@contextmanager
def changed(content, place, value):
    """The content with another value at that place, or none; put back afterwards, since a copy of the whole takes longer."""
    *way, last = place
    node = content
    for key in way:
        node = node[key]
    before = copy.copy(node)
    if value is MISSING:
        del node[last]
    else:
        node[last] = value
    try:
        yield content
    finally:
        node.clear()
        (node.extend if isinstance(node, list) else node.update)(before)


@pytest.mark.parametrize("name", RECORDS)
def test_whatever_the_schema_accepts_is_checked_to_the_end(name):
    good, checks = RECORDS[name]
    content = json.loads(good.model_dump_json(by_alias=True))
    refused = named = 0
    for place, value in product(list(places(content)), VALUES):
        with changed(content, place, value) as other:
            try:
                accepted = type(good).model_validate(other)
            except ValidationError:
                refused += 1
                continue
            try:
                named += bool(list(checks(accepted, good.file_name)))
            except Exception as error:
                raise AssertionError(f"{'.'.join(map(str, place))} = {value!r:.20}: {error!r}") from error
    assert refused > named > 0
    assert content == json.loads(good.model_dump_json(by_alias=True)), "put back each time"
