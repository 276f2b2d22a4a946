"""Every figure and table of the induction-head study, and one page with all of them."""

from coopetition_interp.figures.induction_heads.all_figures import draw_all
from coopetition_interp.figures.study_script import study_parser
from coopetition_interp.studies import Study


def main() -> None:
    """Draw what the study has; exit with status 2 if something is missing, and say what."""
    parser = study_parser(__doc__, "induction-heads")
    parser.add_argument(
        "--page-only", action="store_true", help="the page alone, without a file for each figure"
    )
    options = parser.parse_args()
    folder = options.out or options.study / "figures"
    page, missing = draw_all(Study(options.study), folder, page_only=options.page_only)
    if page:
        print(f"wrote {page}")
    if missing:
        parser.error("\n".join(f"{name}: {reason}" for name, reason in missing.items()))


if __name__ == "__main__":
    main()
