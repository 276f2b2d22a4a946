"""The subcommand `features`: feature files, from Omniglot or from other feature files."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

from coopetition_interp.command_line.arguments import existing_file, file_to_write, whole_number
from coopetition_interp.command_line.subcommand import subcommand

EPILOG = """\
Reads Omniglot and encodes every drawing in the eight transforms. A run that was stopped goes on
where it was. With --download, what is missing of Omniglot and of the encoder's ImageNet weights is
fetched first, by torchvision.

  coopetition-interp features omniglot.h5 --root data --download

With --from, the features are those of another file: converted to the other format or, with
--compress K, projected on the K directions that hold most of their energy (no mean taken off) and
rounded to int8, which is about 8 times smaller for 64 of 256 float16 features.

  coopetition-interp features small.safetensors --from omniglot.h5 --compress 64
"""


def add_features(commands) -> None:
    """`features`: a feature file from Omniglot, or from another feature file."""
    parser = subcommand(
        commands, "features", "make a feature file from Omniglot, or from another file", EPILOG
    )
    parser.add_argument(
        "out", type=file_to_write, metavar="FILE", help="file to write (.h5 or .safetensors)"
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=existing_file,
        metavar="FILE",
        help="take the features of this file instead of encoding Omniglot",
    )
    parser.add_argument(
        "--compress",
        type=whole_number(1, 1_000_000),
        metavar="K",
        help="keep K directions, in int8 (FILE must end in .safetensors)",
    )
    parser.add_argument(
        "--licence",
        action="append",
        default=[],
        metavar="TEXT",
        help="with --compress: a licence to note in the file; may be given again",
    )
    parser.add_argument("--root", default="data", help="folder that holds, or will hold, Omniglot")
    parser.add_argument("--download", action="store_true", help="download what is missing")
    parser.add_argument(
        "--encoder",
        default="resnet18",
        help="a torchvision model, or efficientnet-lite0 (needs the extra `efficientnet`)",
    )
    parser.add_argument(
        "--image-size", type=whole_number(1, 10_000), default=224, help="pixels (default 224)"
    )
    parser.add_argument(
        "--transforms", choices=("all", "unrotated"), default="all", help="all eight, or none"
    )
    parser.set_defaults(run=_features)


def _features(options: argparse.Namespace) -> None:
    from coopetition_interp.tasks.exemplar_label.features import (
        FeatureFile,
        FeatureSource,
        OmniglotFeatures,
        allow_downloads,
        save_compressed_feature_file,
        save_feature_file,
    )

    _check(options)
    source: FeatureSource
    if options.source is not None:
        source = FeatureFile(path=str(options.source), transforms=options.transforms)
    else:
        source = OmniglotFeatures(
            root=options.root,
            encoder=options.encoder,
            image_size=options.image_size,
            transforms=options.transforms,
            download=options.download,
        )
    with allow_downloads() if options.download else nullcontext():
        bank = source.load()
    if options.compress is None:
        save_feature_file(bank, options.out)
    else:
        licences = tuple(options.licence)
        bank = save_compressed_feature_file(bank, options.out, options.compress, licences)
        print(
            f"{bank.d_feature} directions keep {bank.provenance['energy_kept']:.2%} of the energy; "
            f"mean square {bank.provenance['mean_square']:.4f}"
        )
    print(f"wrote {options.out}: {bank.n_classes} classes x {bank.n_exemplars} x {bank.d_feature}")


def _check(options: argparse.Namespace) -> None:
    """Refuses what would only show after hours of encoding.

    Raises:
        ConfigError: Options that contradict each other.
    """
    from coopetition_interp.config_class import ConfigError
    from coopetition_interp.tasks.exemplar_label.features.encoders import encoder_names

    if options.encoder not in encoder_names():
        raise ConfigError(
            f"unknown encoder {options.encoder!r}: use efficientnet-lite0 or a classification "
            "model of torchvision.models such as resnet18"
        )
    known = (".safetensors",) if options.compress is not None else (".h5", ".hdf5", ".safetensors")
    if options.out.suffix not in known:
        raise ConfigError(f"the file to write must end in {' or '.join(known)}: got {options.out}")
    if options.licence and options.compress is None:
        raise ConfigError("--licence goes with --compress")
    if options.source is not None and options.download:
        raise ConfigError("--from takes a file's features: leave --download out")
