"""The subcommand `clusters`: a feature file of classes that are clusters of token embeddings."""

from __future__ import annotations

import argparse
from dataclasses import replace

from coopetition_interp.command_line.arguments import existing_file, file_to_write, whole_number
from coopetition_interp.command_line.subcommand import subcommand

EPILOG = """\
Clusters the rows of an embedding matrix by cosine k-means, draws classes among the clusters that
are large enough, and takes of each the tokens farthest from its centroid.

  coopetition-interp clusters tokens.safetensors --from embedding.safetensors \\
      --clusters 4800 --classes 2800 --exemplars 5 --least 5 --tokens 259 29871

Train on it by `--features tokens.safetensors`.
"""


def add_clusters(commands) -> None:
    """`clusters`: a feature file from token embeddings."""
    parser = subcommand(
        commands, "clusters", "make a feature file of clusters of token embeddings", EPILOG
    )
    many = whole_number(1, 10**8)
    parser.add_argument(
        "out", type=file_to_write, metavar="FILE", help="file to write (.h5 or .safetensors)"
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=existing_file,
        required=True,
        metavar="FILE",
        help="safetensors file with the embedding matrix [tokens, width]",
    )
    parser.add_argument("--tensor", metavar="NAME", help="the matrix, if there are several")
    parser.add_argument(
        "--tokens",
        type=whole_number(0, 10**9),
        nargs=2,
        default=(0, None),
        metavar=("FIRST", "STOP"),
        help="cluster only these tokens, the second not among them",
    )
    parser.add_argument("--clusters", type=many, required=True, metavar="N", help="clusters made")
    parser.add_argument("--classes", type=many, required=True, metavar="N", help="of these kept")
    parser.add_argument(
        "--exemplars", type=many, required=True, metavar="N", help="tokens of each class"
    )
    parser.add_argument(
        "--least",
        type=many,
        metavar="N",
        help="tokens that a cluster must have (default: one more than --exemplars)",
    )
    parser.add_argument("--seed", type=whole_number(0, 10**18), default=0, metavar="N")
    parser.set_defaults(run=_clusters)


def _clusters(options: argparse.Namespace) -> None:
    from coopetition_interp.config_class import ConfigError
    from coopetition_interp.tasks.exemplar_label.features import (
        clustered_tokens,
        read_embedding,
        save_feature_file,
    )

    if options.out.suffix not in (".safetensors", ".h5", ".hdf5"):
        raise ConfigError(
            f"the file to write must end in .safetensors, .h5 or .hdf5: got {options.out}"
        )
    vectors, source = read_embedding(options.source, options.tensor, *options.tokens)
    bank = clustered_tokens(
        vectors,
        options.clusters,
        options.classes,
        options.exemplars,
        options.seed,
        options.least,
    )
    bank = replace(bank, provenance={**bank.provenance, "source": source})
    save_feature_file(bank, options.out)
    print(
        f"{bank.provenance['n_large_clusters']} of {options.clusters} clusters are large enough\n"
        f"wrote {options.out}: {bank.n_classes} classes x {bank.n_exemplars} x {bank.d_feature}"
    )
