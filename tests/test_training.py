"""The training loop: same seed, same numbers; a killed run goes on as if nothing had happened; runs and matrix."""

import json
from dataclasses import replace
from itertools import chain

import pytest
import torch
from typer.testing import CliRunner

from iter_bench import checkpoints, execution, matrix, optimization, records, systems, training
from iter_bench.cli import app, main
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.errors import DataError, SettingsError, UserError
from iter_bench.run import Folders, execute, load_splits
from iter_bench.settings import DataSettings, RunSettings, TrainingSettings, value_of, with_value
from iter_bench.text import as_brackets, as_json, document_from_text

TRAINING = TrainingSettings(epochs=3, batch_size=16, lr_encoder=1e-3, lr_heads=3e-3)


@pytest.fixture
def documents():
    from iter_bench import data

    return data.load("synthetic", "train").documents[:48]


@pytest.fixture
def build(tiny_encoder):
    return lambda documents: systems.system_class("iter").build(tiny_encoder, SCHEMA, documents, {"d_ff": 16}, seed=5)


def test_same_seed_same_numbers_and_a_killed_run_resumes_to_them(build, documents, tmp_path):
    whole = build(documents)
    history = whole.fit(documents, documents[:8], TRAINING, seed=5)
    again = build(documents).fit(documents, documents[:8], TRAINING, seed=5)
    assert [h["loss"] for h in history] == [h["loss"] for h in again]

    class Killed(Exception):
        pass

    def kill(event):
        if event.get("step") == event.get("steps", 0) // TRAINING.epochs + 2:  # in the second epoch
            raise Killed

    with pytest.raises(Killed):
        build(documents).fit(documents, documents[:8], TRAINING, seed=5, folder=tmp_path, report=kill)
    resumed = build(documents)
    continued = resumed.fit(documents, documents[:8], TRAINING, seed=5, folder=tmp_path)
    assert [(h["loss"], h["dev"]) for h in continued] == [(h["loss"], h["dev"]) for h in history]
    wanted = checkpoints.weights_of(whole.module)
    assert all(torch.equal(value, wanted[name]) for name, value in checkpoints.weights_of(resumed.module).items())
    assert history[-1]["loss"]["is_left"] < history[0]["loss"]["is_left"]


@pytest.mark.parametrize("interrupted", [False, True])
def test_training_stops_when_dev_gets_no_better_and_leaves_the_best_epoch_s_weights(interrupted, build, documents, tmp_path):
    scores, seen = [0.2, 0.9, 0.5, 0.4, 1.0], []
    settings = TRAINING.model_copy(update={"epochs": 5, "patience": 2})

    class Killed(Exception):
        pass

    def kill(event):
        if event.get("epoch") == 2:
            raise Killed

    def fit(system, report=None):
        def evaluate():
            seen.append({name: value.clone() for name, value in checkpoints.weights_of(system.module).items()})
            return {"ner": scores[len(seen) - 1]}

        stored = checkpoints.CheckpointFolder(tmp_path / "stage", {"run": "this"}) if interrupted else None
        chosen = {"evaluate": evaluate, "select_by": "ner", "checkpoints": stored, "report": report}
        return training.train(system, system.examples(documents), settings, seed=5, **chosen)

    system = build(documents)
    if interrupted:
        with pytest.raises(Killed):
            fit(system, kill)
        system = build(documents)
    history = fit(system)
    assert [(epoch["dev"]["ner"], epoch["selected"]) for epoch in history] == list(
        zip(scores, [True, True, False, False], strict=False)
    )
    left = checkpoints.weights_of(system.module)
    same = [all(torch.equal(value, weights[name]) for name, value in left.items()) for weights in seen]
    assert same == [False, True, False, False]


@pytest.mark.parametrize("system", ["asp", "iter", "iter mean", "plmarker"])
def test_a_batch_computed_in_parts_trains_as_the_whole(system, tiny_encoder, documents, monkeypatch):
    train, forward = torch.nn.Module.train, {"whole": [], "parts": []}
    monkeypatch.setattr(torch.nn.Module, "train", lambda self, mode=True: train(self, False))  # no dropout: draws would differ
    kind, _, reduction = system.partition(" ")
    found = {}
    for name, at_once in (("whole", None), ("parts", 3)):
        settings = TRAINING.model_copy(update={"epochs": 1, "samples_at_once": at_once})
        built = systems.system_class(kind).build(
            tiny_encoder, SCHEMA, documents, {"loss_reduction": reduction} if reduction else {}, seed=5
        )
        hook = torch.nn.modules.module.register_module_forward_pre_hook(
            lambda module, _, name=name: forward[name].append(type(module).__name__)
        )
        history = built.fit(documents[:40], [], settings, seed=5)
        hook.remove()
        found[name] = [epoch["loss"] for epoch in history], checkpoints.weights_of(built.module)
    (losses, weights), (of_parts, weights_of_parts) = found["whole"], found["parts"]
    assert len(losses) == len(of_parts) and all(b == pytest.approx(a, rel=1e-5) for a, b in zip(losses, of_parts, strict=True))
    assert all((weights_of_parts[name] - value).abs().max() < 1e-4 for name, value in weights.items())
    # 40 samples: batches of 16, 16 and 8, and of these 6, 6 and 3 parts; PL-Marker's stage 2 has more samples
    assert forward["parts"].count("Embedding") >= 5 * forward["whole"].count("Embedding") > 0


