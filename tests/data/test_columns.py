import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import BILOU, IOB1, IOB2, Entities

from iter_bench.data import columns, context
from iter_bench.document import Entity, Schema
from iter_bench.errors import DataError

SCHEMES = {"iob1": IOB1, "iob2": IOB2, "bilou": BILOU}
NER = Schema(("PER", "LOC"))


@st.composite
def flat_spans(draw) -> tuple[int, list[columns.Span]]:
    """A sentence's length and entities in it, drawn as the lengths of gaps and entities."""
    spans, position = [], 0
    for gap, length, type_ in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("AB")))):
        spans.append((position + gap, position + gap + length, type_))
        position += gap + length
    return position + draw(st.integers(0, 2)), spans


def tags_of(length: int, spans: list[columns.Span], scheme: str) -> list[str]:
    tags = ["O"] * length
    for i, (start, end, type_) in enumerate(spans):
        touches = i > 0 and spans[i - 1][1:] == (start, type_)
        for k in range(start, end):
            first, last = k == start, k == end - 1
            if scheme == "bilou":
                prefix = "U" if first and last else "B" if first else "L" if last else "I"
            else:
                prefix = "B" if first and (scheme == "iob2" or touches) else "I"
            tags[k] = f"{prefix}-{type_}"
    return tags


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(flat_spans())
def test_tags_are_read_as_they_were_made_and_as_seqeval_reads_them(scheme, drawn):
    length, spans = drawn
    tags = tags_of(length, spans, scheme)
    assert columns.spans_of(tags, scheme) == spans
    (theirs,) = Entities([tags], SCHEMES[scheme]).entities if tags else ([],)
    assert [(e.start, e.end, e.tag) for e in theirs] == spans
    if scheme == "iob2":
        assert columns.spans_of(tags, "iob1") == spans


@pytest.mark.parametrize(
    ("scheme", "tags", "index"),
    [
        ("iob2", "O I-A", 1),
        ("iob2", "B-A I-B", 1),
        ("iob2", "B-A L-A", 1),
        ("iob2", "B", 0),
        ("iob2", "B-", 0),
        ("iob2", "o", 0),
        ("iob1", "U-A", 0),
        ("bilou", "B-A O", 1),
        ("bilou", "B-A", 0),
        ("bilou", "B-A I-A", 1),
        ("bilou", "L-A", 0),
        ("bilou", "B-A L-B", 1),
        ("bilou", "U-A I-A", 1),
    ],
)
def test_sequences_outside_the_scheme_are_refused(scheme, tags, index):
    with pytest.raises(columns.InvalidTags) as error:
        columns.spans_of(tags.split(), scheme)
    assert error.value.index == index


CONLL03 = """-DOCSTART- -X- O O

Ann NNP I-NP I-PER
Lee NNP I-NP I-PER
Bo NNP I-NP B-PER
left VBD I-VP O

Rome NNP I-NP I-LOC

-DOCSTART- -X- O O

She PRP I-NP O
slept VBD I-VP O
"""


def read(path, **kwargs):
    return columns.read(path, NER, scheme="iob1", columns=4, **kwargs)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_docstart_parts_texts_and_empty_lines_sentences(make, newline):
    path = make(CONLL03.replace("\n", newline).encode())
    (first, second), notes = read(path)
    assert first.words == ("Ann", "Lee", "Bo", "left", "Rome") and first.sentences == ((0, 4), (4, 5))
    assert first.entities == (Entity(0, 2, "PER"), Entity(2, 3, "PER"), Entity(4, 5, "LOC"))
    assert second.words == ("She", "slept") and notes == {}
    assert columns.has_texts(path)


def test_without_docstart_every_sentence_is_a_record(make):
    path = make("\n\nAnn x x I-PER\n\n\nRome x x I-LOC")
    documents, _ = read(path)
    assert [(d.words, d.entities) for d in documents] == [
        (("Ann",), (Entity(0, 1, "PER"),)),
        (("Rome",), (Entity(0, 1, "LOC"),)),
    ]
    assert not columns.has_texts(path)


def test_nested_layers_are_one_column_each(make):
    path = make("the\tB-LOC\tO\nold\tI-LOC\tB-PER\ntown\tI-LOC\tI-PER\n")
    ((document,), _) = columns.read(path, NER, scheme="iob2", columns=3, tag_columns=2)
    assert document.entities == (Entity(0, 3, "LOC"), Entity(1, 3, "PER"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"Ann NNP I-PER", "line 4: wrong column count (3, should be 4)"),
        (b"Ann NNP I-NP X-PER", "line 4, column 4: invalid tag sequence"),
        (b"Ann NNP I-NP I-DOG", "line 4, column 4: unknown type"),
        (b"\xff NNP I-NP O", "line 4: broken encoding"),
        ("\u2003 NNP I-NP O".encode(), "words[1]: empty words"),
    ],
)
def test_bad_lines_are_told_and_their_text_is_left_out(make, line, message):
    path = make(b"-DOCSTART- -X- O O\n\nAnn NNP I-NP I-PER\n" + line + b"\n\n" + CONLL03.encode())
    with pytest.raises(DataError) as error:
        read(path)
    assert f"{path}, text at line 3, {message}" in str(error.value)
    documents, notes = read(path, skip_bad=True)
    assert len(documents) == 2 and list(notes.values()) == [1]


def test_a_text_is_cut_by_sentence_with_context_or_by_length(make):
    (text, _), _ = read(make(CONLL03))
    (one, two), lost = context.by_sentence(text, 3)
    assert (one.words, one.context_before, one.context_after) == (text.words[:4], (), ("Rome",))
    assert (two.words, two.context_before, two.context_after) == (("Rome",), ("Lee", "Bo", "left"), ())
    assert two.entities == (Entity(0, 1, "LOC"),) and not lost
    assert [d.words for d in context.by_length(text, 3)[0]] == [text.words[:4], ("Rome",)]
    assert context.by_length(text, 4)[0] == [text]
