"""Files of a study that are damaged, of another shape, or lead elsewhere are told as such."""

import json
import os
import shutil
from pathlib import Path

import pytest

from analyses.induction_heads.heads import heads_at_end
from coopetition_interp.reporting.packed_index import StudyError
from coopetition_interp.reporting.study import Study

PACKED = Path(__file__).parent.parent.parent / "checkpoints" / "induction-heads"
RUN = "seed-5/main"
"""One whose weights the copy holds."""


def of_runs(runs):
    """An index with these runs."""
    return f'{{"at_published_scale": true, "runs": {runs}}}'


@pytest.fixture
def packed(tmp_path):
    """A copy of a committed study, to be damaged."""
    return shutil.copytree(PACKED, tmp_path / "packed")


def test_the_copy_is_read_while_it_is_whole(packed):
    study = Study(packed)
    assert len(study.measured(heads_at_end, "main", init_seed=5)) == 16
    assert len(study.metrics(RUN)) > 0
    assert study.config(RUN) == study.load(RUN).config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "holds list in JSON"),
        ("{}", "at_published_scale is missing"),
        ('{"at_published_scale": 1, "runs": {}}', "at_published_scale: .*"),
        (of_runs("[]"), "runs: .*dictionary"),
        (of_runs('{"main": 3}'), "runs.main: .*; got 3"),
        (of_runs('{"main": {"status": {}}}'), "runs.main.about is missing"),
        (of_runs('{"main": {"about": {"role": "main"}}}'), "runs.main.about: .*init_seed"),
        (
            of_runs('{"main": {"about": {"role": "main", "init_seed": 5}, "config": []}}'),
            "runs.main.config: .*",
        ),
    ],
)
def test_an_index_of_another_shape_names_file_and_field(packed, content, message):
    (packed / "study.json").write_text(content)
    with pytest.raises(StudyError, match=rf"study\.json .*{message}.*: pack the study again"):
        Study(packed)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc", "seed-5/../../x", "", ".", "a//b", "a\nb", "a\0b", "..\\x"]
)
def test_a_run_whose_name_leads_out_of_the_study_is_refused(packed, name):
    index = json.loads((packed / "study.json").read_text())
    index["runs"][name] = index["runs"][RUN]
    (packed / "study.json").write_text(json.dumps(index))
    with pytest.raises(StudyError, match="should be a path inside the study"):
        Study(packed)


def test_a_link_that_leads_out_of_a_packed_study_is_refused(packed, tmp_path):
    shutil.move(packed / RUN, tmp_path / "elsewhere")
    (packed / RUN).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match=rf"{RUN} leads out of the study"):
        Study(packed).load(RUN)


def test_a_config_in_the_index_that_is_none_is_named(packed):
    index = json.loads((packed / "study.json").read_text())
    index["runs"][RUN]["config"]["batch_size"] = "many"
    (packed / "study.json").write_text(json.dumps(index))
    with pytest.raises(StudyError, match=rf"study\.json .*\(runs\.{RUN}\.config: batch_size"):
        Study(packed).config(RUN)


@pytest.mark.parametrize("content", [b"", b"a,b\n1\n", b"a,b\n1,2", b"\xff\xfe", b'a\n"1\n'])
def test_a_damaged_table_is_named(packed, content):
    for file in (packed / "tables" / heads_at_end.name).iterdir():
        file.write_bytes(content)
    name = rf"{heads_at_end.name}/\w+\.csv"
    with pytest.raises(StudyError, match=rf"{name} is damaged .*: pack the study again"):
        Study(packed).measured(heads_at_end, "main", init_seed=5)


def test_damaged_or_missing_metrics_are_named(packed):
    metrics = packed / "metrics.csv"
    text = metrics.read_text()
    metrics.write_text(text.replace("sequences_seen", "seen"))
    with pytest.raises(StudyError, match=r"metrics\.csv is damaged .*no column sequences_seen"):
        Study(packed).metrics(RUN)
    metrics.write_text(
        "".join(line for line in text.splitlines(True) if not line.endswith(f"{RUN}\n"))
    )
    with pytest.raises(StudyError, match=rf"metrics\.csv has no rows of {RUN}"):
        Study(packed).metrics(RUN)
    metrics.unlink()
    os.mkfifo(metrics)
    with pytest.raises(StudyError, match=r"metrics\.csv is a named pipe"):
        Study(packed).metrics(RUN)