@pytest.mark.parametrize("system", ["asp", "iter", "iter mean"])
def test_the_loss_of_an_epoch_is_a_samples_whatever_is_minimised(system, tiny_encoder, documents, monkeypatch):
    train = torch.nn.Module.train
    monkeypatch.setattr(torch.nn.Module, "train", lambda self, mode=True: train(self, False))  # no dropout
    kind, _, reduction = system.partition(" ")
    model = {"loss_reduction": reduction} if reduction else {}
    built = systems.system_class(kind).build(tiny_encoder, SCHEMA, documents, model, seed=5)
    examples = built.examples(documents[:20])
    alone = [built.losses(built.collate([example]), [example]) for example in examples]
    still = TRAINING.model_copy(update={"epochs": 1, "lr_encoder": 1e-12, "lr_heads": 1e-12})
    (epoch,) = built.fit(documents[:20], [], still, seed=5)  # batches of 16 and of 4
    assert len(epoch["loss"]) > 1
    for name, loss in epoch["loss"].items():
        assert loss == pytest.approx(sum(losses[name].item() for losses in alone) / len(examples), rel=1e-4)


def test_a_batch_in_parts_has_as_many_in_each_process():
    shares = [training._shares(range(13), process, 4, 2) for process in range(4)]
    assert [list(map(list, of)) for of in shares] == [[[0, 4], [8, 12]], [[1, 5], [9]], [[2, 6], [10]], [[3, 7], [11]]]
    assert [list(map(list, training._shares(range(9), p, 4, 1))) for p in (0, 1)] == [[[0], [4], [8]], [[1], [5], []]]


def test_ids_of_runs_that_do_not_set_what_came_later_are_those_from_before():
    plain = RunSettings()
    others = [RunSettings(training=of) for of in ({"samples_at_once": 4}, {"batches": "shuffled"}, {"clip": "apart"})]
    assert not {"samples_at_once", "batches", "clip"} & plain.model_dump(mode="json")["training"].keys()
    assert len({run.run_id for run in (plain, *others)}) == 4
    for run in others:
        assert RunSettings.model_validate_json(run.model_dump_json()) == run


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(build, documents, tmp_path):
    build(documents).fit(documents, [], TRAINING.model_copy(update={"epochs": 1}), seed=5, folder=tmp_path)
    with pytest.raises(UserError, match="belongs to the run"):
        build(documents).fit(documents, [], TRAINING, seed=6, folder=tmp_path)
    file = tmp_path / "last" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged"):
        build(documents).fit(documents, [], TRAINING.model_copy(update={"epochs": 1}), seed=5, folder=tmp_path)


def test_batches_hold_every_example_once_in_an_order_of_their_own():
    lengths = list(range(100))
    first, second = (training.epoch_batches(lengths, 8, seed=1, epoch=e) for e in (0, 1))
    assert sorted(i for batch in first for i in batch) == lengths
    assert [b.tolist() for b in first] != [b.tolist() for b in second]
    assert all(max(batch) - min(batch) < len(batch) for batch in first), "100 examples are one bucket: each batch is a run"


@pytest.mark.parametrize("batches, alike", [("by_length", True), ("shuffled", False)])
def test_batches_are_of_one_length_or_of_any(batches, alike, build, documents, monkeypatch):
    system, lengths = build(documents), []
    collate = system.collate
    monkeypatch.setattr(system, "collate", lambda of: lengths.append([system.length(e) for e in of]) or collate(of))
    settings = TRAINING.model_copy(update={"epochs": 1, "batch_size": 4, "batches": batches})
    system.fit(documents, [], settings, seed=5)
    assert sorted(chain.from_iterable(lengths)) == sorted(system.length(example) for example in system.examples(documents))
    assert all(of == sorted(of) for of in lengths)
    spread = max(max(of) - min(of) for of in lengths[:-1])
    whole = max(map(max, lengths)) - min(map(min, lengths))
    assert (spread < whole / 2) == alike, "of all documents, one bucket"


