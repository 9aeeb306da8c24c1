r"""Escapes text for LaTeX, for any engine and for the font encodings OT1 and T1.

The output is ASCII. A character without a command here is printed as its code point, such as ``[U+1F642]``. Commands
are those of LaTeX itself, of amssymb (✓) and of pifont (✗).
"""

import re
import unicodedata

_COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\ensuremath{\sim}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textquoteleft{}", '"': r"\textquotedblright{}",
    # After \\ a bracket or a star would be read as its argument.
    "[": "{[}", "]": "{]}", "*": "{*}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "‘": r"\textquoteleft{}", "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "…": r"\ldots{}", "✗": r"\ding{55}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip

_MATHS = {
    "✓": r"\checkmark", "○": r"\circ", "∘": r"\circ", "−": "-", "×": r"\times", "÷": r"\div", "±": r"\pm",
    "·": r"\cdot",
    "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "≡": r"\equiv", "∼": r"\sim", "∝": r"\propto",
    "∞": r"\infty", "∈": r"\in", "∉": r"\notin", "⊂": r"\subset", "∩": r"\cap", "∪": r"\cup", "∅": r"\emptyset",
    "∀": r"\forall", "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee", "∑": r"\sum", "∏": r"\prod",
    "∫": r"\int", "√": r"\surd", "∂": r"\partial", "∇": r"\nabla", "∆": r"\Delta", "′": r"\prime", "‖": r"\|",
    "→": r"\rightarrow", "←": r"\leftarrow", "↔": r"\leftrightarrow", "↑": r"\uparrow", "↓": r"\downarrow",
    "⇒": r"\Rightarrow", "⇔": r"\Leftrightarrow",
    "†": r"\dagger", "‡": r"\ddagger", "§": r"\mathsection", "¶": r"\mathparagraph", "°": r"^{\circ}",
    "ⁿ": "^{n}", "µ": r"\mu",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\varepsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi",
    "π": r"\pi", "ρ": r"\rho", "ς": r"\varsigma", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon", "φ": r"\varphi",
    "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda",
    "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega",
    **{sign: f"^{{{plain}}}" for sign, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾", "0123456789+-=()", strict=True)},
    **{sign: f"_{{{plain}}}" for sign, plain in zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎", "0123456789+-=()", strict=True)},
}  # fmt: skip

_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c",
}  # fmt: skip
"""Combining character → LaTeX command that puts it over or under a letter."""

SIGNS = {**_COMMANDS, **{sign: rf"\ensuremath{{{command}}}" for sign, command in _MATHS.items()}}
"""Character → LaTeX command."""

_DOTLESS = {"i": r"\i", "j": r"\j"}

_LIGATURE = re.compile(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)")
"""Positions between characters that fonts would join into another: ``--``, ``''``, ``,,``."""

_BREAKABLE = re.compile(r"([/_?&=@]|[^\s/_?&=@]{40})(?=\S)")
"""Positions at which a line may break within a name: after these characters, or after 40 others."""


def escape(text: object) -> str:
    """Any text, such as names from models, files and third parties, escaped and on one line."""
    flat = " ".join(unicodedata.normalize("NFC", str(text)).split())
    # \x1c and \x1d mark positions; the text cannot contain them, since str.split treats them as white space.
    marked = _BREAKABLE.sub("\\1\x1c", _LIGATURE.sub("\x1d", flat))
    return "".join(map(_sign, marked))


def _sign(sign: str) -> str:
    if sign == "\x1c":
        return r"\allowbreak{}"
    if sign == "\x1d":
        return "{}"
    if sign in SIGNS:
        return SIGNS[sign]
    if sign.isascii() and sign.isprintable():
        return sign
    return _accented(sign) or f"{{[}}U+{ord(sign):04X}{{]}}"


def _accented(sign: str) -> str:
    """LaTeX of a letter with one combining mark; empty for any other character."""
    parts = unicodedata.normalize("NFD", sign)
    letter, mark = parts[0], parts[1:]
    if mark not in _ACCENTS or not (letter.isascii() and letter.isalpha()):
        return ""
    over = unicodedata.combining(mark) == unicodedata.combining("\u0301")
    return rf"\{_ACCENTS[mark]}{{{_DOTLESS.get(letter, letter) if over else letter}}}"


def is_known(sign: str) -> bool:
    """Whether a character is printed as itself, and not as its code point."""
    return not _sign(sign).startswith("{[}U+")
