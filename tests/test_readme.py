"""What README.md says of clamps, and of what is at the top of the package, is so."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from small_models import small_model, small_sequences

import coopetition_interp as ci
from coopetition_interp.interventions import known_clamps

README = (Path(__file__).parent.parent / "README.md").read_text()
SECTION = README.split("\n## Clamps\n")[1].split("\n## ")[0]
ROWS = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", SECTION, re.MULTILINE))


@pytest.mark.parametrize("name", ROWS)
def test_a_clamp_of_the_table_is_at_the_top_of_the_package_and_has_its_fields(name):
    kind = getattr(ci, name)
    assert issubclass(kind, ci.Clamp)
    assert name in ci.__all__
    told = [field for field in ROWS[name].split(", ") if field]
    assert set(told) <= {field.name for field in fields(kind)}


def test_the_table_has_every_clamp_of_the_package():
    ours = [k for k in known_clamps().values() if k.__module__.startswith("coopetition_interp.")]
    assert ROWS.keys() == {kind.__name__ for kind in ours}


def test_the_clamp_of_ones_own_runs_as_it_is_written():
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    names = {"__name__": "readme_clamp"}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    model, sequences = small_model(), small_sequences()
    halved = ci.run_clamped(model, sequences, [names["HalveLayers"](layers=(0,))])
    assert not halved.equal(ci.run_clamped(model, sequences, []))


@pytest.mark.parametrize("name", sorted({*re.findall(r"\bci\.(\w+)", README)} - {"NAME"}))
def test_what_it_names_is_at_the_top_of_the_package(name):
    assert hasattr(ci, name)