@pytest.mark.parametrize("clip, parts", [("together", 1), ("apart", 2)])
def test_gradients_are_clipped_together_or_apart(clip, parts, build, documents, monkeypatch):
    system, norms = build(documents), []

    def clipped(weights, norm):
        before = clip_grad_norm_(weights, norm)
        norms.append((before, torch.stack([p.grad.norm() for p in weights if p.grad is not None]).norm()))
        return before

    clip_grad_norm_ = optimization.clip_grad_norm_
    monkeypatch.setattr(optimization, "clip_grad_norm_", clipped)
    settings = TRAINING.model_copy(update={"epochs": 1, "batch_size": len(documents), "clip": clip, "clip_norm": 1e-3})
    system.fit(documents, [], settings, seed=5)
    assert len(norms) == parts and all(before > 0.01 for before, _ in norms)
    assert [float(after) for _, after in norms] == pytest.approx([1e-3] * parts, rel=1e-2)


@pytest.mark.parametrize("schedule, late", [("linear", 0.5), ("constant", 1.0)])
def test_schedules(schedule, late):
    factor = optimization.schedule_factor(schedule, warmup=10, total=110)
    assert [factor(s) for s in (0, 5, 10)] == [0.0, 0.5, 1.0]
    assert factor(60) == pytest.approx(late)


def test_save_and_load_predict_the_same(build, documents, tmp_path):
    system = build(documents)
    system.fit(documents, [], TRAINING, seed=5)
    system.save(tmp_path / "s")
    assert systems.load_system(tmp_path / "s").predict(documents) == system.predict(documents)
    assert not list((tmp_path / "s").glob("*.bin"))


def test_a_matrix_records_its_runs_skips_finished_ones_and_lists_failed_ones(tiny_encoder, tmp_path):
    run = RunSettings(encoder=tiny_encoder, data=DataSettings(dev=None), training=TRAINING.model_copy(update={"epochs": 1}))
    broken = run.model_copy(update={"model": {"omega": 0}})
    folders = Folders(tmp_path / "results", tmp_path / "runs")
    events = []

    def all_of(runs):
        return execution.execute_all(
            runs,
            lambda r, report: execute(r, folders, report=report),
            engine=execution.processes(1),
            report=lambda r, e: events.append(e),
        )

    done, failed = all_of([broken, run])
    assert [r.run_id for r in done] == [run.run_id] and list(failed) == [broken.run_id]
    assert "omega" in failed[broken.run_id]
    assert records.find(folders.records, run.run_id) == done[0]
    curve = done[0].lambda_curve
    assert curve[-1].f1 == 0 and len(curve) == 21
    steps = len([e for e in events if "step" in e])
    assert all_of([run])[0] == done
    assert len([e for e in events if "step" in e]) == steps  # nothing was trained again
    assert Folders(tmp_path / "results", tmp_path / "a fresh clone").finished(run.run_id) is None


def test_profiles_of_the_package_are_valid_and_wrong_ones_name_the_field(tmp_path):
    assert "quick" in matrix.profile_names()
    assert all(matrix.load_profile(name).runs() for name in matrix.profile_names())
    (tmp_path / "p.toml").write_text('description = "x"\n[[group]]\nsedes = [1]\n')
    with pytest.raises(SettingsError, match=r"group\.0\.sedes"):
        matrix.load_profile(str(tmp_path / "p.toml"))


def test_command_line_overrides_and_refuses():
    run = CliRunner().invoke(app, ["train", "--set", "training.epoch=3"])
    nearest = "training.epoch: there is no such setting; there is training.epochs"
    assert isinstance(run.exception, SettingsError) and str(run.exception) == nearest
    run = CliRunner().invoke(app, ["train", "--set", "epochs=3", "--set", "nonsense=3"])
    assert str(run.exception).splitlines() == [
        "epochs: there is no such setting; there is training.epochs",
        "nonsense: there is no such setting",
    ]
    for profile in ("quick", "omega"):  # of groups, and one that includes another
        path = str(matrix.PROFILES / f"{profile}.toml")
        run = CliRunner().invoke(app, ["train", "--config", path])
        assert f"`iter-bench reproduce --profile {path}` does them" in str(run.exception)
    run = CliRunner().invoke(app, ["train", "--seed", "1", "--set", "seed.first=3"])
    assert isinstance(run.exception, SettingsError) and str(run.exception) == "seed.first: seed is no group of settings"


def test_settings_have_dotted_names():
    values = {"seed": 1, "model": {"omega": 2, "re_training": {"epochs": 3}}}
    assert [value_of(values, name) for name in ("seed", "model.omega", "model.re_training.epochs")] == [1, 2, 3]
    assert [value_of(values, name) for name in ("encoder", "seed.omega", "data.fold", "model.omega.epochs")] == [None] * 4
    changed = with_value(with_value(values, "model.re_training.epochs", 4), "data.fold", 5)
    assert changed == {"seed": 1, "model": {"omega": 2, "re_training": {"epochs": 4}}, "data": {"fold": 5}}
    assert values == {"seed": 1, "model": {"omega": 2, "re_training": {"epochs": 3}}}, "what was given stays as it was"


