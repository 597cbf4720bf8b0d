"""What the two stages read of a text: context up to their limits, and words that stand for brackets."""

import re
from dataclasses import replace

from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data, matrix
from iter_bench.document import Document
from iter_bench.settings import RunSettings, read_toml
from iter_bench.tables.runs import TOLD


def test_stage_1_reads_brackets_where_words_stand_for_them_and_stage_2_the_words(tiny):
    system, plain = tiny(brackets=True)[0], tiny()[0]
    words = Document("d", ("-LRB-", "Paris", "-RSB-", "-lrb-"), context_before=("-LCB-",), context_after=("-RCB-", "x"))
    signs = replace(words, words=("(", "Paris", "]", "-lrb-"), context_before=("{",), context_after=("}", "x"))

    def ids(stage, document):
        return stage.windows.windows([document])[0].input_ids.tolist()

    assert ids(system.ner, words) == ids(system.ner, signs) == ids(plain.ner, signs)
    assert ids(system.relation, words) == ids(plain.relation, words) != ids(plain.relation, signs)
    assert ids(plain.ner, words) == ids(plain.relation, words), "nobody asked for brackets"
    ((_, found),) = system.ner.candidates([words])
    ((_, expected),) = plain.ner.candidates([words])
    assert found.start.tolist() == expected.start.tolist() and found.end.tolist() == expected.end.tolist()


def test_the_recipe_of_scierc_fills_both_stages_and_only_context_is_cut(tiny_encoder, data_dir):
    recipe = RunSettings.model_validate(read_toml(matrix.RECIPES / "plmarker-scierc.toml"))
    corpus, whole = (
        data.load(recipe.data.dataset, "dev", data_dir=data_dir, context=words) for words in (recipe.data.context, 10**6)
    )
    system = PlMarkerSystem.build(tiny_encoder, corpus.schema, (), recipe.model, seed=1)
    cut = {}
    for name, stage, length in (("ner", system.ner, 512), ("re", system.relation, 254)):  # stage 2 adds two solid markers
        windows, all_context = (stage.windows.windows(of.documents) for of in (corpus, whole))
        assert [w.input_ids.tolist() for w in windows] == [w.input_ids.tolist() for w in all_context], (
            "more words change nothing"
        )
        for window, document in zip(windows, corpus.documents, strict=True):
            assert (0, len(document.words)) == (window.start_word, window.end_word) == window.owned and not window.cut_words
            shown = window.is_context.sum() + (window.word_ids >= 0).sum()
            assert length - 15 < shown + 2 <= length if window.cut_context else shown + 2 <= length  # a word has up to 15
        cut[name] = sum(window.cut_context for window in windows)
    assert cut["ner"] == 0 < cut["re"]
    told = system.reachable(corpus.documents)
    assert told.notes == {"context words beyond what a window holds, stage 2": cut["re"]}
    assert not any("window" in reason for reason in told.lost)
    assert not any(re.search(TOLD, what) for what in told.notes), "no table calls the data other than the catalogue's"
