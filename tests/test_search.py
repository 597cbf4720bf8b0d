"""The search against runs that are a known function of their settings; nothing is trained."""

import math
import tomllib

import pytest
from record_examples import record

from iter_bench import matrix, search
from iter_bench.errors import SettingsError
from iter_bench.settings import RunSettings

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


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "known.toml"
    path.write_text(FILE)
    return search.load_search(str(path))


def test_a_search_goes_on_where_it_was_and_its_best_setting_is_a_run(wanted, tmp_path):
    calls = []

    class Killed(Exception):
        pass

    def killed(run, event):
        calls.append((run, event))
        if len(calls) == 4:
            raise Killed

    with pytest.raises(Killed):
        search.optimise(wanted, execute, journal=tmp_path / "journal", workers=1, report=killed)
    done, failed = search.optimise(
        wanted, execute, journal=tmp_path / "journal", workers=1, report=lambda run, event: calls.append((run, event))
    )
    assert calls[0][0] == wanted.base  # so that no search ends worse than it began
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


def test_a_search_is_refused_on_the_test_split_and_for_settings_that_there_are_not(tmp_path):
    for good, bad, reason in (
        ('test = "dev"', 'test = "test"', "spoils"),
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


def test_the_searches_of_the_package_can_be_read():
    assert search.search_names() and all(search.load_search(name).trials for name in search.search_names())
