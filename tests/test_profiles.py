"""Profiles: what includes, recipes, changes and starts make of them, and those that come with the package."""

import tomllib
from pathlib import Path

import pytest
from transformers import BertConfig

from baselines.asp.configuration import AspSettings
from baselines.plmarker.configuration import PlMarkerSettings
from iter_bench import matrix, published
from iter_bench.data import catalogue
from iter_bench.errors import SettingsError
from iter_bench.iter_model.configuration import IterSettings
from iter_bench.plots.catalogue import FIGURES
from iter_bench.settings import RunSettings, read_toml
from iter_bench.tables.catalogue import TABLES

ROOT = Path(__file__).parents[1]
RECIPE = 'seed = 7\nsystem = "plmarker"\n[data]\ndataset = "conll04"\ntest = "dev"\n[training]\nepochs = 3\nlr_heads = 1e-3\n'
STAND_INS = {"flan-t5-large": "t5-large", "bart-large": "t5-large", "albert-xxlarge-v2": "albert-xxlarge-v1"}
RELEASED_NAMES = {"scibert": "scibert-uncased", **STAND_INS}
COMPARED = {*published.released().columns} - {"system", "dataset", "encoder", "stage", "context", "source", "place"}


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """Writes a profile file and loads it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.toml").write_text(RECIPE)

    def load(text, name="mine.toml"):
        (tmp_path / name).write_text(f'description = "Mine."\n{text}')
        return matrix.load_profile(name)

    return load


def test_a_group_stands_over_its_recipes_and_a_change_over_all(profile):
    group = '[[group]]\nrecipe = "best.toml"\nseeds = [1, 2]\ncontexts = [0]\ndata = { test = "test" }\n'
    runs = profile(group + "training = { epochs = 5 }").runs()
    expected = {"system": "plmarker", "data": {"dataset": "conll04"}, "training": {"epochs": 5, "lr_heads": 1e-3}}
    assert runs == [RunSettings.model_validate({**expected, "seed": seed}) for seed in (1, 2)]
    over = profile('include = "mine.toml"\n[change]\nencoder = ["a", "b"]\nseeds = [3]\ntraining = { epochs = 1 }', "over.toml")
    assert [(r.encoder, r.seed, r.training.epochs, r.training.lr_heads) for r in over.runs()] == [
        ("a", 3, 1, 1e-3),
        ("b", 3, 1, 1e-3),
    ]
    both = profile('include = ["mine.toml", "mine.toml", "over.toml"]', "both.toml")
    assert both.runs() == runs + over.runs()  # each once


def test_a_start_names_the_run_that_comes_before_it(profile):
    source = '[[group]]\nencoder = ["a", "b"]\nseeds = [1, 2]\ndata = { dataset = "conll03" }\n'
    target = '[[group]]\nencoder = "b"\nseeds = [1]\nstart = "conll03"\ndata = { dataset = "conll04" }\n'
    *sources, started = profile(target + source).runs()
    (source_run,) = [run for run in sources if (run.encoder, run.seed) == ("b", 1)]
    assert len(sources) == 4 and started.encoder == f"trained:{source_run.run_id}" and started.data.dataset == "conll04"
    changed = profile('include = "mine.toml"\nchange = { training = { epochs = 1 } }', "over.toml").runs()
    assert changed[-1].encoder != started.encoder and changed[-1].encoder in {f"trained:{run.run_id}" for run in changed}
    with pytest.raises(SettingsError, match="0 runs of ITER on conll03 with encoder b and seed 3"):
        profile(source + target.replace("[1]", "[3]"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('include = "mine.toml"', "includes itself"),
        ("include = []\n[[group]]", "include"),
        ('[[group]]\nrecipe = "nothing"', "no recipe is called 'nothing'; there are asp-ace05"),
        ('[[group]]\nrecipe = "bad.toml"', "bad.toml, training.epoch: there is no such setting; there is training.epochs"),
        ("[[group]]\nrecipe = 3", "valid list"),
        ("[[group]]\nseed = 1", r"group.0.seed: there is no such setting"),
        ("[[group]]\ncontexts = [-1]", "context"),
        ("[change]\nseeds = [1]", "at least 1 item"),
        ("[[group]]\ntraining = 3", "group.0.training"),
    ],
)
def test_what_is_wrong_is_named(text, reason, profile, tmp_path):
    (tmp_path / "bad.toml").write_text("[training]\nepoch = 3")
    with pytest.raises(SettingsError, match=reason):
        profile(text)


def test_recipes_of_the_paper_are_its_table_5():
    for row in published.hyperparameters().to_dict("records"):
        content = tomllib.loads((matrix.RECIPES / f"iter-{row['dataset'].lower()}.toml").read_text())
        stated = {**content["training"], **content["model"]}
        assert published.DATASETS[content["data"]["dataset"]] == row["dataset"]
        assert {name: stated[name] for name in row if name not in ("dataset", "source", "place")} == {
            name: value for name, value in row.items() if name not in ("dataset", "source", "place")
        }


def test_the_baselines_train_as_their_authors_ship_them():
    """All runs of the paper's profile, setting by setting; those over the encoder that is named with the context, too."""
    rows = [row for row in published.released().to_dict("records") if row["system"] != "ITER"]
    runs = [run for run in matrix.load_profile("paper").runs() if run.system != "iter"]
    recipe = read_toml(matrix.RECIPES / "plmarker-ace05.toml")  # no profile has it over BERT
    runs.append(RunSettings.model_validate({**recipe, "encoder": "bert-base-uncased"}))
    read = {}
    for run in runs:
        subject = published.SYSTEMS[run.system], published.DATASETS[run.data.dataset]
        encoder = RELEASED_NAMES.get(run.encoder, run.encoder)
        mine = [
            row
            for row in rows
            if (row["system"], row["dataset"]) == subject and published.same_encoder(row["encoder"], encoder)
        ]
        assert [row["stage"] for row in mine] == {"asp": [""], "plmarker": ["ner", "re"]}[run.system], run
        for row in mine:
            facts = _facts(row)
            assert {name: value for name, value in _resolved(run, row["stage"]).items() if name in facts} == facts, run
            if run.encoder not in STAND_INS:
                read.setdefault(rows.index(row), set()).add((run.data.dataset, run.data.context))
    for row, of in zip(rows, [read[i] for i in range(len(rows))], strict=True):  # each row has runs
        if row["context"] == "text":  # a sub-token of context is no more than a word of it
            assert any(words >= row["length"] for _, words in of), row
        else:
            assert {"none": ("conll04", 0), "extended": ("ace05_asp", 256)}[row["context"]] in of, row