def test_epochs_can_not_be_selected_by_a_score_that_the_data_have_not(tiny_encoder, documents):
    names = Schema(SCHEMA.entity_types)
    bare = [replace(document, relations=()) for document in documents[:4]]
    built = systems.system_class("iter").build(tiny_encoder, names, [replace(bare[0], entities=())], {"d_ff": 8}, seed=5)
    with pytest.raises(SettingsError, match=r"training.select_by: re_plus can't be scored without relation types"):
        built.fit(bare, bare, TRAINING.model_copy(update={"select_by": "re_plus"}), seed=5)
    assert built.config.omega == 1, "of documents without an entity"


def test_a_split_without_samples_is_refused_before_training(tmp_path):
    (tmp_path / "conll04").mkdir()
    for split in ("train", "dev", "test"):
        (tmp_path / "conll04" / f"conll04_{split}.json").write_text("[]")
    with pytest.raises(DataError, match=r"conll04 train: there are no samples to train on \(922 samples fewer than the 922"):
        load_splits(DataSettings(dataset="conll04"), tmp_path)


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("sys.argv", ["iter-bench", "train", "--work", str(tmp_path / "file" / "runs")])
    with pytest.raises(SystemExit) as end:
        main()
    message = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and message.startswith("iter-bench: ") and message.endswith(": Not a directory")


@pytest.mark.parametrize("name", systems.REGISTRY)
def test_wrong_settings_of_a_system_are_named_line_by_line(name):
    known = "max_span_words" if name == "plmarker" else "dropout"
    with pytest.raises(SettingsError) as error:
        systems.system_class(name).build("minilm", SCHEMA, [], {known: "high", "bogus": 1}, seed=1)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"settings of {name}, {known}: Input should be a valid")
    assert second == f"settings of {name}, bogus: there is no such setting"


def test_brackets_and_json_of_raw_text():
    text = "Barack Obama was born in Honolulu, Hawaii."
    document, offsets = document_from_text(text, "0")
    assert document.words == ("Barack", "Obama", "was", "born", "in", "Honolulu", ",", "Hawaii", ".")
    person, place, state = Entity(0, 2, "person"), Entity(5, 8, "location"), Entity(7, 8, "state")
    found = Extraction("0", (person, place, state), (Relation(person, place, "born_in", 0.9),))
    assert as_brackets(text, document, offsets, found).splitlines() == [
        "[Barack Obama]person was born in [Honolulu, [Hawaii]state]location.",
        "  Barack Obama --born_in--> Honolulu, Hawaii",
    ]
    assert '"start": 25, "end": 41' in as_json(text, document, offsets, found)
    crossing = Extraction("0", (Entity(1, 4, "b"), Entity(0, 2, "a"), Entity(3, 4, "c")))
    assert as_brackets(text, document, offsets, crossing).splitlines() == [
        "[Barack Obama]a was [born]c in Honolulu, Hawaii.",
        "  [Obama was born]b",
    ]
    unlisted = json.loads(as_json(text, document, offsets, Extraction("0", (place,), found.relations)))
    listed = [unlisted["entities"][unlisted["relations"][0][end]] for end in ("head", "tail")]
    assert [(end["text"], end["type"]) for end in listed] == [("Barack Obama", "person"), ("Honolulu, Hawaii", "location")]
    assert document_from_text("  ", "1")[0] == Document("1", ())


def test_a_folder_without_a_system_is_refused_in_one_sentence(tmp_path, tiny_encoder):
    for folder in (tmp_path, tmp_path / "missing", "missing", tiny_encoder):
        with pytest.raises(UserError, match="checkpoint"):
            systems.load_system(folder)


def test_what_was_left_out_is_said(tiny_encoder, tmp_path):
    from iter_bench.cli.notes import lines_of
    from iter_bench.document import Dataset, Document, Entity
    from iter_bench.run import describe

    system = systems.system_class("iter").build(tiny_encoder, SCHEMA, [], {"omega": 1, "d_ff": 16}, seed=1)
    one, two = SCHEMA.entity_types[:2]
    nested = (Entity(0, 3, one), Entity(1, 3, two), Entity(2, 3, one))
    document = Document("nested", ("the", "old", "man", "\u200b"), nested)
    said = lines_of(describe(system, Dataset("synthetic", "test", (document,), SCHEMA, {"bad records left out": 2})))
    assert said[0] == "test: 2 × bad records left out; 1 × words without sub-token"
    assert said[1].startswith("test: out of the system's reach: ") and "the best F1 is then ner 50.00" in said[1]
    system.save(tmp_path / "system")
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "system"), "Rome \u200b ."])
    assert result.exit_code == 0 and "1 × words without sub-token" in result.stderr and "words" not in result.stdout
