"""Classes of mistakes against hand counts, and against the scorer on random annotations."""

from hypothesis import given, settings
from hypothesis import strategies as st

from iter_bench import mistakes, scoring
from iter_bench.document import Document, Entity, Extraction, Relation, Schema

SCHEMA = Schema(("PER", "LOC", "ORG"), ("lives_in", "born_in", "spouse"), frozenset({"spouse"}))
WORDS = tuple(f"w{i}" for i in range(16))
ANN, BOB, YORK, ACME, ROME = (
    Entity(0, 1, "PER"),
    Entity(2, 3, "PER"),
    Entity(4, 6, "LOC"),
    Entity(8, 10, "ORG"),
    Entity(12, 13, "LOC"),
)
ENTITIES = (ANN, BOB, YORK, ACME, ROME)


def counted(gold, found):
    return mistakes.count([Document("1", WORDS, *gold)], [Extraction("1", *found)], SCHEMA)


def some(counts):
    return {name: count for name, count in counts.items() if count}


def test_entities_by_hand():
    found = (
        ANN,  # hit
        Entity(2, 3, "LOC"),  # right borders, wrong type
        Entity(5, 6, "LOC"),  # right type, wrong border
        Entity(4, 5, "LOC"),  # as near, but New York is taken: spurious
        Entity(9, 11, "PER"),  # overlaps Acme, else wrong
        Entity(14, 15, "PER"),  # nothing there
    )
    counts = counted((ENTITIES,), (found,))["entities"]
    assert counts == {"hit": 1, "type": 1, "boundary": 1, "both": 1, "missed": 1, "spurious": 2}, "Rome was missed"


def test_a_nested_entity_is_paired_with_its_nearest():
    inner, outer = Entity(0, 1, "LOC"), Entity(0, 3, "LOC")
    counts = counted(((inner, outer),), ((inner, Entity(0, 4, "LOC")),))["entities"]
    assert some(counts) == {"hit": 1, "boundary": 1}


def test_relations_by_hand():
    gold = (
        Relation(ANN, BOB, "spouse"),
        Relation(ANN, YORK, "lives_in"),
        Relation(BOB, YORK, "born_in"),
        Relation(BOB, ACME, "lives_in"),
        Relation(ANN, ROME, "born_in"),
    )
    acme = Entity(8, 9, "ORG")
    found = (
        Relation(BOB, ANN, "spouse"),  # hit: the pair is unordered
        Relation(YORK, ANN, "lives_in"),  # direction
        Relation(BOB, YORK, "lives_in"),  # type
        Relation(BOB, acme, "lives_in"),  # an end with a wrong border
        Relation(ANN, BOB, "born_in"),  # the pair is taken; between right entities
        Relation(ANN, acme, "born_in"),  # one entity is wrong
    )
    counts = counted((ENTITIES, gold), ((ANN, BOB, YORK, acme), found))
    assert counts["relations"] == {
        "hit": 1,
        "direction": 1,
        "type": 1,
        "entities": 1,
        "missed": 0,
        "missed entity": 1,  # Rome wasn't found
        "spurious": 1,
        "spurious entity": 1,
    }
    assert counts["given"] == {"gold": 3, "predicted": 4}, "of 5 and 6 relations, those without Acme and Rome"
    counts = counted((ENTITIES, gold), (ENTITIES, ()))
    assert some(counts["relations"]) == {"missed": 5} and counts["given"] == {"gold": 5, "predicted": 0}


def test_no_relation_types_no_relations():
    assert set(mistakes.count([Document("1", WORDS, ENTITIES)], [Extraction("1")], Schema(("PER", "LOC", "ORG")))) == {
        "entities"
    }


@st.composite
def annotations(draw):
    spans = st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from(SCHEMA.entity_types))
    entities = draw(st.lists(spans.map(lambda s: Entity(s[0], s[0] + s[1], s[2])), unique=True, max_size=6))
    if len(entities) < 2:
        return tuple(entities), ()
    pairs = st.lists(st.sampled_from(entities), min_size=2, max_size=2, unique=True)
    made = st.tuples(pairs, st.sampled_from(SCHEMA.relation_types)).map(lambda p: Relation(*p[0], p[1]))
    relations = {SCHEMA.ordered(relation) for relation in draw(st.lists(made, max_size=6))}
    return tuple(entities), tuple(sorted(relations))


@settings(max_examples=60, deadline=None)
@given(annotations(), annotations())
def test_the_classes_add_up_to_the_scorers_counts(gold, found):
    document, extraction = Document("1", WORDS, *gold), Extraction("1", *found)
    counts = mistakes.count([document], [extraction], SCHEMA)
    for kind, criterion in (("entities", "ner"), ("relations", "re_plus")):
        ((hit, extra, lost),) = scoring.per_document_counts([document], [extraction], SCHEMA, "strict", criterion)
        assert mistakes.totals(counts[kind]) == (hit, extra, lost)
