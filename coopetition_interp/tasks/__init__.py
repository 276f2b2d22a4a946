"""Tasks: what is trained on, and how it is scored. The rest of the toolkit knows none of them."""
