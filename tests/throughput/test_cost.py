"""The cost sheet against numbers worked out by hand."""

import json

import pytest
from throughput_examples import measured
from typer.testing import CliRunner

from iter_bench import records
from iter_bench.cli import app
from iter_bench.errors import UserError
from iter_bench.throughput.cost import costs
from iter_bench.throughput.settings import Subject
from iter_bench.throughput.workloads import of_length


def test_a_billion_documents_by_hand(tmp_path):
    power = {"watts": 300.0, "joules_per_sample": 0.5, "seconds": 12.0}
    slow = measured(rates=(49.0, 50.0, 51.0), batch_size=4)
    fast = measured(rates=(240.0, 250.0, 260.0), batch_size=16, power=power)
    invalid = measured(rates=(900.0, 1000.0, 1100.0), batch_size=32, problems=("others",))
    unmeasured = measured("asp", rates=(10.0, 10.0, 10.0))
    asp, iter_ = costs([slow, fast, invalid, unmeasured], 10**9)
    assert (iter_["system"], iter_["batch_size"], iter_["run"]) == ("iter", 10, fast.run_id)  # of 16, but a call has 10
    assert iter_["documents_per_second"] == pytest.approx(250)
    assert iter_["hours"] == pytest.approx(1111.11, abs=0.01)  # 10⁹ ÷ 250 = 4·10⁶ s
    assert iter_["joules_per_million"] == 500_000
    assert iter_["kwh"] == pytest.approx(138.89, abs=0.01)  # 5·10⁸ J ÷ 3.6·10⁶
    assert asp["hours"] == pytest.approx(27_777.8, abs=0.1)
    assert asp["joules_per_document"] is asp["joules_per_million"] is asp["kwh"] is None
    sparse = measured(rates=(900.0, 1000.0, 1100.0), workload=of_length(64, 8, 2.5))
    narrow = measured(rates=(900.0, 1000.0, 1100.0), lineup=[Subject(system="iter", model={"omega": 1})])
    rows = costs([fast, sparse, narrow], 10**9)
    found = {(row["setting"], row["density"]): row["documents_per_second"] for row in rows}
    assert found == {("", 15.0): 250.0, ("", 2.5): 1000.0, ("omega=1", 15.0): 1000.0}, "no speed of another setting or text"
    for record in (slow, fast, invalid, unmeasured):
        records.write(record, tmp_path / "throughput")
    shown = CliRunner().invoke(app, ["cost", "--documents", "1000", "--results", str(tmp_path), "--json"])
    assert json.loads(shown.stdout)["costs"] == costs([slow, fast, unmeasured], 1000)
    table = CliRunner().invoke(app, ["cost", "--results", str(tmp_path)]).stdout
    assert "1,000,000,000 documents" in table and "138.9" in table and "3600" in table
    nothing = CliRunner().invoke(app, ["cost", "--results", str(tmp_path / "none")])
    assert isinstance(nothing.exception, UserError)
