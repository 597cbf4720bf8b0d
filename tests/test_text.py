"""Raw text is divided into words so that a system can bracket what its training data annotates."""

import json
import re
import unicodedata

import pytest
from typer.testing import CliRunner

from iter_bench import data, systems
from iter_bench.cli import app
from iter_bench.data.catalogue import catalogue
from iter_bench.document import Schema
from iter_bench.iter_model.system import IterSystem
from iter_bench.settings import RunSettings
from iter_bench.text import document_from_text

TO_THE_LEFT = re.compile(r"['’]s|n't|''|[,.;:?!%)\]]")
TO_THE_RIGHT = ("(", "[", "$", "``")
ENOUGH = 0.999


def words(text, *rule):
    return document_from_text(text, "0", *rule)[0].words


def test_a_genitive_s_is_a_word_and_hyphens_divide_where_the_rule_says_so():
    text = "Germany's U.S. clozapine-induced GERMANY’S don't 'sound' rock's-end Jones'."
    joined = words(text)
    assert " ".join(joined) == "Germany 's U.S . clozapine-induced GERMANY ’S don't ' sound ' rock 's - end Jones ' ."
    assert " ".join(words("Germany's clozapine-induced", "runs")) == "Germany ' s clozapine - induced"
    assert {name for name, entry in catalogue().items() if entry.words == "runs"} == {"ade"}


@pytest.mark.parametrize("rule", ["joined", "runs"])
def test_letters_keep_their_combining_marks(rule):
    composed = "Zürich's Müller, Citroën - दिल्ली में"
    split = unicodedata.normalize("NFD", composed)
    assert split != composed
    assert [unicodedata.normalize("NFC", word) for word in words(split, rule)] == list(words(composed, rule))
    assert words(composed, rule)[-2:] == ("दिल्ली", "में")


def reached(text, rule, spans):
    """How many of the spans of characters begin and end where words do."""
    _, offsets = document_from_text(text, "0", rule)
    starts, ends = ({offset[side] for offset in offsets} for side in (0, 1))
    return sum(start in starts and end in ends for start, end in spans)


def raw(document):
    """The sentence with spaces where a person sets them, and the entities' characters in it."""
    text, places = "", []
    for i, word in enumerate(document.words):
        if i and not TO_THE_LEFT.fullmatch(word) and document.words[i - 1] not in TO_THE_RIGHT:
            text += " "
        places.append((len(text), len(text) + len(word)))
        text += word
    return text, [(places[entity.start][0], places[entity.end - 1][1]) for entity in document.entities]


def shown_of(name, split, data_dir=None):
    rule = catalogue()[name].words if name in catalogue() else "joined"
    sentences = [raw(document) for document in data.load(name, split, data_dir=data_dir).documents]
    assert any("'s " in text for text, _ in sentences)
    return sum(reached(text, rule, spans) for text, spans in sentences) / sum(len(spans) for _, spans in sentences)


def test_gold_of_generated_text_can_be_bracketed_on_its_raw_sentences():
    for name in ("synthetic-w1", "synthetic-w4"):
        assert shown_of(name, "test") > ENOUGH


@pytest.mark.parametrize("name", ["conll04", "scierc"])
def test_gold_can_be_bracketed_on_raw_sentences(name, data_dir):
    assert shown_of(name, "test", data_dir) > ENOUGH


def test_gold_of_ade_can_be_bracketed_on_its_raw_sentences(data_dir):
    """Read from the lines themselves: effect and drug stand in the sentence as far apart as their offsets say."""
    spans = set()
    for line in (data_dir / "ade_raw" / "DRUG-AE.rel").read_text(encoding="utf-8").splitlines():
        _, sentence, effect, begin, _, drug, other, _ = line.split("|")
        apart = int(other) - int(begin)
        found = [m.start() for m in re.finditer(f"(?={re.escape(effect)})", sentence)]
        places = [place for place in found if place + apart >= 0 and sentence.startswith(drug, place + apart)]
        if len(places) == 1:
            spans |= {(sentence, places[0], effect), (sentence, places[0] + apart, drug)}
    assert len(spans) > 10_000
    rule = catalogue()["ade"].words
    assert sum(reached(text, rule, [(start, start + len(span))]) for text, start, span in spans) > ENOUGH * len(spans)


def test_predict_divides_text_as_the_training_data_of_its_system(tiny_encoder, tmp_path):
    folder, text = tmp_path / "system", "Ann's clozapine-induced fever"
    IterSystem.build(tiny_encoder, Schema(("Drug",)), [], {"omega": 1, "d_ff": 16}, seed=1).save(folder)
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": text}) + "\n")
    (tmp_path / "in.txt").write_text(text + "\n")

    def found(*arguments):
        result = CliRunner().invoke(app, ["predict", str(folder), *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return " ".join(json.loads(result.stdout)["words"])

    for dataset, expected in (
        (None, "Ann 's clozapine-induced fever"),
        ("ade", "Ann ' s clozapine - induced fever"),
        ("conll04", "Ann 's clozapine-induced fever"),
        ("synthetic", "Ann 's clozapine-induced fever"),
    ):
        if dataset is not None:
            run = RunSettings.model_validate({"data": {"dataset": dataset}})
            (folder / systems.RUN_FILE).write_text(run.model_dump_json())
        assert found(text, "--json") == found("--file", tmp_path / "in.txt", "--json") == expected, dataset
        for kind in ("txt", "jsonl"):
            out = tmp_path / f"{dataset} {kind}"
            command = ["predict", str(folder), "--file", str(tmp_path / f"in.{kind}"), "--output", str(out)]
            assert CliRunner().invoke(app, command).exit_code == 0
            assert " ".join(json.loads((out / "extracted" / "part-000000.jsonl").read_text())["words"]) == expected
    own = RunSettings.model_validate({"data": {"dataset": "mine"}})
    (folder / systems.RUN_FILE).write_text(own.model_dump_json())
    refused = CliRunner().invoke(app, ["predict", str(folder), text]).exception
    assert "was trained on mine, which no catalogue here has" in str(refused), "never divided as something else was"
