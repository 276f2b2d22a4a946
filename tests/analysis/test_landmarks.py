import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coopetition_interp.analysis.landmarks import Peak, landmark_table, landmarks

X = np.arange(0, 3_000_001, 50_000)


def metrics_of(curves, sequences_seen=X, **columns):
    """A row per moment and evaluator; ``columns`` are the same in every row."""
    return pd.concat(
        [
            pd.DataFrame(
                {"sequences_seen": sequences_seen, "evaluator": name, "in_context_accuracy": values}
                | columns
            )
            for name, values in curves.items()
        ],
        ignore_index=True,
    ).sort_values("sequences_seen", kind="stable", ignore_index=True)


def straight(*corners):
    """Straight lines through (millions of sequences seen, value)."""
    places, values = zip(*corners, strict=True)
    return np.interp(X / 1e6, places, values)


def transient():
    return {
        "train": straight((0.2, 0.5), (0.7, 1.0)),
        "icl": straight((0.2, 0.5), (1.0, 0.9), (3.0, 0.7)),
        "ciwl": straight((0.0, 0.5), (3.0, 0.97)),
        "flip": straight((0.2, 0.5), (0.5, 0.8), (2.0, 0.05)),
    }


def test_landmarks_of_straight_lines_are_where_algebra_says():
    found = landmarks(metrics_of(transient()), window=1)
    # Train is at 0.55 after a tenth of its climb; Flip falls from 0.8 by 0.5 per million.
    assert found.plateau_end == pytest.approx(0.25e6)
    assert found.flip_peak == Peak(0.5e6, 0.8, at_end=False)
    assert found.crossing == pytest.approx(1.1e6)
    assert found.icl_peak == Peak(1.0e6, 0.9, at_end=False)
    assert found.final == pytest.approx({"train": 1.0, "icl": 0.7, "ciwl": 0.97, "flip": 0.05})
    assert found.sequences_seen == 3_000_000


def test_smoothing_moves_nothing_but_the_height_of_sharp_peaks():
    plain, smoothed = (landmarks(metrics_of(transient()), window=window) for window in (1, 5))
    assert smoothed.plateau_end == pytest.approx(plain.plateau_end)
    assert smoothed.crossing == pytest.approx(plain.crossing)
    assert smoothed.final == plain.final
    # The median of a peak is the lower of its neighbours: nothing is invented.
    assert smoothed.flip_peak.value <= plain.flip_peak.value
    assert smoothed.flip_peak.sequences_seen == pytest.approx(0.5e6, abs=100_000)


@pytest.mark.parametrize("seed", range(5))
def test_the_noise_of_5000_sequences_moves_little(seed):
    draw = np.random.default_rng(seed)
    noisy = {name: draw.binomial(5000, curve) / 5000 for name, curve in transient().items()}
    found = landmarks(metrics_of(noisy, n_sequences=5000))
    assert found.plateau_end == pytest.approx(0.25e6, abs=50_000)
    assert found.flip_peak.value == pytest.approx(0.8, abs=0.04)
    assert found.flip_peak.sequences_seen == pytest.approx(0.5e6, abs=100_000)
    assert found.crossing == pytest.approx(1.1e6, abs=50_000)
    assert found.icl_peak.value == pytest.approx(0.9, abs=0.02)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), n_sequences=st.sampled_from([100, 500, 5000]))
def test_noise_about_chance_makes_no_landmark(seed, n_sequences):
    draw = np.random.default_rng(seed)
    noise = {name: draw.binomial(n_sequences, 0.5, len(X)) / n_sequences for name in transient()}
    found = landmarks(metrics_of(noise, n_sequences=n_sequences))
    assert (found.plateau_end, found.flip_peak, found.crossing, found.icl_peak) == (None,) * 4


def test_icl_that_never_dominates_has_no_peak_and_no_crossing():
    # Flip falls from the start, though ICL is there: it starts on chance, so falls through it.
    curves = transient() | {"flip": straight((0.0, 0.51), (2.0, 0.05))}
    found = landmarks(metrics_of(curves))
    assert found.flip_peak is None
    assert found.crossing is None
    assert found.icl_peak is not None


def test_icl_that_stays_never_crosses():
    found = landmarks(metrics_of(transient() | {"flip": straight((0.2, 0.5), (0.8, 1.0))}))
    assert found.flip_peak.value == 1.0
    assert not found.flip_peak.at_end
    assert found.crossing is None


def test_a_curve_that_still_rises_peaks_at_its_end():
    found = landmarks(metrics_of(transient() | {"icl": straight((0.0, 0.5), (3.0, 0.8))}), window=1)
    assert found.icl_peak == Peak(3.0e6, 0.8, at_end=True)


def test_the_first_fall_through_chance_counts():
    resurgent = straight((0.2, 0.5), (0.5, 0.9), (1.3, 0.1), (2.0, 0.7), (3.0, 0.2))
    found = landmarks(metrics_of(transient() | {"flip": resurgent}))
    assert found.crossing == pytest.approx(0.9e6)


