"""The search against runs that are a known function of their settings; nothing is trained."""

import math
import os
import signal
import tomllib
from functools import partial

import pytest
from record_examples import record

from iter_bench import matrix, records, search
from iter_bench.errors import ProcessKilled, SettingsError, UserError
from iter_bench.execution import processes, raiser
from iter_bench.settings import RunSettings

ONE_BY_ONE = processes(1)
FILE = """
description = "A known function."
trials = 10
sampler_seed = 3
[base.data]
dev = "none"
test = "dev"
[base.training]
epochs = 2
lr_encoder = 5e-5
[base.model]
activation = "gelu"
[space]
"training.lr_encoder" = { low = 1e-5, high = 1e-2, log = true }
"training.batch_size" = { low = 4, high = 16 }
"model.activation" = { choices = ["gelu", "relu"] }
"""


def execute(run: RunSettings, report: None):
    """Best at 1e-3 and gelu; ReLU with large batches always fails."""
    if run.model["activation"] == "relu" and run.training.batch_size > 8:
        raise FloatingPointError("the loss is no longer finite")
    quality = 90 - round(10 * abs(math.log10(run.training.lr_encoder) + 3)) - 20 * (run.model["activation"] == "relu")
    return record(quality=quality).model_copy(update={"settings": run, "run_id": run.run_id})


def optimise(wanted, folder, execute=execute, engine=ONE_BY_ONE, report=lambda *_: None, **given):
    given = {"journal": folder / "journal", "stored": folder / "runs"} | given
    return search.optimise(wanted, execute, engine=engine, report=report, **given)


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "known.toml"
    path.write_text(FILE)
    return search.load_search(str(path))


def test_a_search_goes_on_where_it_was_and_its_best_setting_is_a_run(wanted, tmp_path):
    calls, ran = [], []

    def kept(run, report):
        ran.append(run.run_id)
        found = execute(run, report)
        records.write(found, tmp_path / "runs")
        return found

    class Killed(Exception):
        pass

    def killed(run, event):
        calls.append((run, event))
        if len(calls) == 4:
            raise Killed

    with pytest.raises(Killed):
        optimise(wanted, tmp_path, kept, report=killed)
    assert calls.pop(0)[0] == wanted.base  # so that no search ends worse than it began
    calls.clear()
    done, failed = optimise(wanted, tmp_path, kept, report=lambda run, event: calls.append((run, event)))
    assert len(ran) == len(set(ran)) == 10, "what was finished isn't done again"
    assert len(calls) == 10 and len(done) + len(failed) == len({run.run_id for run, _ in calls}) == 10
    assert {r.run_id for r in done} == {run.run_id for run, event in calls if "finished" in event}
    assert all("finite" in reason for reason in failed.values())
    f1 = [r.scores.test["strict"]["re_plus"].f1 for r in done]
    assert f1 == sorted(f1, reverse=True) and done[0].settings.model["activation"] == "gelu"
    best = tmp_path / "best.toml"
    search.write_best(wanted, done[0], best)
    assert RunSettings.model_validate(tomllib.loads(best.read_text())) == done[0].settings
    profile = tmp_path / "profile.toml"
    group = f'[[group]]\nrecipe = "{best}"\nseeds = [1, 2]\ndata = {{ test = "test" }}'
    profile.write_text(f'description = "What was found, on the test split."\n{group}')
    for seed, run in enumerate(matrix.load_profile(str(profile)).runs(), 1):
        assert (run.seed, run.data.test, run.training) == (seed, "test", done[0].settings.training)


def test_a_search_goes_on_elsewhere_from_the_records_of_its_trials(wanted, tmp_path):
    first, failed = optimise(wanted.model_copy(update={"trials": 6}), tmp_path / "here")
    assert len(first) + len(failed) == 6 and len(first) > 1
    others = [record(seed, quality=99) for seed in (1, 2)]  # of other settings: no trials of this search
    other_seed = wanted.base.model_copy(update={"seed": 7})
    others.append(record(quality=99).model_copy(update={"settings": other_seed, "run_id": other_seed.run_id}))
    for found in (*first, *others):
        records.write(found, tmp_path / "runs")
    ran = []

    def counted(run, report):
        ran.append(run)
        return execute(run, report)

    done, failed = optimise(wanted, tmp_path, counted, journal=tmp_path / "there", recorded=True)
    assert len(ran) == 10 - len(first) and not {run.run_id for run in ran} & {r.run_id for r in first}
    assert len(done) + len(failed) == 10 and {r.run_id for r in first} < {r.run_id for r in done}
    for found in done:
        records.write(found, tmp_path / "runs")
    again, _ = optimise(wanted, tmp_path, None, journal=tmp_path / "there")
    assert [r.run_id for r in again] == [r.run_id for r in done]

    (tmp_path / "without").mkdir()
    for found in first:
        if found.run_id != wanted.base.run_id:
            records.write(found, tmp_path / "without")
    ran.clear()
    optimise(wanted, tmp_path, counted, journal=tmp_path / "third", stored=tmp_path / "without", recorded=True)
    assert ran[0] == wanted.base, "the base is tried wherever none of the records is of it"


