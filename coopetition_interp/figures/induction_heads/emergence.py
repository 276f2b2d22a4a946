"""Figures 4.3 to 4.5 of the thesis: induction heads emerge, and what each is worth."""

from __future__ import annotations

from plotly.subplots import make_subplots

from coopetition_interp.figures.induction_heads.curves import LOG_2, add_curves
from coopetition_interp.figures.induction_heads.heads import accuracy_against_strength
from coopetition_interp.figures.induction_heads.shapes import MEASURE, shape_told
from coopetition_interp.figures.study_figure import (
    Check,
    StudyFigure,
    percent,
    rank_correlation,
    study_figure,
    thousands,
)
from coopetition_interp.reporting.style import (
    PALETTE,
    TEMPLATE,
    CurveStyle,
    evaluator_styles,
    head_style,
    millions,
    sequences_seen_axis,
)
from coopetition_interp.studies.induction_curves import (
    EMERGENCE,
    EMERGENCE_SHAPE,
    SINGLE_HEAD_SHAPES,
    SINGLE_HEADS,
    split_curves,
)
from coopetition_interp.studies.induction_heads_of import strongest_heads
from coopetition_interp.studies.induction_weights import HEAD_ABLATIONS, LAYER_ABLATIONS, STRENGTHS
from coopetition_interp.studies.study import Study

EMERGED = 0.5
"""Induction strength at which a head counts as emerged."""


def emergence(study: Study) -> StudyFigure:
    """Figure 4.3: losses of the main run, and induction strength of each head over training."""
    losses, strengths = study.table(EMERGENCE), study.table(STRENGTHS)
    shape = study.table(EMERGENCE_SHAPE).iloc[0]
    curves = {str(name): rows for name, rows in losses.groupby("evaluator", sort=False)}
    figure = make_subplots(rows=1, cols=2, subplot_titles=["a) loss", "b) induction strength"])
    add_curves(figure, curves, evaluator_styles(curves), "loss", row=1, col=1)
    for head, rows in strengths.groupby("head"):
        style = head_style(int(str(head)))
        figure.add_scatter(
            x=millions(rows["sequences_seen"]),
            y=rows["induction_strength"],
            name=style.name,
            mode="lines",
            line={"color": style.colour, "width": 2},
            hovertemplate="%{y:.3f}",
            row=1,
            col=2,
        )
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text="loss (nats)", rangemode="tozero", col=1)
    figure.update_yaxes(title_text="attention to the right label minus the other", col=2)
    figure.add_hline(y=LOG_2, line={"color": "#888888", "dash": "dot", "width": 1}, col=1)
    figure.update_layout(
        title="Figure 4.3: induction heads emerge", template=TEMPLATE, width=1200, height=540
    )

    train = curves["train"]
    plateau = train[(train["loss"] - LOG_2).abs() <= 0.1]
    last = {name: rows.iloc[-1] for name, rows in curves.items()}
    final = strengths[strengths["sequences_seen"] == strengths["sequences_seen"].max()]
    final = final.set_index("head")["induction_strength"].sort_values(ascending=False)
    emerged = strengths[strengths["induction_strength"] >= EMERGED]
    first = emerged.groupby("head")["sequences_seen"].min().sort_values()
    strongest = int(final.index[0])
    numbers = [
        (
            "accuracy while the loss is within 0.1 of log 2",
            "~50%",
            f"{percent(plateau['accuracy'].mean())}, {thousands(plateau['sequences_seen'].min())} "
            f"to {thousands(plateau['sequences_seen'].max())} sequences",
        ),
        ("shape of the curve", "phase change", shape_told(shape)),
        ("final accuracy, train", "99.99%", percent(last["train"]["accuracy"], 2)),
        *(
            (f"final accuracy, {name.replace('_', ' ')}", "high", percent(row["accuracy"]))
            for name, row in last.items()
            if name != "train"
        ),
        ("strongest head", "head 3", f"head {strongest} ({final.iloc[0]:.2f})"),
        (
            "first head to emerge",
            "head 3",
            f"head {first.index[0]} at {thousands(first.iloc[0])}" if len(first) else "none",
        ),
        (f"heads with a strength over {EMERGED}", "several", str(int((final > EMERGED).sum()))),
    ]
    unseen = {name: last[name]["accuracy"] for name in last if name != "train"}
    checks = [
        Check(
            "it has a phase change",
            shape["kind"] == "phase change",
        ),
        Check(
            "accuracy of 40 to 65% on the plateau",
            bool(0.4 <= plateau["accuracy"].mean() <= 0.65),
        ),
        Check("final training accuracy of at least 99%", bool(last["train"]["accuracy"] >= 0.99)),
        Check(
            "held-out classes and label pairs at 90% or more",
            all(unseen.get(f"held_out_{what}", 0) >= 0.9 for what in ("classes", "label_pairs")),
        ),
        Check("the strongest head emerges first", bool(len(first)) and first.index[0] == strongest),
    ]
    remark = (
        f"Held-out exemplars end at {percent(unseen.get('held_out_exemplars', 0))}, their loss "
        f"rising from {curves['held_out_exemplars']['loss'].min():.2f} to "
        f"{last['held_out_exemplars']['loss']:.2f}. {MEASURE}"
        if "held_out_exemplars" in unseen
        else MEASURE
    )
    return study_figure(
        "Figure 4.3: emergence",
        "The loss stands at log 2, guessing between the labels in context, until a phase change as "
        "induction heads form; the network then generalises to unseen classes and label pairs.",
        figure,
        numbers,
        checks,
        "main",
        {"losses": losses, "strengths": strengths, "shape": study.table(EMERGENCE_SHAPE)},
        remark,
    )


