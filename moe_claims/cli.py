"""The command line beside pytest. Prints in one place; every command is a function of its arguments."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from moe_claims import __version__, texts
from moe_claims.errors import MoeClaimsError, UsageError

USAGE = 4
"""Exit status for input that cannot be used, as pytest has it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and prints what it returns; 0, or 4 with one line on standard error."""
    given = _parser().parse_args(arguments)
    try:
        text = given.run(given)
    except MoeClaimsError as error:
        sys.stderr.write(f"error: {error}\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was measured is kept\n")
        return 130
    sys.stdout.write(text.rstrip("\n") + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moe_claims",
        description="Claims about mixture-of-experts internals. The tests themselves run with 'pytest claims/'.",
    )
    parser.add_argument("--version", action="version", version=f"moe_claims {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)

    measure = commands.add_parser("measure", help="write what was measured of a model, without any judgement")
    measure.add_argument("name", help="alias, directory, [hub:]org/name[@revision] or synthetic:KIND")
    source = measure.add_mutually_exclusive_group()
    source.add_argument("--text", help=f"{texts.CHOICES} (default builtin)")
    source.add_argument("--token-ids", type=Path, help="JSON list of lists of token ids, used exactly as given")
    measure.add_argument("--what", help="comma-separated: weights, matching, outputs, token-outputs")
    measure.add_argument("--tokens", type=int, help="at most this many tokens of the text")
    measure.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    measure.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")
    last = measure.add_mutually_exclusive_group()
    last.add_argument("--dense-reference", help="dense model of the same shape, last on the expert axes as 'F'")
    last.add_argument("--shared-experts", action="store_true", help="the model's own, last on the expert axes as 'SE'")
    measure.add_argument("--download", action="store_true", help="fetch models of the hub whole before they are read")
    measure.add_argument("--output", type=Path, required=True, help="the .npz file to write")
    measure.set_defaults(run=_measure)

    calibrate = commands.add_parser("calibrate", help="how often each claim replicates on planted and null models")
    calibrate.add_argument(
        "--seeds",
        type=int,
        default=200,
        help="models of each kind, a quarter as many at random initialisation (default 200)",
    )
    calibrate.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    calibrate.add_argument("--log", type=Path, default=Path("calibration.jsonl"), help="results so far; resumes there")
    calibrate.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    calibrate.set_defaults(run=_calibrate)

    power = commands.add_parser("power", help="how often each claim is found at which size of effect, with a figure")
    power.add_argument("--seeds", type=int, default=25, help="models of each strength (default 25)")
    power.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    power.add_argument("--log", type=Path, default=Path("power.jsonl"), help="results so far; resumes there")
    power.add_argument("--output", type=Path, required=True, help="Markdown file to write; the figure lies beside it")
    power.set_defaults(run=_power)

    trajectory = commands.add_parser("trajectory", help="when each claim becomes true during a training, with a figure")
    trajectory.add_argument("name", help="of a model whose checkpoints are known: tiny-scratch, or org/name")
    trajectory.add_argument("--revisions", help="comma-separated, such as step500,step1000 (default: those known)")
    trajectory.add_argument("--points", type=int, default=8, help="of the known ones, at most this many (default 8)")
    trajectory.add_argument("--text", action="append", help=f"{texts.CHOICES} (default builtin); repeatable")
    trajectory.add_argument("--tokens", type=int, help="at most this many tokens of each text")
    trajectory.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    trajectory.add_argument("--dtype", choices=("float32", "float64", "bfloat16"), default="float32")
    trajectory.add_argument(
        "--download", action="store_true", help="fetch models of the hub whole before they are read"
    )
    trajectory.add_argument("--cache", help="folder of stored measurements (default: the user's cache folder)")
    trajectory.add_argument(
        "--output", type=Path, default=Path("trajectory"), help="folder to write (default trajectory)"
    )
    trajectory.set_defaults(run=_trajectory)

    findings = commands.add_parser("findings", help="what a results file on the embedded models says, in plain words")
    findings.add_argument("results", type=Path, help="results.json of 'pytest claims/'")
    findings.add_argument(
        "--trajectory", type=Path, action="append", default=[], help="folder of a trajectory; repeatable"
    )
    findings.add_argument("--output", type=Path, help="Markdown file to write (default: print it)")
    findings.set_defaults(run=_findings)

    report = commands.add_parser("report", help="write a results file in another format")
    report.add_argument("results", type=Path)
    report.add_argument("--format", choices=("table", "markdown"), default="table")
    report.set_defaults(run=_report)

    models = commands.add_parser("models", help="what --model takes")
    models.add_argument("--families", action="store_true", help="what is done with each family, as Markdown")
    models.set_defaults(run=_models)

    claims = commands.add_parser("claims", help="the claims with their statements")
    claims.add_argument("--full", metavar="ID", help="the whole record of one claim")
    claims.set_defaults(run=_claims)
    return parser


def _measure(given: argparse.Namespace) -> str:
    from moe_claims.dump import dump

    return dump(
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


def _calibrate(given: argparse.Namespace) -> str:
    from moe_claims.calibrate import calibrate

    if given.seeds < 1 or given.workers < 1:
        raise UsageError("--seeds and --workers are whole numbers, 1 or more")
    text = calibrate(seeds=given.seeds, workers=given.workers, log=given.log)
    if given.output is None:
        return text
    given.output.write_text(text, encoding="utf-8")
    return f"written to {given.output}"


def _power(given: argparse.Namespace) -> str:
    from moe_claims.power import power, summary
    from moe_claims.power_depth import depth_power
    from moe_claims.power_figure import draw

    if given.seeds < 1 or given.workers < 1:
        raise UsageError("--seeds and --workers are whole numbers, 1 or more")
    figure = given.output.with_suffix(".png")
    curves = power(seeds=given.seeds, workers=given.workers, log=given.log)
    draw(curves, figure)
    depth = depth_power(curves=4 * given.seeds)
    given.output.write_text(summary(curves, depth, given.seeds, figure.name), encoding="utf-8")
    return f"written to {given.output} and {figure}"


def _trajectory(given: argparse.Namespace) -> str:
    from moe_claims.plotting import pyplot
    from moe_claims.report import results, trajectory
    from moe_claims.settings import settle
    from moe_claims.trajectory import judged, models
    from moe_claims.trajectory_figure import draw

    if given.points < 2:
        raise UsageError(f"--points {given.points}: give a whole number, 2 or more")
    wanted = None if given.revisions is None else [part.strip() for part in given.revisions.split(",")]
    pyplot()  # what it lacks is said now, not after the measuring
    refs, known = models(given.name, wanted, given.points)
    options = ("text", "tokens", "device", "dtype", "download", "cache")
    settings = settle({"model": [ref.name for ref in refs], **{name: getattr(given, name) for name in options}})
    document = judged(settings)
    results.write(given.output / "results.json", document)
    figure = given.output / "trajectory.png"
    results.write_text(given.output / "trajectory.md", trajectory.render(document, given.name, known, figure.name))
    found = trajectory.trajectories(document)
    draw(found, figure, title=given.name)
    lines = [f"{one.name}: {trajectory.when(one)}" for one in found if one.family == "headline"]
    return "\n".join([*lines, f"written to {given.output}: results.json, trajectory.md, {figure.name}"])


def _findings(given: argparse.Namespace) -> str:
    from moe_claims.report import findings, results
    from moe_claims.zoo.recipes import RECIPES

    document = results.read(given.results)
    trainings = {name: recipe.training for name, recipe in RECIPES.items()}
    along = {}
    for folder in given.trajectory:
        found = results.read(folder / "results.json")
        along[found["models"][0]["name"].partition("@")[0]] = found
    text = findings.render(document, trainings, along)
    if given.output is None:
        return text
    results.write_text(given.output, text)
    return f"written to {given.output}"


def _report(given: argparse.Namespace) -> str:
    from moe_claims.report import markdown, results, table

    document = results.read(given.results)
    return table.render(document) if given.format == "table" else markdown.render(document)


def _models(given: argparse.Namespace) -> str:
    from tabulate import tabulate

    from moe_claims.models import listing
    from moe_claims.models.embedded import EMBEDDED
    from moe_claims.models.families import FAMILIES
    from moe_claims.models.names import ALIASES, SYNTHETIC

    if given.families:
        return listing.render()
    rows: list[tuple[str, str]] = [(name, _embedded(name)) for name in EMBEDDED]
    rows += [(f"synthetic:{kind}", "made in memory; ?seed=N and sizes") for kind in SYNTHETIC]
    rows += [(alias, target) for alias, target in ALIASES.items()]
    rows += [
        ("DIRECTORY", "config.json and *.safetensors"),
        ("[hub:]org/name[@revision]", "from the hub's local cache, or over the network"),
    ]
    known = tabulate(rows, headers=["--model", "what it is"], tablefmt="simple")
    families = (
        f"{len(FAMILIES)} families (model_type) are read: {', '.join(FAMILIES)}. 'models --families' says what is done "
        "with each, and why others are not read."
    )
    return f"{known}\n\n{textwrap.fill(families, 100, break_on_hyphens=False)}"


def _embedded(name: str) -> str:
    """What an embedded model is, and the points along its training that can be named."""
    from moe_claims.models.embedded import DENSE, embedded_directory, revisions_of
    from moe_claims.zoo.recipes import RECIPES

    recipe = RECIPES[name]
    kind = "dense reference" if name == DENSE else "embedded"
    points = revisions_of(embedded_directory(name))
    along = f"; {name}@{points[0]} … @{points[-1]}" if points else ""
    return f"{kind}: {recipe.family}, {recipe.training}{along}"


def _claims(given: argparse.Namespace) -> str:
    from moe_claims.report import claims

    return claims.listing() if given.full is None else claims.full(given.full)
