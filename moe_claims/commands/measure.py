"""The command ``measure``: writes the measured arrays of one model to an ``.npz`` file, without judging any claim."""

import argparse
from pathlib import Path

from moe_claims.commands import Commands, add_running, add_text


def add(commands: Commands) -> None:
    parser = commands.add_parser("measure", help="write what was measured of a model, without any judgement")
    parser.add_argument("name", help="alias, directory, [hub:]org/name[@revision] or synthetic:KIND")
    source = parser.add_mutually_exclusive_group()
    add_text(source)
    source.add_argument("--token-ids", type=Path, help="JSON list of lists of token ids, used exactly as given")
    parser.add_argument("--what", help="comma-separated: weights, matching, outputs, token-outputs")
    add_running(parser)
    last = parser.add_mutually_exclusive_group()
    last.add_argument("--dense-reference", help="dense model of the same shape, last on the expert axes as 'F'")
    last.add_argument("--shared-experts", action="store_true", help="the model's own, last on the expert axes as 'SE'")
    parser.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.measure.export import export

    return export(
        given.name,
        text=given.text,
        token_ids=given.token_ids,
        what=None if given.what is None else tuple(part.strip() for part in given.what.split(",")),
        tokens=given.tokens,
        device=given.device,
        dtype=given.dtype,
        output=given.output,
        dense_reference=given.dense_reference,
        shared_experts=given.shared_experts,
        download=given.download,
    )
