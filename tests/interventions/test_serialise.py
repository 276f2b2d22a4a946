"""Clamps survive JSON and the command line; nothing typed there is ever executed."""

import json
from pathlib import Path

import pytest
from drills.clamp_texts import drill
from hypothesis import given
from hypothesis import strategies as st
from small_models import small_model
from unchecked import without_shape_checks

from coopetition_interp.interventions import (
    AblateEmbedding,
    AblateHeads,
    BlockPreviousToken,
    CopyFromHead,
    During,
    GraftIn,
    GraftOut,
    HeadTemperature,
    InductionHeads,
    MatchHeads,
    PerfectLayer0,
    Preserve,
    PreviousTokenHeads,
    SelfAttentionHeads,
    SilenceExemplarAttention,
    TokenInductionHeads,
    clamp_from_dict,
    clamp_to_dict,
    known_clamps,
    parse_clamp,
)

heads = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=5)
fractions = st.floats(0, 1)
temperatures = st.floats(1e-6, 1e6)
layers = st.booleans() | st.lists(st.integers(0, 9), min_size=1).map(tuple)
paths = st.text(min_size=1).filter(lambda text: "\0" not in text)
CLAMP_FIELDS = {
    PreviousTokenHeads: st.tuples(heads, fractions, st.booleans()),
    BlockPreviousToken: st.tuples(heads, st.booleans()),
    InductionHeads: st.tuples(heads, fractions),
    TokenInductionHeads: st.tuples(heads, fractions),
    MatchHeads: st.tuples(heads, st.just(0.0) | temperatures),
    SelfAttentionHeads: st.tuples(heads, st.booleans()),
    AblateHeads: st.tuples(heads),
    AblateEmbedding: st.just(()),
    SilenceExemplarAttention: st.tuples(heads),
    HeadTemperature: st.tuples(heads, temperatures, st.booleans()),
    CopyFromHead: st.tuples(heads.map(lambda h: h[0]), st.booleans()),
    Preserve: st.tuples(st.just(True), layers, layers, layers, st.booleans()),
    PerfectLayer0: st.tuples(st.booleans()),
    GraftIn: st.tuples(paths, st.integers(-1, 20)),
    GraftOut: st.tuples(paths.map(Path).map(str), st.integers(-1, 20)),
    During: st.tuples(
        st.builds(AblateHeads, heads) | st.builds(GraftIn, paths, st.integers(-1, 3)),
        st.integers(0, 10**9),
        st.none() | st.integers(10**9 + 1, 10**12),
    ),
}


def test_every_clamp_is_listed():
    ours = [k for k in known_clamps().values() if k.__module__.startswith("coopetition_interp.")]
    assert set(CLAMP_FIELDS) == set(ours)


