"""Pack a study: tables, metrics and configs of all its runs, and a thinned main run."""

import argparse
from pathlib import Path

from coopetition_interp.studies import STUDIES, Study, StudyError, pack_study


def main() -> None:
    """Compute what is not computed yet (minutes of CPU for a whole study) and write the copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", choices=sorted(STUDIES), help="which sweep made it")
    parser.add_argument("--study", type=Path, required=True, help="the sweep's directory")
    parser.add_argument("--out", type=Path, required=True, help="where the copy goes")
    parser.add_argument(
        "--allow-missing", action="store_true", help="leave out tables whose runs are missing"
    )
    options = parser.parse_args()
    study = Study(options.study, options.sweep)
    try:
        left_out = pack_study(study, options.out, options.allow_missing, STUDIES[options.sweep])
    except StudyError as error:
        parser.error(str(error))
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"wrote {options.out}: {size / 1e6:.1f} MB")
    for name in left_out:
        print(f"left out, for want of runs: {name}")


if __name__ == "__main__":
    main()
