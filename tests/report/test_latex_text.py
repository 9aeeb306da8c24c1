"""Text as LaTeX: read back by a LaTeX parser it is the text again, and every command it uses exists."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylatexenc.latexwalker import LatexCharsNode, LatexGroupNode, LatexMacroNode, LatexNode, LatexWalker

import moe_claims
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import COUNTED, LIVE, TRAINED
from moe_claims.printable import one_line
from moe_claims.report import latex_text
from moe_claims.report.formatting import ARTEFACT, AUDIT_SIGNS, SIGNS
from moe_claims.report.latex_text import escape, is_known

COMMANDS = {
    "textbackslash": "\\", "textasciicircum": "^", "textless": "<", "textgreater": ">", "textbar": "|",
    "textquoteleft": "`", "textquotedblright": '"', "allowbreak": "", "sim": "~",
    "{": "{", "}": "}", "$": "$", "&": "&", "#": "#", "%": "%", "_": "_",
}  # fmt: skip

KNOWN = set("`'^~=u.\"rHvdc|ij") | set(re.findall(r"\\([a-zA-Z]+)", " ".join(latex_text.SIGNS.values())))
"""Accents, and the commands of signs that are not ASCII."""


def read_back(nodes: list[LatexNode]) -> str:
    """The text that LaTeX prints of ASCII text; an error for any command that text has no business with."""
    text = ""
    for node in nodes:
        if isinstance(node, LatexCharsNode):
            text += node.chars
        elif isinstance(node, LatexGroupNode):
            text += read_back(node.nodelist)
        elif isinstance(node, LatexMacroNode) and node.macroname == "ensuremath":
            text += read_back(node.nodeargd.argnlist)
        elif isinstance(node, LatexMacroNode):
            text += COMMANDS[node.macroname]
        else:
            raise AssertionError(f"{type(node).__name__} in {node.latex_verbatim()}")
    return text


def parsed(latex: str) -> list[LatexNode]:
    nodes, _, _ = LatexWalker(latex, tolerant_parsing=False).get_latex_nodes()
    return list(nodes)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_ascii_text_is_the_same_when_latex_has_read_it(text: str) -> None:
    assert read_back(parsed(escape(text))) == one_line(text)


def commands(nodes: list[LatexNode]) -> set[str]:
    """Every command in parsed LaTeX; an error for environments, comments, mathematics in dollars and specials."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, LatexMacroNode):
            found |= {node.macroname} | commands([n for n in node.nodeargd.argnlist if n] if node.nodeargd else [])
        elif isinstance(node, LatexGroupNode):
            found |= commands(node.nodelist)
        else:
            assert isinstance(node, LatexCharsNode), f"{type(node).__name__} in {node.latex_verbatim()}"
    return found


@given(st.text() | st.text(alphabet=[*latex_text.SIGNS, *"éÅñçőǰ\u0301"]))
def test_any_text_becomes_ascii_of_known_commands(text: str) -> None:
    latex = escape(text)
    assert latex.isascii()
    assert latex.isprintable()
    assert "--" not in latex
    assert "''" not in latex
    assert commands(parsed(latex)) <= {*COMMANDS, *KNOWN, "ensuremath"}


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/\allowbreak{}etc/\allowbreak{}passwd\}"),
        (r"\write18{rm}", r"\textbackslash{}write18\{rm\}"),
        ("[2pt] *", "{[}2pt{]} {*}"),
        ("--moe", "-{}-moe"),
        ("100 %", r"100 \%"),
        ("✓ ✗ ○ – †", r"\ensuremath{\checkmark} \ding{55} \ensuremath{\circ} \textendash{} \ensuremath{\dagger}"),
        ("τ ρ Δ − ≥", r"\ensuremath{\tau} \ensuremath{\rho} \ensuremath{\Delta} \ensuremath{-} \ensuremath{\geq}"),
        ("2⁻⁶ x₍ₙ₎", r"2\ensuremath{^{-}}\ensuremath{^{6}} x\ensuremath{_{(}}{[}U+2099{]}\ensuremath{_{)}}"),
        ("é e\u0301 ñ î ç ő", r"\'{e} \'{e} \~{n} \^{\i} \c{c} \H{o}"),
        ("🙂 \u202e \x1b ש", "{[}U+1F642{]} {[}U+202E{]} {[}U+001B{]} {[}U+05E9{]}"),
    ],
)
def test_what_each_kind_of_sign_becomes(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_long_names_may_be_broken() -> None:
    assert escape("x" * 100).count(r"\allowbreak{}") == 2
    assert escape("a/b_c") == r"a/\allowbreak{}b\_\allowbreak{}c"


def test_every_sign_of_our_own_sentences_is_printed_as_itself() -> None:
    records = [*LIVE.values(), *COUNTED.values(), *TRAINED.values()]
    texts = [f"{claim.statement} {claim.effect} {claim.null} {claim.unit} {claim.applies}" for claim in records]
    texts += [f"{audit.statement} {audit.printed} {audit.recomputed} {audit.reason}" for audit in run_audits()]
    texts += [ARTEFACT, *SIGNS.values(), *AUDIT_SIGNS.values()]
    # Reasons are put together in these files.
    package = Path(moe_claims.__file__).parent
    texts += [
        path.read_text(encoding="utf-8")
        for part in ("judge", "packs", "stats")
        for path in (package / part).rglob("*.py")
    ]
    unknown = {sign for text in texts for sign in text if not sign.isspace() and not is_known(sign)}
    assert unknown == set()
