"""How alike heads are, against numpy on sequences of known deltas."""

import numpy as np
import pandas as pd
import pytest

from coopetition_interp.analysis.head_correlations import delta_correlations


def test_pairs_of_a_layer_have_their_correlation():
    deltas = np.random.default_rng(0).normal(size=(50, 2, 3))
    index = pd.MultiIndex.from_product([range(50), range(2), range(3)])
    table = pd.DataFrame({"delta": deltas.ravel()}, index=index)
    table = table.rename_axis(["sequence", "layer", "head"]).reset_index()
    found = delta_correlations(table, layer=1).set_index(["head", "other"])["correlation"]
    assert list(found.index) == [(0, 1), (0, 2), (1, 2)]
    for (one, other), correlation in found.items():
        expected = np.corrcoef(deltas[:, 1, one], deltas[:, 1, other])[0, 1]
        assert correlation == pytest.approx(expected)


def test_one_head_makes_no_pair():
    table = pd.DataFrame({"sequence": [0, 1], "layer": 1, "head": 0, "delta": [0.1, 0.2]})
    with pytest.raises(ValueError, match="1 heads"):
        delta_correlations(table, layer=1)
