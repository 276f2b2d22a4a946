import dataclasses

import numpy as np
import pandas as pd
import pytest
from own_task import FirstTokenConfig

from coopetition_interp.analysis.attention_patterns import query_row_names, token_names
from coopetition_interp.interventions import PreviousTokenHeads
from coopetition_interp.reporting import write_figure
from coopetition_interp.reporting.checkpoint_explorer import attention_explorer, checkpoint_explorer
from coopetition_interp.reporting.evaluators import evaluator_curves

ROWS = [*token_names(2)[:-1], "query (A right)", "query (B right)"]


@pytest.fixture(scope="module")
def explorer(short_run):
    return checkpoint_explorer(short_run, n_sequences=100)


def made_up_attention(n_checkpoints, n_heads, n_pairs=2):
    """Of two layers; values with as many digits as real ones."""
    keys, rows = token_names(n_pairs), token_names(n_pairs)[:-1] + query_row_names(n_pairs)[:-1]
    values = np.random.default_rng(0)
    return pd.DataFrame(
        [
            (checkpoint * 50_000, layer, head, query, key, values.random())
            for checkpoint in range(n_checkpoints)
            for layer in range(2)
            for head in range(n_heads)
            for row, query in enumerate(rows)
            for key in keys[: row + 1]
        ],
        columns=["sequences_seen", "layer", "head", "query", "key", "attention"],
    )


def made_up_curves(n_moments):
    values = np.random.default_rng(1)
    return evaluator_curves(
        pd.concat(
            pd.DataFrame(
                {
                    "sequences_seen": np.arange(n_moments) * 20_000,
                    "evaluator": name,
                    "in_context_accuracy": values.random(n_moments),
                }
            )
            for name in ("icl", "ciwl", "flip", "train")
        )
    )


def heatmaps(traces):
    return [trace for trace in traces if trace.type == "heatmap"]


def panel_titles(figure):
    return [each.text for each in figure.layout.annotations if each.text.startswith("layer")]


def test_every_frame_holds_the_patterns_of_its_checkpoint(short_run, explorer):
    sequences = short_run.evaluation_sequences["flip"][:100]
    right = (sequences.context_labels == sequences.right_labels[:, None]).numpy()
    assert [int(frame.name) for frame in explorer.frames] == short_run.checkpoints
    for frame, seen in zip(explorer.frames, short_run.checkpoints, strict=True):
        _, cache = short_run.model(seen).run_with_cache(sequences)
        panels = iter(heatmaps(frame.data))
        for layer in range(2):
            for head in range(4):
                pattern = cache["pattern", layer][:, head].numpy()
                expected = np.vstack(
                    [
                        pattern.mean(0)[:-1],
                        pattern[right[:, 0]].mean(0)[-1],
                        pattern[right[:, 1]].mean(0)[-1],
                    ]
                )
                found = np.array(next(panels).z, dtype=float)
                reached = ~np.isnan(found)
                assert (reached == np.tri(6, 5, dtype=bool)).all()
                # half of the last digit, and float32 sums in another order
                np.testing.assert_allclose(found[reached], expected[reached], atol=5.01e-4)
        assert next(panels, None) is None
        assert list(frame.data[0].x) == [seen / 1e6] * 2


def test_what_is_shown_first_is_the_first_frame(explorer):
    first = explorer.frames[0]
    assert explorer.layout.sliders[0].active == 0
    for place, trace in zip(first.traces, first.data, strict=True):
        assert explorer.data[place].type == trace.type
        if trace.type == "heatmap":
            assert explorer.data[place].z == trace.z
        else:
            assert explorer.data[place].name == "checkpoint shown"
            assert list(explorer.data[place].x) == list(trace.x)


def test_panels_are_named_by_head_tokens_by_role_and_share_one_scale(explorer):
    panels = heatmaps(explorer.data)
    titles = [f"layer {layer} head {head}" for layer in range(2) for head in range(4)]
    assert panel_titles(explorer) == titles
    for panel in panels:
        assert list(panel.x) == token_names(2)
        assert list(panel.y) == ROWS
        assert panel.coloraxis == "coloraxis"
        assert explorer.layout[f"yaxis{panel.yaxis[1:]}"].autorange == "reversed"
    # A panel's title stands over the panel of that head.
    for title, panel in zip(explorer.layout.annotations, panels, strict=False):
        left, right = explorer.layout[f"xaxis{panel.xaxis[1:]}"].domain
        assert left < title.x < right
    assert (explorer.layout.coloraxis.cmin, explorer.layout.coloraxis.cmax) == (0, 1)
    assert explorer.layout.title.text == "short: mean attention on 100 Flip sequences"


