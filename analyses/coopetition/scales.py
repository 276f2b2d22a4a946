"""How long the study's runs are, and from which seeds they are made, by preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FULL_SIZE = (12_800, 20)
SMALLER_SIZES = ((12_800, 5), (1_600, 20), (1_600, 5))
"""(classes, exemplars) of Figures 9 and 10; those of 1600 classes are unrotated characters."""


@dataclass(frozen=True)
class Scale:
    """How long the runs are and from which seeds they are made. Lengths are in sequences seen.

    Attributes:
        main: Length by initial seed.
        checkpoint_main_every: Checkpoints of main that are analysed.
        dense: From, until and step of the additional checkpoints of main around ICL's rise, on
            which Figure 5b is scored sequence by sequence.
        other_data: Length of main from other data seeds; 0 for none.
        ciwl_only: Length of the run that grafts and resumed runs are taken from.
        graft_from, graft: Its checkpoints that are grafted, and how long on.
        resume_from, resumed: Its checkpoints that bursty training starts from, and how long.
        donated_seeds: Initial seeds of ciwl_only, graft and resumed.
        seeds: Initial seeds of the runs that stand beside main.
        icl_only, graft_of_main, matched, blocked, ablated, one_layer: Lengths.
        positions, size, mlps_at_full_size, small_seeds: Lengths, and initial seeds, of the runs of
            Figures 8 to 10; 0 for none.
        long: Length of the long main run; 0 for none.
        twelve_layers: Length of the 12-layer runs; 0 for none.
        evaluate_every: Between evaluations.
        n_evaluation_sequences: Of each evaluator.
        full_size, smaller_sizes: (classes, exemplars) of main, and of the runs with fewer.
    """

    main: Mapping[int, int]
    checkpoint_main_every: int
    dense: tuple[int, int, int]
    other_data: int
    ciwl_only: int
    graft_from: tuple[int, ...]
    graft: int
    resume_from: tuple[int, ...]
    resumed: int
    donated_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    icl_only: int
    graft_of_main: int
    matched: int
    blocked: int
    ablated: int
    one_layer: int
    positions: int
    size: int
    mlps_at_full_size: int
    small_seeds: tuple[int, ...]
    long: int
    twelve_layers: int
    evaluate_every: int
    n_evaluation_sequences: int
    full_size: tuple[int, int] = FULL_SIZE
    smaller_sizes: tuple[tuple[int, int], ...] = SMALLER_SIZES


M = 1_000_000

SCALES: dict[str, Scale] = {
    # To try the machinery in a few thousand sequences; nothing is claimed of it.
    "tiny": Scale(
        main={5: 32_000, 6: 16_000},
        checkpoint_main_every=3_200,
        dense=(3_200, 9_600, 640),
        other_data=0,
        ciwl_only=16_000,
        graft_from=(0, 1_600, 16_000),
        graft=6_400,
        resume_from=(1_600, 6_400),
        resumed=6_400,
        donated_seeds=(5,),
        seeds=(5,),
        icl_only=6_400,
        graft_of_main=6_400,
        matched=16_000,
        blocked=16_000,
        ablated=16_000,
        one_layer=16_000,
        positions=6_400,
        size=6_400,
        mlps_at_full_size=6_400,
        small_seeds=(5,),
        long=0,
        twelve_layers=0,
        evaluate_every=3_200,
        n_evaluation_sequences=200,
        full_size=(64, 5),
        smaller_sizes=((64, 3), (32, 5), (32, 3)),
    ),
    # The embedded bank at a learning rate of 1e-4: runs cross at 1.8M to 2.5M, and on other data as
    # late as 2.75M. Main is three times as long; one layer longer than the crossing, at which it is
    # compared; what should cross later than main twice as long as that.
    "laptop": Scale(
        main=dict.fromkeys(range(5, 10), 7_500_000),
        checkpoint_main_every=25_000,
        dense=(200_000, 800_000, 2_000),
        other_data=9 * M,
        ciwl_only=6 * M,
        graft_from=(0, 100_000, 300_000, 600_000, 1_200_000, 2_400_000, 4_000_000, 6_000_000),
        graft=1 * M,
        resume_from=(5_000, 20_000, 100_000, 400_000, 1_200_000, 4_000_000),
        resumed=1_500_000,
        donated_seeds=(5, 6, 7),
        seeds=(5, 6, 7, 8, 9),
        icl_only=2 * M,
        graft_of_main=1 * M,
        matched=2_500_000,
        blocked=2_500_000,
        ablated=5 * M,
        one_layer=3 * M,
        positions=1_500_000,
        size=2 * M,
        mlps_at_full_size=5 * M,
        small_seeds=(5, 6, 7),
        long=20 * M,
        twelve_layers=0,
        evaluate_every=20_000,
        n_evaluation_sequences=2_000,
    ),
    # The paper's learning rate of 1e-5: the first run crosses at 5.3M. Grafts are taken until the
    # published ones no longer learn, after 31.5M. The 12-layer runs are for a cluster: the paper's
    # 400M sequences.
    "paper": Scale(
        main=dict.fromkeys((5, 6, 7), 20 * M),
        checkpoint_main_every=50_000,
        dense=(2_400_000, 4_800_000, 8_000),
        other_data=0,
        ciwl_only=64 * M,
        graft_from=(0, 4 * M, 8 * M, 9_800_000, 15 * M, 20 * M, 31_500_000, 48 * M, 64 * M),
        graft=3 * M,
        resume_from=(4 * M, 6 * M, 8 * M, 10 * M, 16 * M),
        resumed=6 * M,
        donated_seeds=(5,),
        seeds=(5,),
        icl_only=8 * M,
        graft_of_main=4 * M,
        matched=8 * M,
        blocked=8 * M,
        ablated=8 * M,
        one_layer=8 * M,
        positions=0,
        size=0,
        mlps_at_full_size=0,
        small_seeds=(),
        long=0,
        twelve_layers=400 * M,
        evaluate_every=50_000,
        n_evaluation_sequences=2_000,
    ),
}
