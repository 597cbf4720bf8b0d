"""Both directions together, types predicted again, and the overlap filters, on cases made by hand."""

import numpy as np
import pytest

from baselines.plmarker.configuration import NIL, PlMarkerConfig, PlMarkerSettings, RelationClasses
from baselines.plmarker.decoding import ScoredPairs, decode_pairs, without_overlapping_pairs, without_overlaps
from iter_bench.document import Entity, Relation, Schema

SCHEMA = Schema(("per", "org"), ("works_for", "married", "owns"), frozenset({"married"}))


def test_classes():
    """NIL, the symmetric, the directed, then the directed ones inverted; swapping twice changes nothing."""
    classes = RelationClasses(SCHEMA)
    assert len(classes) == 1 + 1 + 2 * 2
    assert classes.names == ("", "married", "works_for", "owns")
    assert classes.inverse == {"married": 1, "works_for": 4, "owns": 5}
    assert classes.swap.tolist() == [0, 1, 4, 5, 2, 3]


@pytest.mark.parametrize("which, kept", [("same_type", "abd"), ("any", "ac"), ("keep", "abcd")])
def test_overlapping_entities(which, kept):
    """b has another type than a; c overlaps only b, which is better, has its type, and may be dropped itself."""
    spans = {
        "a": Entity(0, 3, "per", 0.9),
        "b": Entity(2, 4, "org", 0.8),
        "c": Entity(3, 4, "org", 0.7),
        "d": Entity(2, 6, "loc", 0.6),
    }
    found = without_overlaps(list(spans.values())[::-1], which)
    assert found == [spans[name] for name in kept]


def test_touching_spans_do_not_overlap():
    spans = [Entity(0, 2, "per", 0.9), Entity(2, 3, "per", 0.8)]
    assert without_overlaps(spans, "any") == spans


def test_overlapping_relations():
    """Dropped only if type, head and tail all meet those of a better one that was kept itself."""
    a, a2, b, b2 = Entity(0, 2, "per"), Entity(1, 2, "org"), Entity(4, 6, "org"), Entity(5, 7, "org")
    best, other_type, both_ends = Relation(a, b, "r"), Relation(a2, b2, "s"), Relation(a2, b2, "r")
    turned, one_end = Relation(b2, a2, "r"), Relation(a2, Entity(9, 10, "org"), "r")
    relations = [both_ends, best, other_type, turned, one_end]
    assert without_overlapping_pairs(relations, [-2, -1, -3, -4, -5]) == [best, other_type, turned, one_end]
    assert without_overlapping_pairs(relations, [-1, -2, -3, -4, -5]) == [both_ends, other_type, turned, one_end]


def decode(entities, cells, types=None, **settings):
    """Decodes one document; ``cells``: (subject, object) → class → score, 0 elsewhere; ``types``: likewise → class of type."""
    config = PlMarkerConfig({}, SCHEMA.entity_types, SCHEMA.relation_types, ("married",), PlMarkerSettings(**settings))
    count = len(entities)
    pairs = [(s, o) for s in range(count) for o in range(count) if s != o]
    scores = np.zeros((len(pairs), len(config.relations)))
    kinds = np.array([(types or {}).get(pair, 1) for pair in pairs])
    for row, pair in enumerate(pairs):
        for kind, value in cells.get(pair, {NIL: 1.0}).items():
            scores[row, kind] = value
    scored = ScoredPairs(np.zeros(len(pairs), dtype=int), *np.array(pairs).T, scores, kinds)
    (found,) = decode_pairs(["d"], [entities], scored, config, config.relations)
    return found


A, B, C = Entity(0, 1, "per", 0.5), Entity(2, 3, "per", 0.5), Entity(4, 5, "org", 0.5)


def ends(found):
    return [(r.head.start, r.type, r.tail.start) for r in found.relations]


def test_directions_add_up():
    """Neither direction alone decides: (A, B) says works_for 2 or owns 3, (B, A) inverse works_for 4."""
    assert ends(decode([A, B], {(0, 1): {2: 2.0, 3: 3.0}, (1, 0): {4: 4.0}})) == [(0, "works_for", 2)]
    assert ends(decode([A, B], {(0, 1): {2: 2.0, 3: 3.0}, (1, 0): {NIL: 0.0}})) == [(0, "owns", 2)]
    assert ends(decode([A, B], {(0, 1): {2: 2.0}, (1, 0): {NIL: 3.0}})) == []


def test_inverse_class_turns_the_relation():
    assert ends(decode([A, B], {(0, 1): {5: 2.0}})) == [(2, "owns", 0)]
    assert ends(decode([A, B], {(1, 0): {3: 2.0}})) == [(2, "owns", 0)]


def test_symmetric_relation_stands_once():
    assert ends(decode([A, B], {(0, 1): {1: 2.0}, (1, 0): {1: 2.0}})) == [(0, "married", 2)]


def test_pair_whose_end_is_no_entity_is_dropped():
    cells = {(0, 1): {2: 2.0}, (1, 0): {4: 2.0}}
    assert ends(decode([A, B], cells, {(1, 0): NIL})) == []
    assert ends(decode([A, B], cells, {(0, 1): NIL})) == []
    assert ends(decode([A, B], cells, {(0, 1): NIL}, entity_types="ner")) == [(0, "works_for", 2)]


def test_types_come_from_the_best_relation():
    """A is "org" as object of B and "per" as object of C, whose relation with A is better; B has no other relation."""
    cells = {(0, 1): {2: 2.0}, (0, 2): {2: 5.0}}
    types = {(1, 0): 2, (2, 0): 1, (0, 1): 2, (0, 2): 2}
    found = decode([A, B, C], cells, types)
    assert [e.type for e in found.entities] == ["per", "org", "org"]
    assert [(r.head.type, r.tail.type) for r in found.relations] == [("per", "org")] * 2
    assert all(r.head in found.entities and r.tail in found.entities for r in found.relations)
    assert [e.type for e in decode([A, B, C], cells, types, entity_types="ner").entities] == ["per", "per", "org"]


def test_score_is_the_mean_of_both_directions():
    """Log-probabilities log 0.5 and log 0.2: the geometric mean of the probabilities."""
    cells = {(0, 1): {NIL: -9.0, 1: -9.0, 2: np.log(0.5), 3: -9.0, 4: -9.0, 5: -9.0}}
    cells[1, 0] = {NIL: -9.0, 1: -9.0, 2: -9.0, 3: -9.0, 4: np.log(0.2), 5: -9.0}
    (relation,) = decode([A, B], cells).relations
    assert relation.score == pytest.approx(0.1**0.5)
