"""Numbers in a text: whatever is changed in a cell of a table is named, with line, cell and what the record has."""

import pandas as pd
import pytest

from iter_bench.citations import check, is_written, numbers_in

FRAMES = {
    "tables/quick.csv": pd.DataFrame(
        {"system": ["iter", "plmarker"], "ner_f1": [0.937853, 0.903299], "ner_f1_std": [None, 0.0104551], "re_f1": [0.75, 0.86]}
    ),
    "tables/speed.csv": pd.DataFrame(
        {
            "dataset": ["ACE05 (with context)", "ACE05 (with context)", "length-512", "length-512"],
            "system": ["ITER", "ASP", "ITER", "ASP"],
            "batch size": [64, 64, 1, 1],
            "samples/s": [114.086, 19.3924, 3.54, 0.31308],
        }
    ),
}
TEXT = """# What was measured

<!-- from: tables/quick.csv
| by system | - | ner_f1 | re_f1 |
-->
| system | epochs | NER F1 | RE F1 |
|---|---|---|---|
| ITER | 12 | 93.8 | 75.0 |
| PL-Marker | 4 + 4 | 90.3 ± 1.0 | 86 |

<!-- from: tables/quick.csv, tables/speed.csv
| by dataset | by batch size | samples/s [system=ITER] | samples/s [system=ASP] |
512 sub-tokens = length-512
64 (of 32) = 64
-->
| documents | batch size | ITER | ASP |
|---|---|---|---|
| ACE05, with context | 64 (of 32) | 114 | 19.4 |
| 512 sub-tokens | 1 | 3.54 | 0.313 |
"""
CHANGES = [
    (
        "| 93.8 |",
        "| 96.1 |",
        8,
        "'NER F1' of 'ITER': 96.1 is written, tables/quick.csv has 0.937853 (93.79 in percent) in 'ner_f1'",
    ),
    ("| 93.8 |", "| 90.3 |", 8, "'NER F1' of 'ITER': 90.3 is written"),  # that of the other row
    ("| 93.8 | 75.0 |", "| 75.0 | 93.8 |", 8, "'NER F1' of 'ITER': 75.0 is written"),  # that of the other column
    ("| 93.8 |", "| 93.8 ± 0.1 |", 8, "0.1 is written, tables/quick.csv has no number in 'ner_f1_std'"),
    ("± 1.0", "± 1.1", 9, "'NER F1' of 'PL-Marker': 1.1 is written, tables/quick.csv has 0.0104551 (1.046 in percent)"),
    ("| 86 |", "| 86 ± 1.0 |", 9, "tables/quick.csv has no column 're_f1_std'"),
    ("| 114 |", "| 999 |", 18, "'ITER' of 'ACE05, with context': 999 is written, tables/speed.csv has 114.086 in 'samples/s'"),
    ("| 0.313 |", "| 0.913 |", 19, "'ASP' of '512 sub-tokens': 0.913 is written"),
    ("| 114 |", "| 114 to 129 |", 18, "'114 to 129' is neither a number nor"),
    ("| PL-Marker |", "| Other |", 9, "0 rows, not one, of tables/quick.csv have system=Other"),
    ("| 93.8 | 75.0 |", "| 93.8 |", 8, "the row has 3 cells, the header 4"),
    ("from: tables/quick.csv\n", "from: tables/slow.csv\n", 6, "the records give no tables/slow.csv"),
    ("| ner_f1 |", "|", 6, "the table has 4 columns, the comment above it tells what 3 are"),
    ("| ner_f1 |", "| f1 |", 8, "tables/quick.csv has no column 'f1'"),
    (
        " [system=ASP]",
        "",
        18,
        "tables/speed.csv have dataset=ACE05, with context, batch size=64",
    ),
    ("<!-- from: tables/quick.csv\n", "<!--\n", 6, "nothing says where the numbers of this table come from"),
    ("<!-- from: tables/quick.csv\n| by system | - | ner_f1 | re_f1 |\n-->\n", "", 3, "nothing says where the numbers"),
    ("-->\n| system |", "-->\n\n| system |", 3, "neither a table nor a paragraph stands right below this comment"),
]


@pytest.mark.parametrize(("old", "new", "line", "wanted"), CHANGES)
def test_each_change_in_a_table_is_named_with_its_line(old, new, line, wanted):
    assert check(TEXT, {}, FRAMES) == (9, [])
    assert TEXT.count(old) == 1
    problems = check(TEXT.replace(old, new), {}, FRAMES)[1]
    assert any(problem.startswith(f"line {line}: ") and wanted in problem for problem in problems), problems


