"""Attention patterns of the main run's last checkpoint on a few sequences, by circuitsvis."""

from coopetition_interp.figures.induction_heads.attention import write_attention_patterns
from coopetition_interp.figures.study_script import study_parser
from coopetition_interp.studies import Study, StudyError


def main() -> None:
    """Write the page."""
    parser = study_parser(__doc__, "induction-heads")
    options = parser.parse_args()
    folder = options.out or options.study / "figures"
    try:
        path = write_attention_patterns(Study(options.study), folder / "ih_attention_patterns.html")
    except StudyError as error:
        parser.error(str(error))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