@pytest.mark.parametrize("kind", CLAMP_FIELDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_round_trips(kind, data):
    clamp = kind(*data.draw(CLAMP_FIELDS[kind]))
    saved = json.dumps(clamp_to_dict(clamp))
    assert clamp_from_dict(json.loads(saved)) == clamp
    assert parse_clamp(str(clamp)) == clamp
    assert parse_clamp(repr(clamp)) == clamp


def test_what_is_saved_is_readable():
    assert clamp_to_dict(PreviousTokenHeads([(0, 2)], strength=0.5)) == {
        "kind": "PreviousTokenHeads",
        "module": "coopetition_interp.interventions.attention_clamps",
        "heads": [[0, 2]],
        "strength": 0.5,
        "label_rows_only": False,
    }
    assert str(AblateHeads([(0, 2)])) == "AblateHeads(heads=[(0, 2)])"
    assert str(Preserve(patterns=(1,))) == "Preserve(patterns=(1,))"
    during = During(AblateHeads([(1, 0)]), start=2_000_000)
    assert str(during) == "During(clamp=AblateHeads(heads=[(1, 0)]), start=2000000)"
    saved = {"kind": "AblateHeads", "module": "coopetition_interp.interventions.ablations"}
    assert clamp_to_dict(during) == {
        "kind": "During",
        "module": "coopetition_interp.interventions.during",
        "clamp": {**saved, "heads": [[1, 0]]},
        "start": 2_000_000,
        "stop": None,
    }


def test_clamps_saved_without_a_module_still_load():
    saved = {"kind": "AblateHeads", "heads": [[0, 2], [1, 3]]}
    assert clamp_from_dict(saved) == AblateHeads([(0, 2), (1, 3)])
    moved = {"module": "coopetition_interp.interventions.where_it_was_once", **saved}
    assert clamp_from_dict(moved) == AblateHeads([(0, 2), (1, 3)])


@pytest.mark.parametrize(
    ("text", "clamp"),
    [
        ("AblateHeads([(0, 2), (1, 3)])", AblateHeads([(0, 2), (1, 3)])),
        (" AblateEmbedding ", AblateEmbedding()),
        ("InductionHeads([[1, 3]], strength=1)", InductionHeads([(1, 3)])),
        ("PreviousTokenHeads([(0, 2)], 0.5, True)", PreviousTokenHeads([(0, 2)], 0.5, True)),
        (
            "GraftOut('runs/main/20M.safetensors', layer=0)",
            GraftOut("runs/main/20M.safetensors", 0),
        ),
        (
            "During(AblateHeads(heads=[(1, 0)]), start=2_000_000)",
            During(AblateHeads([(1, 0)]), start=2_000_000),
        ),
        ("During(AblateEmbedding, 0, stop=1e6)", During(AblateEmbedding(), 0, 1_000_000)),
        ("GraftIn('x.safetensors', -1)", GraftIn("x.safetensors", -1)),
    ],
)
def test_command_line_forms(text, clamp):
    assert parse_clamp(text) == clamp


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AblateHeads(heads=[(0, 2)", "is not a clamp: write a clamp as in"),
        ("", "is not a clamp"),
        ("3", "is not a clamp"),
        ("a.AblateHeads([(0, 2)])", "is not a clamp"),
        ("AblateHead([(0, 2)])", "there is no clamp 'AblateHead': choose from AblateHeads"),
        ("__import__('os').system('true')", "is not a clamp"),
        ("AblateHeads(__import__('os').listdir())", "literal"),
        ("AblateHeads([(i, 0) for i in range(2)])", "literal"),
        ("AblateHeads(*[1])", "literal"),
        ("AblateHeads(**{'heads': [(0, 2)]})", "the fields of AblateHeads are heads, once each"),
        ("AblateHeads([(0, 2)], heads=[(0, 1)])", "once each"),
        ("AblateHeads([(0, 2)], 3)", "once each"),
        ("AblateHeads", "AblateHeads needs the field 'heads'"),
        ("AblateHeads(head=(0, 2))", "no field 'head'; its fields: heads"),
        ("During(AblateHeads)", "AblateHeads needs the field 'heads'"),
        ("During(open('x'))", "there is no clamp 'open'"),
        ("During([(0, 1)])", "is not a clamp"),
        ("During(During(AblateEmbedding()))", "has a time already"),
        ("During(AblateEmbedding(), 5, 5)", "stop comes after start; got start=5, stop=5"),
        ("During(AblateEmbedding(), -1)", "start is a number of sequences seen"),
        ("During(AblateEmbedding(), 1.5)", "start is a number of sequences seen"),
        ("During(AblateEmbedding(), stop=True)", "stop is a number of sequences seen"),
        ("Preserve(patterns=[[0]])", "Preserve: patterns names layers by number"),
        ("AblateHeads(" + "[" * 150 + "]" * 150 + ")", "a head is a pair"),
        ("-" * 9_000 + "1", "is not a clamp"),
        ("a" + ".b" * 4_900, "is not a clamp"),
        # By the depth that Python allows, which compiling raises, it is too deep or no literal.
        ("AblateHeads(" + "1+" * 3_000 + "1)", "is not a clamp|literal"),
        ("AblateHeads(\0)", "is not a clamp"),
        ("AblateHeads([(" + "9" * 5_000 + ", 0)])", "is not a clamp"),
        ("AblateHeads({[]: 1})", "literal"),
        ("AblateHeads([" + "(0, 1), " * 5_000 + "])", "at most 10000 characters"),
        ("InductionHeads([(1, 0)], strength='x')", "must be a finite number"),
        ("InductionHeads([(1, 0)], strength=2)", "a fraction from 0 to 1"),
    ],
)
def test_texts_that_are_no_clamps(text, message):
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        parse_clamp(text)


def test_hostile_texts_and_saved_clamps():
    with without_shape_checks():
        counts = drill(250, seed=1)
    assert set(counts) == {"clamp", "error"}
    assert counts["clamp"] > 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"heads": [[0, 2]]}, "a clamp is saved as"),
        ({"kind": "Ablate"}, "there is no clamp 'Ablate'"),
        ({"kind": 3}, "there is no clamp 3"),
        ({"kind": "AblateHeads"}, "needs the field 'heads'"),
        ({"kind": "AblateHeads", "heads": [[0]]}, "a head is a pair"),
        ({"kind": "PerfectLayer0", "layer": 0}, "no field 'layer'"),
        ({"kind": "AblateHeads", "module": "os", "heads": [[0, 1]]}, "was saved as os.AblateHeads"),
        ({"kind": "AblateHeads", "module": 3, "heads": [[0, 1]]}, "was saved as 3.AblateHeads"),
        ({"kind": "Halve", "module": "my.clamps"}, "my.clamps.Halve is not known here: `import my"),
        ({"kind": "Halve", "module": "__main__"}, "defined in a script or notebook"),
        ({"kind": "Halve", "module": "coopetition_interp.x"}, "there is no clamp 'Halve': choose"),
    ],
)
def test_dictionaries_that_are_no_clamps(data, message):
    with without_shape_checks(), pytest.raises(ValueError, match=message):
        clamp_from_dict(data)


def test_a_donor_in_memory_cannot_be_saved():
    with pytest.raises(ValueError, match="graft from that path"):
        clamp_to_dict(GraftOut(small_model(), 0))
