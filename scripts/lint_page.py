"""The table of rules in docs/lint.md, written by python3 -m scripts.lint_page."""

import re
from pathlib import Path

from app.migrations.rules.stalls import RULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "lint.md"
_TABLE = re.compile(r"(?<=<!-- rules -->\n).*(?=<!-- end of rules -->)", re.DOTALL)
_WORDS = {word: f"*{word}*" for word in ("table", "name", "object", "columns", "to")}


def main() -> None:
    """Writes the page anew."""
    PAGE.write_text(with_rules(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_rules(page: str) -> str:
    """Returns a page with the rules between its markers."""
    lines = ["| rule | severity | harm | instead | small tables |", "|---|---|---|---|---|"]
    for name, rule in sorted(RULES.items()):
        harm, instead = (text.format(**_WORDS).replace("|", "\\|") for text in (rule.harm, rule.instead))
        lines.append(f"| `{name}` | {rule.severity} | {harm} | {instead} | {'left out' if rule.grows else ''} |")
    table = "\n".join([*lines, ""])
    return _TABLE.sub(lambda _: table, page, count=1)


if __name__ == "__main__":
    main()
