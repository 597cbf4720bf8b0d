"""Windows against transformers' own reading of word lists, hand-counted cuts, and gold → windows → merge → gold."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from iter_bench.document import CONTEXT_MARKERS, Document, Entity, Extraction, Relation
from iter_bench.encoders import load_tokenizer
from iter_bench.errors import SettingsError
from iter_bench.tokenization import WindowTokenizer
from iter_bench.windows import Window

TEXT = ["the cat sat on the hat of an old man in Berlin", "don't tell the U.S. (or 1,234 others) about it"] * 5
MINILM = load_tokenizer("minilm")
NO_SUBTOKENS = ["\u200b", "\x01", "\ufeff"]  # MiniLM's normaliser removes them
WORDS = st.one_of(
    st.sampled_from(["the", "cat", "Berlin", "don't", "U.S.", "antidisestablishmentarianism", "1,234,567.89", *NO_SUBTOKENS]),
    st.text(min_size=1, max_size=12).filter(lambda word: not word.isspace()),
)


def _byte_level_bpe() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>"]
    backend.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    )
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", add_prefix_space=True)


def _unigram() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>"]
    backend.train_from_iterator(
        TEXT, trainers.UnigramTrainer(vocab_size=80, special_tokens=special, show_progress=False, unk_token="<unk>")
    )
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>")


TOKENIZERS = {"wordpiece": MINILM, "byte-level BPE": _byte_level_bpe(), "unigram": _unigram()}


def _document(words, entities=(), relations=(), **more) -> Document:
    return Document("d", tuple(words), tuple(entities), tuple(relations), **more)


def _one(window_tokenizer: WindowTokenizer, document: Document) -> list[Window]:
    return window_tokenizer.windows([document])


# --- one window -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(lists=st.lists(st.lists(WORDS, min_size=1, max_size=12), min_size=1, max_size=4))
def test_a_document_that_fits_is_read_as_transformers_reads_lists_of_words(kind, lists):
    tokenizer = TOKENIZERS[kind]
    documents = [Document(str(i), tuple(words)) for i, words in enumerate(lists)]
    by_document = {window.document: window for window in WindowTokenizer(tokenizer, 4096).windows(documents)}
    reference = tokenizer(lists, is_split_into_words=True)
    for i, words in enumerate(lists):
        expected = [-1 if word is None else word for word in reference.word_ids(i)]
        if set(expected) == {-1}:
            assert i not in by_document  # nothing but special sub-tokens
            continue
        window = by_document[i]
        assert window.input_ids.tolist() == reference["input_ids"][i]
        assert window.word_ids.tolist() == expected
        assert not window.is_context.any()
        for word in range(len(words)):
            positions = [n for n, of in enumerate(expected) if of == word] or [-1]
            assert (window.first_subtoken[word], window.last_subtoken[word]) == (positions[0], positions[-1])
            assert positions == list(range(positions[0], positions[-1] + 1))


def test_context_stands_around_the_sentence_and_belongs_to_no_word():
    document = _document(["Obama", "spoke"], context_before=("Yesterday", ","), context_after=("unhappily",))
    (window,) = _one(WindowTokenizer(MINILM, 512), document)
    whole = MINILM(["Yesterday", ",", "Obama", "spoke", "unhappily"], is_split_into_words=True).input_ids
    assert window.input_ids.tolist() == whole
    assert window.word_ids.tolist() == [-1, -1, -1, 0, 1] + [-1] * (len(whole) - 5)
    assert window.is_context.tolist() == [False, True, True, False, False] + [True] * (len(whole) - 6) + [False]
    assert (window.first_subtoken.tolist(), window.last_subtoken.tolist()) == ([3, 4], [3, 4])


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(before=st.lists(WORDS, max_size=4), words=st.lists(WORDS, min_size=1, max_size=6), after=st.lists(WORDS, max_size=4))
def test_markers_are_read_as_words_of_the_text_with_context_or_not(kind, before, words, after):
    document = _document(words, context_before=tuple(before), context_after=tuple(after))
    windows = _one(WindowTokenizer(TOKENIZERS[kind], None, markers=CONTEXT_MARKERS), document)
    text = [*before, CONTEXT_MARKERS[0], *words, CONTEXT_MARKERS[1], *after]
    whole = TOKENIZERS[kind](text, is_split_into_words=True)
    begin = len(before) + 1
    own = [None if word is None else word - begin for word in whole.word_ids()]
    present = [word for word in range(len(words)) if word in own]
    assert len(windows) == bool(present)
    for window in windows:
        assert window.input_ids.tolist() == whole.input_ids
        assert window.word_ids.tolist() == [word if word in present else -1 for word in own]
        assert window.is_context.tolist() == [word is not None and word not in present for word in own]
        found = [
            (own.index(word), len(own) - 1 - own[::-1].index(word)) if word in present else (-1, -1)
            for word in range(len(words))
        ]
        assert list(zip(window.first_subtoken.tolist(), window.last_subtoken.tolist(), strict=True)) == found


@pytest.mark.parametrize(
    ("before", "after", "kept_before", "kept_after"),
    [(10, 10, 3, 3), (10, 2, 4, 2), (1, 10, 1, 5), (3, 3, 3, 3), (0, 9, 0, 6)],
)
def test_context_that_does_not_fit_is_cut_from_outside_and_counted(before, after, kept_before, kept_after):
    numbers = [str(n) for n in range(40)]  # one sub-token each; 12 - 2 special ones - 4 words leave 6 for context
    words = tuple(numbers[before : before + 4])
    around = {"context_before": tuple(numbers[:before]), "context_after": tuple(numbers[before + 4 : before + 4 + after])}
    document = _document(words, **around)
    (window,) = _one(WindowTokenizer(MINILM, 12), document)
    shown = MINILM.convert_ids_to_tokens(window.input_ids.tolist())[1:-1]
    assert shown == numbers[before - kept_before : before + 4 + kept_after]
    assert window.cut_context == before + after - kept_before - kept_after
    expected = {"context words beyond what a window holds": window.cut_context} if window.cut_context else {}
    assert WindowTokenizer.notes([document], [window]) == expected
    (window,) = _one(WindowTokenizer(MINILM, 14, beside_context=2), document)
    shown = MINILM.convert_ids_to_tokens(window.input_ids.tolist())[1:-1]
    assert shown == numbers[before - kept_before : before + 4 + kept_after], "two are kept free for others"


# --- several windows ------------------------------------------------------------------------------------------------------


def test_hand_counted_windows():
    windows = _one(WindowTokenizer(MINILM, 12, overlap=4), _document(["a"] * 25, context_before=("b",)))
    assert [(w.start_word, w.end_word) for w in windows] == [(0, 10), (6, 16), (12, 22), (18, 25)]
    assert [w.owned for w in windows] == [(0, 8), (8, 14), (14, 20), (20, 25)]
    assert [len(w.input_ids) for w in windows] == [12, 12, 12, 9]
    assert [w.cut_context for w in windows] == [1, 0, 0, 0]
    marked = _one(WindowTokenizer(MINILM, 14, overlap=4, markers=("<", ">")), _document(["a"] * 25, context_before=("b",)))
    assert [w.owned for w in marked] == [w.owned for w in windows]
    shown = [MINILM.convert_ids_to_tokens(w.input_ids.tolist())[1:-1] for w in marked]
    assert shown == [["<", *["a"] * (w.end_word - w.start_word), ">"] for w in windows], "around each, and within its length"


@settings(max_examples=70, deadline=None)
@given(
    words=st.lists(WORDS, min_size=1, max_size=60),
    context=st.lists(WORDS, max_size=6),
    room=st.integers(1, 30),
    share=st.floats(0, 0.99),
)
def test_windows_cover_every_word_and_own_each_once(words, context, room, share):
    overlap = int(room * share)
    document = _document(words, context_before=tuple(context), context_after=tuple(context))
    windows = _one(WindowTokenizer(MINILM, room + 2, overlap), document)
    alone = [MINILM([word], is_split_into_words=True, add_special_tokens=False).input_ids for word in words]
    if not any(alone):
        assert windows == []
        return
    borders = [0, *(w.owned[1] for w in windows)]
    assert [w.owned for w in windows] == list(itertools.pairwise(borders)) and borders[-1] == len(words)
    for window in windows:
        assert 2 < len(window.input_ids) <= room + 2
        assert window.start_word <= window.owned[0] <= window.owned[1] <= window.end_word
        for word in range(window.start_word, window.end_word):
            i = word - window.start_word
            first, last = int(window.first_subtoken[i]), int(window.last_subtoken[i])
            subtokens = window.input_ids[first : last + 1].tolist() if first >= 0 else []
            assert subtokens == alone[word][:room]
            assert np.flatnonzero(window.word_ids == word).tolist() == (list(range(first, last + 1)) if first >= 0 else [])
    for left, right in itertools.pairwise(windows):
        assert left.start_word < right.start_word and left.end_word < right.end_word
        shared = sum(len(alone[word][:room]) for word in range(right.start_word, left.end_word))
        assert right.start_word <= left.end_word and shared <= overlap
    if len(windows) == 1:
        assert sum(len(ids[:room]) for ids in alone) <= room
    notes = WindowTokenizer.notes([document], windows)
    assert notes["words without sub-token"] == sum(not ids for ids in alone)
    assert notes["words cut to the length of a window"] == sum(len(ids) > room for ids in alone)


@st.composite
def _annotated(draw, longest: int) -> Document:
    words = draw(st.lists(WORDS, min_size=4, max_size=40))
    starts = draw(st.lists(st.integers(0, len(words) - 1), max_size=8))
    entities = sorted(
        {Entity(s, min(len(words), s + draw(st.integers(1, longest))), draw(st.sampled_from("AB"))) for s in starts}
    )
    pairs = [(head, tail) for head in entities for tail in entities if head != tail]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=6, unique=True)) if pairs else []
    return _document(words, entities, sorted(Relation(head, tail, "R") for head, tail in chosen))


def _perfect(document: Document, window: Window) -> Extraction:
    """What a system without a flaw finds in one window: by word ids alone, without ``holds``."""
    ends = set(window.word_ids.tolist())
    entities = tuple(e for e in document.entities if e.start in ends and e.end - 1 in ends)
    relations = tuple(r for r in document.relations if r.head in entities and r.tail in entities)
    return Extraction(document.id, entities, relations)


@settings(max_examples=70, deadline=None)
@given(documents=st.lists(_annotated(6), min_size=1, max_size=3), room=st.integers(4, 60))
def test_merging_perfect_windows_gives_all_gold_that_is_called_reachable(documents, room):
    window_tokenizer = WindowTokenizer(MINILM, room + 2)
    windows = window_tokenizer.windows(documents)
    perfect = [_perfect(documents[w.document], w) for w in windows]
    assert WindowTokenizer.within(documents, windows) == perfect
    merged = WindowTokenizer.merge(perfect, windows, documents)
    reachable, reasons = WindowTokenizer.reachable_gold(documents, windows)
    assert merged == reachable
    lost = Counter(reason.split(":")[0] for reason in reasons.elements())
    assert lost["entities"] == sum(len(d.entities) - len(e.entities) for d, e in zip(documents, reachable, strict=True))
    assert lost["relations"] == sum(len(d.relations) - len(e.relations) for d, e in zip(documents, reachable, strict=True))


@pytest.mark.parametrize("max_length", [256, 512, None])
def test_thousands_of_words_with_short_entities_lose_nothing(max_length):
    random = np.random.default_rng(1)
    words = random.choice(["the", "Berlin", "antidisestablishmentarianism", "U.S."], size=4000).tolist()
    entities = [Entity(s, s + 1 + s // 2 % 2, "A") for s in range(0, 3998, 2)]
    relations = [Relation(a, b, "R") for a, b in itertools.pairwise(entities)]
    document = _document(words, entities, relations)
    windows = _one(WindowTokenizer(MINILM, max_length), document)
    assert (len(windows) > 1) == (max_length is not None)
    found = [_perfect(document, window) for window in windows]
    (merged,) = WindowTokenizer.merge(found, windows, [document])
    assert (merged.entities, merged.relations) == (document.entities, document.relations)
    assert WindowTokenizer.reachable_gold([document], windows) == ([merged], Counter())


def test_merge_keeps_what_the_owner_found():
    document = _document(["a"] * 25)
    windows = _one(WindowTokenizer(MINILM, 12, overlap=4), document)[:2]  # words 0-10 and 6-16, border at 8
    owned, foreign, far = Entity(7, 8, "A", 0.9), Entity(8, 9, "A", 0.8), Entity(12, 13, "B", 0.7)
    again = Entity(7, 8, "A", 0.1)
    found = [
        Extraction("d", (owned, foreign), (Relation(owned, foreign, "R", 0.5),)),
        Extraction("d", (again, far), (Relation(again, far, "S", 0.6),)),
    ]
    (merged,) = WindowTokenizer.merge(found, windows, [document])
    assert merged == Extraction("d", (owned, far), (Relation(owned, far, "S"),))
    assert [e.score for e in merged.entities] == [0.9, 0.7]
    assert (merged.relations[0].head.score, merged.relations[0].score) == (0.9, 0.6)
    beside = Entity(8, 9, "A")
    for one, other in ((0.3, 0.8), (0.8, 0.3)):
        found = [Extraction("d", (owned, beside), (Relation(owned, beside, "R", score),)) for score in (one, other)]
        (merged,) = WindowTokenizer.merge(found, windows, [document])
        assert [r.score for r in merged.relations] == [0.8], "any window above λ keeps it, so the highest says which λ"


# --- what can't be reached ------------------------------------------------------------------------------------------------


def test_every_reason_is_counted():
    words = ["a"] * 25
    words[3] = NO_SUBTOKENS[0]
    hidden, ends_hidden, around, long = Entity(3, 4, "A"), Entity(2, 4, "A"), Entity(2, 5, "A"), Entity(7, 20, "A")
    first, last = Entity(0, 1, "A"), Entity(24, 25, "A")
    relations = [Relation(first, last, "R"), Relation(first, hidden, "R"), Relation(first, around, "R")]
    document = _document(words, [first, around, ends_hidden, hidden, long, last], relations)
    windows = _one(WindowTokenizer(MINILM, 12, overlap=4), document)
    (reachable,), reasons = WindowTokenizer.reachable_gold([document], windows)
    assert reachable == Extraction("d", (first, around, last), (Relation(first, around, "R"),))
    assert reasons == {
        "entities: their first or last word has no sub-token": 2,
        "entities: they reach over the end of their window": 1,
        "relations: an entity of theirs is unreachable": 1,
        "relations: their entities are in no common window": 1,
    }
    assert WindowTokenizer.notes([document], windows) == {"words without sub-token": 1, "documents split into windows": 1}


def test_a_word_longer_than_a_window_is_cut_and_counted():
    giant = "," * 2000  # 2000 sub-tokens
    entity = Entity(1, 2, "A")
    document = _document(["a", giant, "b"], [entity])
    windows = _one(WindowTokenizer(MINILM, 128), document)
    assert [(w.start_word, w.end_word, len(w.input_ids)) for w in windows] == [(0, 1, 3), (1, 2, 128), (2, 3, 3)]
    assert WindowTokenizer.reachable_gold([document], windows)[0] == [Extraction("d", (entity,))]
    notes = WindowTokenizer.notes([document], windows)
    assert notes == {"words cut to the length of a window": 1, "documents split into windows": 1}
    assert len(_one(WindowTokenizer(MINILM, None), document)[0].input_ids) == 2004


def test_documents_without_words_or_sub_tokens_have_no_window_and_an_empty_extraction():
    entity = Entity(0, 2, "A")
    documents = [
        Document("no words", (), context_before=("the", "cat")),
        Document("control characters", tuple(NO_SUBTOKENS), (entity,)),
        Document("a word", ("cat",)),
    ]
    windows = WindowTokenizer(MINILM, 512).windows(documents)
    assert [w.document for w in windows] == [2]
    found = Extraction("a word", (Entity(0, 1, "A"),))
    empty = [Extraction("no words"), Extraction("control characters")]
    assert WindowTokenizer.merge([found], windows, documents) == [*empty, found]
    reachable, reasons = WindowTokenizer.reachable_gold(documents, windows)
    assert reachable == [*empty, Extraction("a word")]
    assert reasons == {"entities: their first or last word has no sub-token": 1}
    assert WindowTokenizer.notes(documents, windows) == {"words without sub-token": 3}
    assert WindowTokenizer(MINILM, 512).windows([]) == []


def test_the_tokenizer_given_is_left_alone_and_impossible_windows_are_refused():
    before = MINILM.backend_tokenizer.to_str()
    WindowTokenizer(MINILM, 512)
    assert MINILM.backend_tokenizer.to_str() == before
    for max_length, overlap in ((2, None), (0, None), (12, 10), (12, -1)):
        with pytest.raises(SettingsError):
            WindowTokenizer(MINILM, max_length, overlap)


def test_the_cache_of_words_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr("iter_bench.tokenization._CACHED_WORDS", 3)
    window_tokenizer = WindowTokenizer(MINILM, 512)
    for words in (["the", "cat", "sat", "down"], ["the", "cat"], ["a", "b", "c", "the"]):
        (window,) = _one(window_tokenizer, _document(words))
        assert window.input_ids.tolist() == MINILM(words, is_split_into_words=True).input_ids
        assert len(window_tokenizer._cache) <= 3 + len(words)
