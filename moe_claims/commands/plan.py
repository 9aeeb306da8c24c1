"""The command ``plan``: what a run of the claims would read, compute, keep and need; measures nothing."""

import argparse
import shutil
from pathlib import Path

from moe_claims.commands import Commands, add_running, add_text, written


def add(commands: Commands) -> None:
    parser = commands.add_parser("plan", help="what a run on a model would read, compute, keep and need, and how long")
    parser.add_argument("name", help="alias, directory, [hub:]org/name[@revision] or synthetic:KIND")
    add_text(parser, repeatable=True)
    parser.add_argument("--layers", help="layers whose neurons are matched, such as 0,15,31")
    parser.add_argument("--pack", action="append", metavar="NAME", help="its claims; repeatable (default: ours)")
    parser.add_argument("--profile", choices=("quick", "full"), help="quick: 2,048 tokens, no random-init control")
    parser.add_argument("--seed", type=int, help="of every resampling (default 0)")
    parser.add_argument("--alpha", type=float, help="error rate of each family of tests (default 0.05)")
    parser.add_argument("--dense-reference", help="dense model of the same shape to compare with, named as a model")
    parser.add_argument("--second-model", help="model to compare the routing with, named as a model")
    add_running(parser)
    parser.add_argument("--cache", help="folder of stored measurements (default: the user's cache folder)")
    parser.add_argument("--output", type=Path, help="file to write the plan to, for --moe-plan-file")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> str:
    from moe_claims.judge.registry import chosen
    from moe_claims.plan.document import text_of
    from moe_claims.plan.planning import plan_of
    from moe_claims.plan.render import render
    from moe_claims.settings import settings_from

    names = (
        "text", "layers", "pack", "profile", "seed", "alpha", "tokens", "device", "dtype", "download", "cache"
    )  # fmt: skip
    values = {name: getattr(given, name) for name in names}
    values |= {"dense-reference": given.dense_reference, "second-model": given.second_model}
    settings = settings_from({"model": [given.name], **values})
    packs = chosen(settings.packs)
    plan = plan_of(settings, packs)
    said = render(plan, width=min(100, shutil.get_terminal_size((100, 24)).columns))
    if given.output is None:
        return said
    return f"{said}\n{written(text_of(plan, packs), given.output)}"