@pytest.mark.parametrize("cell", ["99.9", "99.9 F1", "99.9 (best)", "~99.9", "99 s", "81.2–99.9", "−99.9", "99.9, 88.1"])
def test_a_table_with_a_measured_value_in_any_form_needs_a_source(cell):
    text = f"| system | F1 |\n|---|---|\n| ITER | {cell} |\n"
    assert "nothing says where the numbers of this table come from" in check(text, {}, {})[1][0]
    assert check(text.replace(cell, "12 epochs"), {}, {}) == (0, [])


def test_a_table_may_have_other_sources_and_prose_is_no_table():
    frames = {"tables/a.csv": pd.DataFrame({"name": ["x", "y"], "n": [5, None], "share": [0.25, 0.5]})}
    text = (
        "<!-- verify: the paper's -->\n| a | b |\n|---|---|\n| x | 7 |\n\n| a | b |\n|---|---|\n| x | many |\n\n"
        "<!-- from: tables/a.csv\n| by name | n | share |\nThe second = y\n-->\n"
        "| name | n | share |\n|---|---|---|\n| **X** | 5 | 25% |\n| The second | | 50.0 |\n\n"
        "<!-- from: tables/b.csv -->\n7 or 7.5\n"
    )
    assert check(text, {"tables/b.csv": [(7.5, None)]}, frames) == (4, [])
    assert check(text.replace("| | 50.0", "| 6 | 50.0"), {"tables/b.csv": [(7.5, None)]}, frames)[1] == [
        "line 17: 'n' of 'The second': 6 is written, tables/a.csv has no number in 'n'"
    ]


def test_rows_whose_cells_are_code_are_told_apart():
    frames = {"tables/a.csv": pd.DataFrame({"name": ["synthetic-w1", "synthetic-w4", "x"], "n": [2.5, 1.5, 3.5]})}
    text = (
        "<!-- from: tables/a.csv\n| by name | n |\n`own` = x\n`other` = synthetic-w1\n-->\n"
        "| name | n |\n|---|---|\n| `synthetic-w4` | 1.5 |\n| `own` | 3.5 |\n| `other` | 2.5 |\n"
        "\n`<!-- verify: REASON -->` shows how; 7.5\n"
    )
    told = "line 12: 7.5 is supported by no record"
    checked, (only,) = check(text, {}, frames)
    assert checked == 4 and only.startswith(told)
    problems = check(text.replace("1.5", "2.5").replace("| `other` | 2.5", "| `other` | 1.5"), {}, frames)[1]
    assert [problem.split(" is ")[0] for problem in problems] == [
        "line 8: 'n' of '`synthetic-w4`': 2.5",
        "line 10: 'n' of '`other`': 1.5",
        "line 12: 7.5",
    ]


def test_what_is_written_of_a_value():
    yes = [
        ("1,234.5", 1234.51),
        ("93.8", 0.937853),
        ("0.94", 0.937853),
        ("114", 114.086),
        ("0.313", 0.31308),
        ("5", 5),
        ("1.0", 0.0104551),
    ]
    assert all(is_written(number, value) for number, value in yes)
    assert is_written("218", 217_842_000, million=True) and not is_written("218", 217_842_000)
    assert is_written("−59.8", -0.5982) and is_written(".25", 0.2493)
    no = [("-59.8", 0.5982), ("59.8", -0.5982)]
    no += [("93.7", 0.937853), ("1", 0.937853), ("0", 0.31308), ("9", 9.13), ("1.1", 0.0104551)]
    assert not any(is_written(number, value) for number, value in no)


def test_what_counts_as_a_number_in_prose():
    text = "Python 3.11 torch 2.13 v1.2.3 `7.5` [8.5](a9.5) 1.25, 2.5.\n```\n3.5\n```\n"
    text += "<!-- verify: -->\n4.5 % 5.125 6.0625 | 6.0"
    assert list(numbers_in(text)) == [(1, "8.5"), (1, "1.25"), (1, "2.5"), (6, "4.5"), (6, "5.125"), (6, "6.0625"), (6, "6.0")]
    text = "7 epochs, 64 to 128 words, 30 to 65 %, 9 % and 12.5 %"
    assert list(numbers_in(text)) == [(1, "30"), (1, "65"), (1, "9"), (1, "12.5")]
    text = "4.3x as fast, 2.5M parameters, 12.5s, 5%, 30 to 65%, 1,234.5 and 1,200 %, 0.4% in 3,000 texts"
    found = ["4.3", "2.5", "12.5", "5", "30", "65", "1,234.5", "1,200", "0.4"]
    assert [number for _, number in numbers_in(text)] == found
    assert list(numbers_in("1.2.3, 2.5e-3, 2.5E6, v1.2, 1.2.dev0, x86, 0.1.0rc1, 1234 and 1,234")) == []


