from ablate.analysis.comparison import compare
from ablate.analysis.findings import findings_of
from ablate.render.comparison.sections import finding_tables, onset_table
from ablate.render.tables import to_csv, to_plain
from tests.support.factories import COLLAPSE, make_data, make_scale_fix


def findings():
    data = make_scale_fix(phases={"phase_a": COLLAPSE})
    return data, findings_of(data, compare(data))


def test_every_table_of_a_hand_written_report_is_made():
    _, (found,) = findings()

    tables = {table.title: table for table in finding_tables(found, 700)}

    assert list(tables) == [
        "Loss trends",
        "Codes (RVQ)",
        "Critical parameters",
        "Losses beside their silent values",
        "Loss budget",
        "Scale forces",
        "Events",
    ]
    parameters = to_plain(tables["Critical parameters"])
    assert "train/audio/rms" in parameters
    assert "critical" in parameters
    assert "degrading" in parameters


def test_findings_name_what_the_tables_show_together():
    _, (found,) = findings()

    text = "\n".join(found.sentences)

    assert "fell to the values of a silent output" in text
    assert "too small a part of the total to matter: rms_frame 0.06" in text
    assert "the logged terms do not add up to the total: 4." in text
    assert "train/loss/rvq rose from 1.2" in text
    assert "with the event quantizer_activated (3 of 3 runs)" in text


def test_onsets_stand_by_target_and_phase():
    data, found = findings()

    table = onset_table(found, [(key, t.text) for key, t in data.targets.items()])

    cells = [row[1].text for row in table.rows]
    assert cells[0].endswith("(3 of 3)")
    assert cells[1:3] == ["met", "met"]


def test_csv_of_a_table_holds_raw_numbers():
    data = make_data(
        {"base": {0: {"train/norm/w": [1.0, 1.0 / 3]}}}, spec={"targets": {"train/norm/w": ">= 1"}}
    )

    (found,) = findings_of(data, compare(data))
    (table,) = [t for t in finding_tables(found, 1) if t.title == "Critical parameters"]

    assert f"train/norm/w,1.0,{1 / 3!r}," in to_csv(table)


def test_a_study_without_points_has_no_findings():
    data = make_data({"base": {0: {}}})

    assert findings_of(data, compare(data)) == ()


def test_of_a_total_of_zero_nothing_is_a_share():
    logged = {"train/loss/total": 0.0, "train/loss/a": 2.0, "train/weighted/a": 1.0}
    data = make_data({"base": {0: {key: [value] * 3 for key, value in logged.items()}}})
    (found,) = findings_of(data, compare(data))

    budget = next(t for t in finding_tables(found, at_step=2) if t.title == "Loss budget")

    assert [(row[0].text, row[3].text, row[4].text) for row in budget.rows] == [
        ("a", "1", "-"),
        ("in no logged term", "-1", "-"),
        ("total", "0", "-"),
    ]