def test_an_early_blip_does_not_end_the_plateau():
    blip = straight((0.0, 0.5), (0.2, 0.6), (0.4, 0.5), (1.0, 0.5), (2.0, 1.0))
    found = landmarks(metrics_of(transient() | {"train": blip}), window=1)
    assert found.plateau_end == pytest.approx(1.1e6)


def test_a_plateau_that_ends_between_the_first_two_evaluations():
    steep = np.full(len(X), 1.0)
    steep[0] = 0.5
    found = landmarks(metrics_of(transient() | {"train": steep}))
    assert found.plateau_end == pytest.approx(5_000)  # a tenth of the way


@pytest.mark.parametrize("window", [1, 3, 7])
def test_one_outlier_moves_nothing_if_smoothed(window):
    metrics = metrics_of(transient())
    is_outlier = (metrics["evaluator"] == "flip") & (metrics["sequences_seen"] == 2_500_000)
    metrics.loc[is_outlier, "in_context_accuracy"] = 1.0
    expected = landmarks(metrics_of(transient()), window=window).flip_peak
    assert (landmarks(metrics, window=window).flip_peak == expected) == (window > 1)


def test_a_run_that_starts_beyond_chance_has_no_plateau():
    found = landmarks(metrics_of(transient() | {"train": straight((0.0, 0.9), (3.0, 1.0))}))
    assert found.plateau_end is None


def test_chance_depends_on_how_many_labels_are_in_context():
    curves = {name: curve - 0.25 for name, curve in transient().items()}
    assert landmarks(metrics_of(curves)).crossing is None
    found = landmarks(metrics_of(curves), chance=0.25, window=1)
    assert found.plateau_end == pytest.approx(0.25e6)
    assert found.crossing == pytest.approx(1.1e6)


def test_moments_that_are_nan_are_left_out_of_curves_but_not_of_final_values():
    metrics = metrics_of(transient())
    is_flip = metrics["evaluator"] == "flip"
    holes = metrics["sequences_seen"].isin([1_100_000, 3_000_000])
    metrics.loc[is_flip & holes, "in_context_accuracy"] = math.nan
    found = landmarks(metrics)
    assert found.crossing == pytest.approx(1.1e6)
    assert math.isnan(found.final["flip"])
    metrics.loc[is_flip, "in_context_accuracy"] = math.nan
    with pytest.raises(ValueError, match="in_context_accuracy of evaluator 'flip' is NaN"):
        landmarks(metrics)


def test_iwl_ends_with_its_accuracy_over_all_labels():
    metrics = metrics_of(transient() | {"iwl": np.full(len(X), math.nan)})
    assert math.isnan(landmarks(metrics).final["iwl"])  # not recorded
    assert landmarks(metrics.assign(accuracy=0.01)).final["iwl"] == 0.01


def test_evaluators_may_have_other_names():
    curves = transient()
    renamed = {
        name if name == "train" else f"held_out_{name}": curve for name, curve in curves.items()
    }
    found = landmarks(metrics_of(renamed), icl="held_out_icl", flip="held_out_flip")
    expected = landmarks(metrics_of(curves))
    assert (found.icl_peak, found.crossing) == (expected.icl_peak, expected.crossing)


def test_one_evaluation_is_enough_to_say_that_nothing_has_happened():
    found = landmarks(metrics_of({"train": [0.5], "icl": [0.5], "flip": [0.5]}, [0]))
    assert (found.plateau_end, found.flip_peak, found.crossing, found.icl_peak) == (None,) * 4
    assert found.sequences_seen == 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="empty"):
        landmarks(pd.DataFrame())
    metrics = metrics_of(transient())
    with pytest.raises(ValueError, match="no evaluator 'icl'; they have train, ciwl, flip"):
        landmarks(metrics[metrics["evaluator"] != "icl"])
    for window in (0, 2):
        with pytest.raises(ValueError, match=f"odd and positive, got {window}"):
            landmarks(metrics, window=window)


def test_a_table_has_a_row_per_run_and_nan_for_what_did_not_happen():
    persistent = transient() | {"flip": straight((0.2, 0.5), (0.8, 1.0))}
    never = {name: np.full(len(X), 0.5) for name in ("train", "icl", "flip", "iwl")}
    table = landmark_table(
        {
            "main": metrics_of(transient()),
            "matched": metrics_of(persistent),
            "plateau": metrics_of(never, accuracy=0.25),
        },
        window=1,
    ).set_index("run")
    assert table.loc["main", "crossing"] == pytest.approx(1.1e6)
    assert table.loc["main", "flip_peak_at"] == 0.5e6
    assert table.loc["main", "flip_peak"] == 0.8
    assert table.loc["matched", "flip_peak"] == 1.0
    assert math.isnan(table.loc["matched", "crossing"])
    assert table.loc["plateau", "plateau_end":"icl_peak"].isna().all()
    assert table.loc["plateau", "final_iwl"] == 0.25
    assert math.isnan(table.loc["main", "final_iwl"])
    assert table["sequences_seen"].tolist() == [3_000_000] * 3


def test_a_table_names_the_run_that_cannot_be_read():
    with pytest.raises(ValueError, match="run 'second': the table of metrics is empty"):
        landmark_table({"first": metrics_of(transient()), "second": pd.DataFrame()})