def layer_ablations(study: Study) -> StudyFigure:
    """Figure 4.4: what each layer's direct path to the output is worth, over training."""
    table = study.table(LAYER_ABLATIONS)
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["a) layer 0 to output cut", "b) layer 1 to output cut"]
    )
    for layer, rows in table.groupby("cut_layer"):
        figure.add_scatter(
            x=millions(rows["sequences_seen"]),
            y=rows["loss_change"],
            name=f"layer {layer}",
            mode="lines",
            line={"color": PALETTE[int(str(layer))], "width": 2},
            hovertemplate="%{y:.3f}",
            row=1,
            col=int(str(layer)) + 1,
        )
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero")
    figure.update_yaxes(title_text="change of loss (nats)", col=1)
    figure.update_layout(
        title="Figure 4.4: paths to the output", template=TEMPLATE, width=1100, height=440
    )
    by_layer = {int(str(layer)): rows for layer, rows in table.groupby("cut_layer")}
    first, second = by_layer[0], by_layer[1]
    peak = first.iloc[int(first["loss_change"].argmax())]
    end_0, end_1 = first.iloc[-1], second.iloc[-1]
    middle = second.iloc[(second["sequences_seen"] - peak["sequences_seen"]).abs().argmin()]
    numbers = [
        ("layer 0 cut, end: accuracy", "99.98%", percent(end_0["accuracy"], 2)),
        ("layer 0 cut, end: change of loss", "~0", f"{end_0['loss_change']:.4f}"),
        (
            "layer 0 cut: largest change of loss",
            "before the phase change",
            f"{peak['loss_change']:.3f} at {thousands(peak['sequences_seen'])}",
        ),
        (
            "layer 1 cut: change of loss there and at the end",
            "increasing",
            f"{middle['loss_change']:.2f}, {end_1['loss_change']:.2f}",
        ),
    ]
    checks = [
        Check("accuracy of at least 99% in the end, layer 0 cut", bool(end_0["accuracy"] >= 0.99)),
        Check(
            "layer 0's contribution in the end under a tenth of its largest",
            bool(end_0["loss_change"] < 0.1 * peak["loss_change"]),
        ),
        Check(
            "layer 1's contribution larger in the end than when layer 0's is largest",
            bool(end_1["loss_change"] > middle["loss_change"]),
        ),
    ]
    return study_figure(
        "Figure 4.4: paths to the output",
        "Layer-0 heads contribute to the output directly before induction heads form and no longer "
        "in the end; layer-1 heads contribute ever more.",
        figure,
        numbers,
        checks,
        "main",
        {"": table},
    )