def test_whole_numbers_that_say_what_was_measured_count_in_prose():
    measured = (
        "612 documents a second, 613 samples/s and 64 sentences per second, NER 84, RE+ 65, F1 of 66, 344 of the 999 entities, "
        "took 18\n  minutes, 7 or 8 points, 11× as fast, 5 times, 218 to 229 million parameters, 1,200 joules, 3 GiB, 12s, "
        "RE+ −59.8, -3 points, 99 percent, 98x, 97-fold, 96 docs/s, 95 F1, an F1 of about 94, .93, 91–92 %, 12\u00a0%, "
        "NER **83**, F1 is 82, recall 81, 18-minute, 70, 71 and 72 points"
    )
    found = "612 613 64 84 65 66 344 999 18 7 8 11 5 218 229 1,200 3 12 −59.8 -3 99 98 97 96 95 94 .93 91 92".split()
    found += "12 83 82 81 18 70 71 72".split()
    assert [number for _, number in numbers_in(measured)] == found
    assert [line for line, number in numbers_in(measured) if number in ("613", "1,200")] == [1, 2]
    assert list(numbers_in("Table 2 records what, 2 x 3")) == []
    settings = "Table 3, ω = 3, 12 epochs, seeds 1 and 2, 64 sub-tokens, 15 entities per 100 words, 32 documents, EMNLP 2024"
    assert list(numbers_in(settings)) == []


PROSE = """One of a file:

<!-- from: tables/a.csv, tables/b.csv -->
NER is 58.4 ± 1.3, and
0.25 of all.

No number here, and none there.
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ("58.4", "58.3", 4, "58.3 ± 1.3 is supported by no record of tables/a.csv, tables/b.csv"),
        ("58.4 ± 1.3", "58 ± 9", 4, "58 ± 9 is supported by no record"),
        ("1.3", "0.9", 4, "58.4 ± 0.9 is supported by no record"),  # the deviation of another
        ("58.4", "84.4", 4, "84.4 ± 1.3 is supported by no record"),  # the mean of another
        ("0.25", "0.26", 5, "0.26 is supported by no record of tables/a.csv"),
        ("tables/b.csv", "tables/c.csv", 3, "the records give no tables/c.csv to hold this paragraph against"),
        (", tables/b.csv", "", 5, "0.25 is supported by no record of tables/a.csv"),  # it is in the other file
        ("none there", "0.25 there", 7, "0.25 is supported by no record, since nothing says where it comes from"),
        ("<!-- from: tables/a.csv, tables/b.csv -->\n", "", 3, "58.4 is supported by no record, since nothing says"),
    ],
)
def test_each_change_in_prose_is_named_with_its_line(old, new, line, wanted):
    measured = {"tables/a.csv": [(0.58421, 0.0131), (0.8441, 0.009)], "tables/b.csv": [(0.25, None)]}
    assert check(PROSE, measured, {}) == (3, [])
    problems = check(PROSE.replace(old, new, 1), measured, {})[1]
    assert any(problem.startswith(f"line {line}: ") and wanted in problem for problem in problems), problems


def test_a_column_whose_name_has_spaces_is_quoted():
    frames = {"tables/a.csv": pd.DataFrame({"share of ceiling": [0.75094, 0.53173], "rows": [12, 13]})}
    text = "<!-- from: tables/a.csv 'share of ceiling' -->\n53 to 75 % of it.\n"
    assert check(text, {"tables/a.csv": []}, frames) == (2, [])
    unclosed = check(text.replace("ceiling'", "ceiling"), {"tables/a.csv": []}, frames)[1]
    assert any("line 1: this comment can't be read: No closing quotation" in problem for problem in unclosed)
    assert check(text.replace("75", "13"), {"tables/a.csv": []}, frames)[1] == [
        "line 2: 13 is supported by no record of tables/a.csv in share of ceiling"
    ]


NAMED = """<!-- from: tables/quick.csv, tables/speed.csv ner_f1 samples/s -->
NER 93.8 and 90.3 ± 1.0, at 114 or 114.1 documents/s.
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ("93.8", "75.0", 2, "75.0 is supported by no record of tables/quick.csv, tables/speed.csv in ner_f1, samples/s"),
        ("90.3 ± 1.0", "93.8 ± 1.0", 2, "93.8 ± 1.0 is supported by no record"),
        ("114.1", "64.0", 2, "64.0 is supported by no record"),  # a batch size
        (" ner_f1", "", 2, "93.8 is supported by no record of tables/quick.csv, tables/speed.csv in samples/s"),
        ("ner_f1", "f1", 1, "tables/quick.csv, tables/speed.csv: there is no column 'f1'"),
        ("tables/speed.csv", "tables/slow.csv", 1, "the records give no tables/slow.csv"),
    ],
)
def test_columns_that_a_paragraph_names_are_all_that_it_may_cite(old, new, line, wanted):
    measured = {name: [] for name in FRAMES}
    assert check(NAMED, measured, FRAMES) == (5, [])
    problems = check(NAMED.replace(old, new, 1), measured, FRAMES)[1]
    assert any(problem.startswith(f"line {line}: ") and wanted in problem for problem in problems), problems
