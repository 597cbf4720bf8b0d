import pytest

from iter_bench.data import ade, catalogue
from iter_bench.document import Document, Entity, Relation
from iter_bench.errors import DataError

SCHEMA = catalogue.entry("ade").schema
SENTENCE = "Rash and a worse rash after non-Xol, rashes later (Xol)."
FIRST = 1000  # where the sentence begins in its document


def line(effect: tuple[str, int], drug: tuple[str, int], sentence: str = SENTENCE, pubmed: str = "77") -> str:
    cells = [pubmed, sentence]
    for text, at in (effect, drug):
        cells += [text, str(FIRST + at), str(FIRST + at + len(text))]
    return "|".join(cells)


# "rash" stands at 17 and, within "rashes", at 37; "Xol" at 32 and 51: only the offsets tell which is meant.
LINES = [line(("rash", 37), ("Xol", 51)), line(("worse rash", 11), ("Xol", 32)), line(("rash", 17), ("Xol", 51))]


def test_spans_are_found_by_their_offsets_and_cut_words(make):
    ((document,), notes) = ade.read(make("\n".join(LINES)), SCHEMA)
    words = "Rash and a worse rash after non - Xol , rash es later ( Xol ) .".split()
    assert document.words == tuple(words) and document.id == "77/0"
    worse, rash, rashes = (Entity(*span, "Adverse-Effect") for span in ((3, 5), (4, 5), (10, 11)))
    near, far = Entity(8, 9, "Drug"), Entity(14, 15, "Drug")
    assert document.entities == (worse, rash, near, rashes, far)
    pairs = ((rashes, far), (worse, near), (rash, far))
    assert document.relations == tuple(Relation(*pair, "Adverse-Effect") for pair in pairs)
    assert notes == {"words split at the border of an entity": 1}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("77|too|few", "wrong column count"),
        (line(("rash", 17), ("Xol", 51)).replace("|1017|", "|x|"), "Adverse-Effect: wrong value"),
        (line(("rash", 17), ("Xol", 51)).replace("|1017|", "|1021|"), "Adverse-Effect: start is not before end"),
        (line(("rash", 17), ("Xol", 51)).replace("|1017|", "|1016|"), "Adverse-Effect: offsets out of range"),
        (line(("fever", 17), ("Xol", 51)), "offsets: span not found (no place"),
        (line(("rash", 18), ("Xol", 51)), "offsets: span not found (no place"),
        (line(("aa", 0), ("aa", 0), "aaaa"), "offsets: span not found (several places"),
    ],
)
def test_bad_lines_take_their_sentence_along(make, bad, message):
    good = line(("gout", 0), ("Zed", 8), "gout by Zed", "5")
    path = make("\n".join([good, bad]))
    with pytest.raises(DataError) as error:
        ade.read(path, SCHEMA)
    assert f"{path}, line 2" in str(error.value) and message in str(error.value)
    documents, notes = ade.read(path, SCHEMA, skip_bad=True)
    assert [d.id for d in documents] == ["5/0"]
    assert sum(n for what, n in notes.items() if what.startswith("skipped records")) == 1


@pytest.mark.parametrize("harm", [lambda bad: bad + b"|0", lambda bad: bad.rsplit(b"|", 1)[0], lambda bad: bad + b"\xff"])
def test_a_line_that_cannot_be_read_takes_the_others_of_its_sentence_along(tmp_path, harm):
    lines = [
        line(("gout", 0), ("Zed", 8), "gout by Zed", "5"),
        line(("rash", 17), ("Xol", 51)),
        line(("Worse", 0), ("Xol", 51)),
    ]
    path = tmp_path / "ade.rel"
    path.write_bytes(b"\n".join([*(text.encode() for text in lines[:2]), harm(lines[2].encode())]))
    documents, notes = ade.read(path, SCHEMA, skip_bad=True)
    assert [d.id for d in documents] == ["5/0"]
    assert notes["sentences left out because a line of theirs is bad"] == 1


def test_folds_part_the_documents_whatever_their_order():
    documents = [Document(str(i), ("a",)) for i in range(103)]
    folds = ade.folds_of(documents, 10, seed=1)
    assert sorted(folds.count(f) for f in range(10)) == [10] * 7 + [11] * 3
    assert dict(zip(range(103), folds, strict=True)) == dict(
        zip(reversed(range(103)), ade.folds_of(documents[::-1], 10, seed=1), strict=True)
    )
    assert ade.folds_of(documents, 10, seed=2) != folds