def heads(study: Study) -> StudyFigure:
    """Figure 4.5: heads ablated and alone, and networks trained with one head of layer 1."""
    table, singles = study.table(HEAD_ABLATIONS), study.table(SINGLE_HEADS)
    shapes = study.table(SINGLE_HEAD_SHAPES).set_index("curve")
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["a) heads ablated", "b) trained with one head of layer 1"]
    )
    accuracy_against_strength(table, figure, row=1, col=1)
    curves = split_curves(singles)
    styles = {"all heads": CurveStyle("all heads", "#000000", "dot")}
    n_heads = len(curves) - 1
    styles |= {f"head {head}": head_style(head) for head in range(n_heads)}
    add_curves(figure, curves, styles, "loss", row=1, col=2)
    figure.update_xaxes(title_text="induction strength", col=1)
    figure.update_xaxes(**sequences_seen_axis(), rangemode="tozero", col=2)
    figure.update_yaxes(title_text="accuracy", col=1)
    figure.update_yaxes(title_text="loss (nats)", col=2)
    figure.add_hline(y=LOG_2, line={"color": "#888888", "dash": "dot", "width": 1}, col=2)
    figure.update_layout(
        title="Figure 4.5: many heads, one suffices",
        template=TEMPLATE,
        hovermode="closest",
        width=1250,
        height=500,
    )

    off = table[table["ablated"] == "this head"].set_index("head")
    alone = table[table["ablated"] == "all other heads"].set_index("head")
    strongest = strongest_heads(study)[0]
    correlation = rank_correlation(alone["induction_strength"], alone["accuracy"])
    times = shapes["learning_time"]
    single_times = times.drop("all heads").sort_values(na_position="last")
    reached = shapes.drop("all heads")["last_accuracy"]
    numbers = [
        (
            "strongest head ablated: accuracy lost",
            "~1%",
            percent(-off.loc[strongest, "accuracy_change"], 2),
        ),
        (
            "any other head ablated: accuracy lost, at most",
            "~0",
            percent(-off.drop(strongest)["accuracy_change"].min(), 2),
        ),
        (
            "strongest head alone: accuracy",
            "98%",
            percent(alone.loc[strongest, "accuracy"]),
        ),
        ("rank correlation of strength and accuracy alone", "high", f"{correlation:.2f}"),
        (
            "single heads: loss under 0.4 log 2, quickest to slowest",
            "head 3 first",
            ", ".join(f"{name} {thousands(time)}" for name, time in single_times.items()),
        ),
        ("all heads: loss under 0.4 log 2", "earlier", thousands(times["all heads"])),
        (
            "single heads: final accuracy, lowest",
            "near-perfect",
            f"{percent(reached.min())} ({reached.idxmin()})",
        ),
    ]
    checks = [
        Check(
            "ablating the strongest head costs at most 2% and any other less",
            bool(-off.loc[strongest, "accuracy_change"] <= 0.02)
            and off["accuracy_change"].idxmin() == strongest,
        ),
        Check(
            "rank correlation of strength and accuracy alone of at least 0.8", correlation >= 0.8
        ),
        Check("every head alone learns to 99%", bool((reached >= 0.99).all())),
        Check(
            "each later than all heads together",
            bool((times.drop("all heads").fillna(float("inf")) > times["all heads"]).all()),
        ),
        Check(
            "the strongest head is the quickest alone",
            single_times.index[0] == f"head {strongest}",
        ),
    ]
    return study_figure(
        "Figure 4.5: many heads, one suffices",
        "No single head is needed, for the others make up for it; what a head does alone goes with "
        "its induction strength; each head of layer 1 can learn the task on its own, more slowly.",
        figure,
        numbers,
        checks,
        f"main, single-head/head-0 to head-{n_heads - 1}",
        {"ablations": table, "single_heads": singles, "shapes": shapes.reset_index()},
    )