def test_a_trial_whose_process_is_killed_is_no_verdict_on_its_setting(wanted, tmp_path):
    def engine(runs, execute, report):
        for number, run in enumerate(runs):
            yield run, raiser(ProcessKilled("killed 3 times")) if number == 2 else partial(execute, run, None)

    proposed = []
    with pytest.raises(UserError, match=r"killed 3 times\nAll other trials are kept"):
        optimise(wanted, tmp_path, engine=engine, report=lambda run, event: proposed.append(run.run_id))
    done, failed = optimise(wanted, tmp_path)
    assert {r.run_id for r in done} | set(failed) == set(proposed) and len(proposed) == 10


def be_killed_once(folder, run, report):
    """The base's process is killed the first time, when it has told of a step."""
    report({"step": 1, "steps": 2})
    if run.training.lr_encoder == 5e-5 and not (folder / "killed").exists():
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(run, report)


@pytest.mark.slow
def test_trials_side_by_side_are_proposed_one_by_one_and_begun_again_where_a_process_is_killed(wanted, tmp_path):
    told = []
    done, failed = optimise(
        wanted, tmp_path, partial(be_killed_once, tmp_path), processes(2), lambda run, event: told.append((run.run_id, *event))
    )
    assert len(done) + len(failed) == 10
    assert [name for name, kind, *_ in told if kind == "killed"] == [wanted.base.run_id]
    last = {name: i for i, (name, kind, *_) in enumerate(told) if kind in ("finished", "failed")}
    assert len(last) == 10 and sorted(name for name, kind, *_ in told if kind == "step").count(wanted.base.run_id) == 2
    begun = [i for i, (name, kind, *_) in enumerate(told) if kind == "step"]
    assert sum(i > sorted(last.values())[4] for i in begun) >= 3, "later trials begin when earlier ones have ended"


def test_a_search_is_refused_on_the_test_split_and_for_settings_that_there_are_not(tmp_path):
    for good, bad, reason in (
        ('test = "dev"', 'test = "test"', 'spoils it: data.test is "test"'),
        ('test = "dev"', 'test = "dev+test"', r'spoils it: data.test is "dev\+test"'),
        ('dev = "none"', 'dev = "test"', 'spoils it: data.dev is "test"'),
        ('dev = "none"', 'train = "train+test"', r'spoils it: data.train is "train\+test"'),
        ('dev = "none"', 'dataset = "ade"\ntrain = "all"', 'spoils it: data.train is "all"'),
        ("[space]", '[space]\n"data.test" = { choices = ["dev", "test"] }', 'spoils it: data.test is "test"'),
        ("training.lr_encoder", "training.rate", "rate"),
        ("trials = 10", "trials = 0", "trials"),
        ('activation = "gelu"\n[space]', "[space]", "model.activation"),
        ("lr_encoder = 5e-5", "lr_encoder = 5e-6", "training.lr_encoder"),
    ):
        path = tmp_path / "bad.toml"
        path.write_text(FILE.replace(good, bad))
        with pytest.raises(SettingsError, match=reason):
            search.load_search(str(path))
    with pytest.raises(SettingsError, match="conll04-iter"):
        search.load_search("nothing")


def test_a_search_may_train_and_tune_on_all_that_is_not_test(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text(FILE.replace('dev = "none"', 'train = "train+dev"\ndev = "dev"'))
    assert search.load_search(str(path)).base.data.train == "train+dev"


def test_the_searches_of_the_package_can_be_read():
    assert search.search_names() and all(search.load_search(name).trials for name in search.search_names())
