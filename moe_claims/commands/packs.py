"""The command ``packs``: lists the installed packs of claims and their distributions."""

import argparse
from textwrap import fill

from moe_claims.commands import Commands
from moe_claims.errors import UsageError


def add(commands: Commands) -> None:
    parser = commands.add_parser("packs", help="the packs of claims that are installed, and where they come from")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.judge import registry

    sections = []
    for name, one in registry.installed().items():
        chosen = " (judged by default)" if one.ours else ""
        lines = [f"{name}{chosen}"]
        try:
            pack = registry.load(name)
        except UsageError as error:  # one that is broken hides none of the others
            lines.append(_indented(f"cannot be used: {error}"))
        else:
            claims = list(dict.fromkeys(claim.id for _, claim in pack.records()))
            lines += [
                _indented(f"{pack.title} ({pack.paper})"),
                _indented(f"from {one.distribution}: {one.entry.value}"),
                _indented(f"{len(claims)} claims: {', '.join(claims)}"),
            ]
            if pack.audits:
                lines.append(_indented(f"{len(pack.audits)} audits: {', '.join(pack.audits)}"))
            where = f"--pyargs {pack.tests}" if pack.tests else "claims/"
            lines.append(_indented(f"tests: pytest {where} --moe-pack {name}"))
        sections.append("\n".join(lines))
    return "\n\n".join(sections or ["no packs are installed"])


def _indented(text: str) -> str:
    return fill(text, 110, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