def test_curves_are_the_runs_metrics(short_run, explorer):
    curves = [trace for trace in explorer.data if trace.legendgroup]
    assert [trace.name for trace in curves] == ["Train", "ICL", "CIWL", "Flip"]  # IWL has none
    metrics = short_run.metrics
    flip = metrics[metrics.evaluator == "flip"]
    assert list(curves[3].y) == flip.in_context_accuracy.tolist()
    assert list(curves[3].x) == (flip.sequences_seen / 1e6).tolist()
    assert {trace.xaxis for trace in curves} == {"x"}


def test_a_slider_and_buttons_to_play_and_pause(short_run, explorer):
    steps = explorer.layout.sliders[0].steps
    assert [step.label for step in steps] == ["0", "640", "1.28k", "1.92k"]
    names = [frame.name for frame in explorer.frames]
    assert [step.args[0] for step in steps] == [(name,) for name in names]
    play, pause = explorer.layout.updatemenus[0].buttons
    assert (play.label, play.method, play.args[0]) == ("Play", "animate", None)
    assert play.args[1]["frame"]["redraw"]  # without it heatmaps stay as they are
    assert play.args[1]["fromcurrent"]
    assert (pause.label, pause.method, pause.args[0]) == ("Pause", "animate", (None,))


def test_forty_checkpoints_of_sixteen_heads_stay_small():
    figure = attention_explorer(made_up_curves(400), made_up_attention(40, 8))
    assert len(figure.frames) == 40
    assert len(heatmaps(figure.data)) == 16
    assert len(figure.to_json()) < 500_000
    assert figure.layout.height == 700


def test_layers_do_not_share_a_row():
    figure = attention_explorer(made_up_curves(3), made_up_attention(2, 5))
    rows = [figure.layout[f"yaxis{panel.yaxis[1:]}"].domain for panel in heatmaps(figure.data)]
    assert len(set(rows)) == 4
    assert rows[:4] == rows[:1] * 4
    assert not set(rows[:5]) & set(rows[5:])
    tall = attention_explorer(made_up_curves(3), made_up_attention(1, 8, n_pairs=8))
    assert tall.layout.height > 1400  # every token can be named


def test_chosen_heads_and_checkpoints(short_run):
    figure = checkpoint_explorer(
        short_run, "icl", heads=[(1, 2)], n_checkpoints=2, n_sequences=10**6
    )
    assert panel_titles(figure) == ["layer 1 head 2"]
    first, last = short_run.checkpoints[0], short_run.checkpoints[-1]
    assert [frame.name for frame in figure.frames] == [str(first), str(last)]
    assert "500 ICL sequences" in figure.layout.title.text  # as many as there are


def test_patterns_are_taken_under_the_runs_clamps(short_run):
    config = short_run.config.replace(clamps=(PreviousTokenHeads([(0, 1)]),))
    clamped = dataclasses.replace(short_run, config=config)
    figure = checkpoint_explorer(clamped, heads=[(0, 1)], n_checkpoints=1, n_sequences=20)
    held = heatmaps(figure.data)[0].z
    assert [held[row][row - 1] for row in range(1, 5)] == [1.0] * 4
    assert "clamps of its training held" in figure.layout.title.text


def test_a_run_without_in_context_accuracy_is_shown_by_its_accuracy(explorer, short_run, tmp_path):
    of_iwl = dataclasses.replace(short_run, path=tmp_path)
    metrics = short_run.metrics[short_run.metrics.evaluator == "iwl"]
    metrics.to_csv(tmp_path / "metrics.csv", index=False)
    (tmp_path / "checkpoints").symlink_to(short_run.path / "checkpoints")
    figure = checkpoint_explorer(of_iwl, heads=[(0, 1)], n_checkpoints=1, n_sequences=20)
    assert list(figure.data[0].y) == metrics.accuracy.tolist()
    assert figure.layout.yaxis.title.text == "accuracy (all labels)"
    assert not figure.layout.shapes
    assert explorer.layout.yaxis.title.text == "in-context accuracy"
    assert len(explorer.layout.shapes) == 1


def test_a_run_of_another_task_is_refused(short_run):
    other = dataclasses.replace(short_run, config=FirstTokenConfig())
    with pytest.raises(ValueError, match="is a run of the task 'first_token': the explorer shows"):
        checkpoint_explorer(other)


def test_what_is_missing_is_one_clear_error(short_run, tmp_path):
    with pytest.raises(ValueError, match="no evaluator 'flop'"):
        checkpoint_explorer(short_run, "flop")
    not_evaluated = dataclasses.replace(short_run, path=tmp_path)
    with pytest.raises(ValueError, match="wait for the run's first evaluation"):
        checkpoint_explorer(not_evaluated)


def test_a_written_page_holds_the_frames_and_waits_for_play(explorer, tmp_path):
    page, *_ = write_figure(explorer, tmp_path / "explorer")
    text = page.read_text(encoding="utf-8")
    assert "Plotly.addFrames" in text
    assert "Plotly.animate(" not in text.rpartition("Plotly.newPlot")[2]
