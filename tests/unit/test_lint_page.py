"""docs/lint.md: its table is that of the rules, and its texts are those of the command."""

from app.migrations.lint import FORMATS
from app.migrations.rules.stalls import RULES
from scripts.lint_page import PAGE, with_rules


def test_the_table_is_that_of_the_rules() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_rules(page) == page, "python3 -m scripts.lint_page"
    assert all(f"| `{rule}` |" in page for rule in RULES)
    assert all(f"`{form}`" in page for form in FORMATS)