def test_iter_trains_as_its_authors_ship_it_where_table_5_says_nothing_and_by_encoder():
    """All runs of the paper's profiles over an encoder that the released configurations are for."""
    rows = [row for row in published.released().to_dict("records") if row["system"] == "ITER"]
    seen = set()
    for run in [*matrix.load_profile("paper").runs(), *matrix.load_profile("ace05-same-encoder").runs()]:
        for row in rows:
            if (run.system, published.DATASETS[run.data.dataset]) == ("iter", row["dataset"]) and published.same_encoder(
                row["encoder"], run.encoder
            ):
                seen.add((row["dataset"], row["encoder"]))
                own = IterSettings.model_validate(run.model)
                found = {**dict(run.training), **own.model_dump(), "train": run.data.train, "dev": run.data.dev}
                facts = _facts(row)
                assert {name: value for name, value in found.items() if name in facts} == facts, run
                assert (own.two_vector_scale, own.d_ff) in ((1, facts.get("d_ff")), (2, None)), "as released: one or the other"
    assert seen == {(row["dataset"], row["encoder"]) for row in rows}


def _facts(row):
    """What the row says: NaN, which isn't equal to itself, and "" are of what the system or the stage doesn't have."""
    return {name: value for name, value in row.items() if name in COMPARED and value == value and value != ""}


def _resolved(run, stage):
    """The settings of a run's stage, named as in the table of what is released."""
    model = {"asp": AspSettings, "plmarker": PlMarkerSettings}[run.system].model_validate(run.model).model_dump()
    training = {**dict(run.training), **(model.get("re_training", {}) if stage == "re" else {})}
    if training["select_by"] == "auto":
        training["select_by"] = "ner" if stage == "ner" else "re_plus"
    own = {name.removeprefix(f"{stage}_"): value for name, value in model.items()} if stage else model
    if run.system == "plmarker":
        own["max_span_words"] = own["max_span_words"] or catalogue.entry(run.data.dataset).max_span_words
        own["brackets"] = own["brackets"] and stage == "ner"
        if own["dropout"] is None:
            own["dropout"] = BertConfig().hidden_dropout_prob  # ALBERT's recipe names it
    return {**training, **own, "train": run.data.train, "dev": run.data.dev}


def test_profiles_of_the_package():
    runs = {name: matrix.load_profile(name).runs() for name in matrix.profile_names()}
    ids = {name: [run.run_id for run in those] for name, those in runs.items()}
    assert all(len(set(those)) == len(those) for those in ids.values())
    assert {*ids["ace05"], *ids["conll03"], *ids["conll03-transfer"]} < set(ids["paper"])
    table4 = {r.encoder for r in runs["ace05"] if r.system == "iter"}
    assert all(any(published.same_encoder(name, r) for r in table4) for name in published.figures(table=4)["encoder"])
    for name, those in runs.items():
        if name.endswith("-systems"):
            assert {run.system for run in those} == {"iter", "asp", "plmarker"}
            assert {run.seed for run in those} == {1, 2, 3, 4, 5}
            parts = [
                sorted((run.seed, run.data.fold or 0) for run in those if run.system == s) for s in ("iter", "asp", "plmarker")
            ]
            assert parts[0] == parts[1] == parts[2], "the systems' means are over the same documents"
            assert not any("ner_overlap" in run.model for run in those), "PL-Marker's filter is the published one"


def test_no_profile_is_named_as_a_table_or_a_figure_is():
    """Its own table would be written to the same file."""
    assert not {*TABLES, *FIGURES} & set(matrix.profile_names())


@pytest.mark.parametrize("system", ["iter", "asp", "plmarker"])
def test_the_tuned_profile_has_what_the_searches_found(system):
    found = RunSettings.model_validate(tomllib.loads((ROOT / "results" / "searches" / f"conll04-{system}.toml").read_text()))
    runs = [run for run in matrix.load_profile("conll04-tuned").runs() if run.system == system]
    training, model = found.training, found.model
    if system == "plmarker":  # shuffled since, and stage 2 in parts as large as fit into memory
        training, model = training.model_copy(update={"batches": "shuffled"}), model | {"re_training": {"samples_at_once": 16}}
    assert len(runs) == 5 and all((run.training, run.model) == (training, model) for run in runs)
