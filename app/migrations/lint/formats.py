"""Findings as text, and in the formats of those who show them beside the code."""

import json
from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from app.migrations.lint.findings import Finding, Linted
from app.migrations.rules.stalls import RULES, Severity

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def formatted(linted: Linted, name: str) -> str:
    """Returns findings in one of `FORMATS`."""
    return FORMATS[name](linted)


def _text(linted: Linted) -> str:
    number = len(linted.findings)
    count = f"{linted.revisions} revision{'s' * (linted.revisions != 1)}, {number} finding{'s' * (number != 1)}."
    return "\n".join([*(finding.text() for finding in linted.findings), *linted.notes, count])


def _json(linted: Linted) -> str:
    findings = [_values(finding) for finding in linted.findings]
    code = "findings" if linted.exit_code else "ok"
    return json.dumps(
        {"code": code, "revisions": linted.revisions, "findings": findings, "notes": linted.notes}, indent=2
    )


def _values(finding: Finding) -> dict[str, Any]:
    harm, instead, code = finding.beats()
    return {
        "revision": finding.revision,
        "file": finding.file.name,
        "line": finding.line,
        "rule": finding.stall.rule,
        "severity": finding.stall.severity,
        "waiver": finding.stall.name,
        "harm": harm,
        "instead": instead,
        "code": code,
    }


def _github(linted: Linted) -> str:
    """Writes workflow commands; source: GitHub's documentation, "Workflow commands for GitHub Actions"."""
    lines = []
    for finding in linted.findings:
        harm, instead, code = finding.beats()
        message = f"{harm}\nInstead: {instead}\n{code}"
        for character, escape in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
            message = message.replace(character, escape)
        place = f"file={_place(finding)},line={finding.line},title={finding.stall.rule}"
        level = "notice" if finding.stall.severity is Severity.NOTE else finding.stall.severity
        lines.append(f"::{level} {place}::{message}")
    return "\n".join([*lines, *(f"::notice::{note}" for note in linted.notes)])


def _sarif(linted: Linted) -> str:
    """Writes SARIF 2.1.0; source: OASIS, "Static Analysis Results Interchange Format"."""
    used = sorted({finding.stall.rule for finding in linted.findings})
    rules = [{"id": rule, "shortDescription": {"text": RULES[rule].instead}} for rule in used]
    results = [
        {
            "ruleId": finding.stall.rule,
            "level": finding.stall.severity,
            "message": {"text": " ".join(finding.beats()[:2])},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _place(finding)},
                        "region": {"startLine": finding.line},
                    }
                }
            ],
        }
        for finding in linted.findings
    ]
    run = {"tool": {"driver": {"name": "schema lint", "rules": rules}}, "results": results}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _junit(linted: Linted) -> str:
    failures = [finding for finding in linted.findings if finding.stall.severity is not Severity.NOTE]
    suite = Element("testsuite", name="schema lint", tests=str(linted.revisions), failures=str(len(failures)))
    for finding in failures:
        case = SubElement(suite, "testcase", classname=finding.file.name, name=finding.stall.name)
        harm, instead, code = finding.beats()
        failure = SubElement(case, "failure", message=harm, type=finding.stall.rule)
        failure.text = f"{_place(finding)}:{finding.line}\nInstead: {instead}\n{code}"
    return tostring(suite, encoding="unicode")


def _place(finding: Finding) -> str:
    """Returns the file as the root of the project knows it."""
    return "/".join(finding.file.parts[-3:])


FORMATS: dict[str, Callable[[Linted], str]] = {
    "text": _text,
    "json": _json,
    "github": _github,
    "sarif": _sarif,
    "junit": _junit,
}
