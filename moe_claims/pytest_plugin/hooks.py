"""The pytest plugin: options, one case per claim, model and text, and the report at the end.

Silent and light wherever no claim is collected: nothing is printed, nothing heavy is
imported, and no option but ``--moe-…`` is added.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.printable import one_line
from moe_claims.pytest_plugin import attachments, parametrize, untrusted_paths
from moe_claims.pytest_plugin.attachments import attach, hand_on
from moe_claims.pytest_plugin.collector import Collected
from moe_claims.settings import OPTIONS, Settings, option_value, settings_from

if TYPE_CHECKING:
    from moe_claims.run.session import Bench
    from moe_claims.types import Audit, Result

_SETTINGS = pytest.StashKey[Settings]()
_BENCH = pytest.StashKey["Bench"]()
_COLLECTED = pytest.StashKey[Collected]()
_DOCUMENT = pytest.StashKey[dict[str, Any]]()
_FILES = pytest.StashKey[list[Path]]()
_NO_SUMMARY = pytest.StashKey[str | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("moe-claims", "claims about mixture-of-experts models")
    for option in OPTIONS:
        kind: dict[str, Any] = {"action": "store_true"} if option.flag else {"metavar": option.metavar}
        if option.repeatable:
            kind["action"] = "append"
        if option.choices:
            kind["metavar"] = "|".join(option.choices)
        group.addoption(f"--moe-{option.name}", dest=option.dest, default=None, help=option.help, **kind)
        ini = f"moe_{option.name.replace('-', '_')}"
        ini_type: Any = "bool" if option.flag else "args" if option.repeatable else "string"
        parser.addini(ini, f"{option.help} (as --moe-{option.name})", type=ini_type, default=None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Iterator[None]:
    """Before any conftest.py runs: those of models are none.

    Raises:
        pytest.UsageError: settings were read from beside a model.
    """
    known, start = early_config.known_args_namespace, early_config.invocation_params.dir
    known.file_or_dir = untrusted_paths.tests(known.file_or_dir, args, start)
    if model := untrusted_paths.settings_of_a_model(early_config.inipath, known.file_or_dir, args, start):
        raise pytest.UsageError(
            f"pytest takes its settings from '{early_config.inipath}', which came with '{model}': remove that file, "
            "or join option and folder by '=' if it is not from there"
        )
    yield


def pytest_configure(config: pytest.Config) -> None:
    for line in parametrize.MARKERS.values():
        config.addinivalue_line("markers", line)
    config.stash[_COLLECTED] = Collected()
    config.pluginmanager.register(config.stash[_COLLECTED], "moe-claims-collected")
    config.pluginmanager.register(attachments, "moe-claims-handover")
    if any(config.getoption(option.dest) for option in OPTIONS):
        settings_of(config)  # a bad option is said at once, with exit status 4


def settings_of(config: pytest.Config) -> Settings:
    """The run's options, checked once.

    Raises:
        pytest.UsageError: one cannot be used.
    """
    if _SETTINGS not in config.stash:
        values = {
            option.name: option_value(
                option, config.getoption(option.dest), config.getini(f"moe_{option.name.replace('-', '_')}")
            )
            for option in OPTIONS
        }
        try:
            settings = settings_from(values)
            if settings.device == "cuda":  # the one option that only torch can check
                from moe_claims.models.device import device_of

                device_of(settings.device)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_SETTINGS] = settings
    return config.stash[_SETTINGS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for marker in metafunc.definition.iter_markers():
        if marker.name in parametrize.MARKERS:
            found = parametrize.of(marker, lambda: settings_of(metafunc.config))
            names = [name for name, _ in found]
            metafunc.parametrize("moe_case", [case for _, case in found], ids=names, scope="session")


@pytest.fixture
def moe_result(request: pytest.FixtureRequest, moe_case: Any) -> "Result":
    """The judged row of this test's claim, model and text; measured when first asked for."""
    claim, variant, ref, text = moe_case
    bench = _bench(request.config)
    found: Result | str
    try:
        with _progress_shown(request.config):
            found = bench.judged(ref).find(claim, variant, text)
    except MoeClaimsError as error:
        found = str(error)
    if isinstance(found, str):  # out of the handler, so that one line is printed and not a chain of exceptions
        _broken(request, ref.name, claim, found)
    from moe_claims.report.results import result_row

    attach(request.node, "result", result_row(found))
    attach(request.node, "model", bench.card(ref))
    for corpus in bench.corpora(ref):
        attach(request.node, "corpus", corpus)
    if pictures := bench.pictures(ref):
        attach(request.node, "pictures", pictures)
    return found


@pytest.fixture
def moe_public_result(request: pytest.FixtureRequest, moe_case: Any) -> "Result":
    """The judged row of a claim on published counts."""
    from moe_claims.packs.look_into_moes.routing_counts import public_results
    from moe_claims.report.results import result_row

    claim, variant, model = moe_case
    rows = public_results(settings_of(request.config).alpha)
    found = next(row for row in rows if (row.claim, row.variant, row.model) == (claim, variant, model))
    attach(request.node, "result", result_row(found))
    return found


@pytest.fixture
def moe_trained_result(request: pytest.FixtureRequest, moe_case: Any) -> "Result":
    """The judged row of a claim on trainings made for the question."""
    from moe_claims.packs.look_into_moes.trained.judging import trained_result
    from moe_claims.report.results import result_row

    claim, variant = moe_case
    settings = settings_of(request.config)
    found: Result | str
    try:
        found = trained_result(claim, variant, settings.alpha, settings.experiments)
    except MoeClaimsError as error:
        found = str(error)
    if isinstance(found, str):
        _broken(request, None, claim, found)
    attach(request.node, "result", result_row(found))
    return found


@pytest.fixture
def moe_audit(request: pytest.FixtureRequest, moe_case: str) -> "Audit":
    """One audit: of the paper's printed numbers, or of its code on a model that is measured for it."""
    from moe_claims.packs.look_into_moes.audits import AUDITS
    from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS
    from moe_claims.report.results import audit_row

    found: Audit | str
    try:
        if moe_case in AUDITS:
            found = AUDITS[moe_case]()
        else:
            with _progress_shown(request.config):
                found = DEMONSTRATIONS[moe_case](settings_of(request.config))
    except MoeClaimsError as error:
        found = str(error)
    if isinstance(found, str):  # out of the handler, as above
        _broken(request, None, moe_case, found)
    attach(request.node, "audit", audit_row(found))
    return found


def _bench(config: pytest.Config) -> "Bench":
    if _BENCH not in config.stash:
        from moe_claims.figures.report_figures import Illustrator
        from moe_claims.run.session import Bench

        settings = settings_of(config)
        config.stash[_BENCH] = Bench(settings, Illustrator(settings))
    return config.stash[_BENCH]


def _broken(request: pytest.FixtureRequest, model: str | None, claim: str, message: str) -> NoReturn:
    attach(request.node, "error", {"model": model, "claim": claim, "message": message})
    pytest.fail(message, pytrace=False)


@contextmanager
def _progress_shown(config: pytest.Config) -> Iterator[None]:
    """Lets progress through pytest's capturing, unless the user wants quiet or a worker runs."""
    from moe_claims._util.progress import set_quiet

    set_quiet(config.option.verbose < 0 or hasattr(config, "workerinput"))
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:
        yield
    else:
        with capture.global_and_fixture_disabled():
            yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hands on what was found. ``--moe-report-only``: a claim that does not replicate is noted, and the test passes."""
    failed = call.excinfo is not None and isinstance(call.excinfo.value, pytest.fail.Exception)
    is_claim = any(item.get_closest_marker(name) for name in parametrize.MARKERS)
    if call.when == "call" and failed and is_claim and settings_of(item.config).report_only:
        assert call.excinfo is not None
        item.add_report_section("call", "note", str(call.excinfo.value))
        call.excinfo = None
    report = yield
    hand_on(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    collected = session.config.stash[_COLLECTED]
    if not collected or hasattr(session.config, "workerinput"):
        return
    from moe_claims.report import report_folder
    from moe_claims.report.github import add_summary

    settings = settings_of(session.config)
    document = collected.document(settings)
    session.config.stash[_FILES] = report_folder.write(settings.report, document, collected.pictures(settings))
    session.config.stash[_DOCUMENT] = document
    session.config.stash[_NO_SUMMARY] = add_summary(document, settings.report)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    document = config.stash.get(_DOCUMENT, None)
    if document is None:
        return
    from moe_claims.report import table

    writer = terminalreporter
    writer.section("reproducibility of arXiv 2406.18219", sep="=")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    text = table.render(document, width=writer._tw.fullwidth)
    writer.write_line(text.encode(encoding, "replace").decode(encoding))
    writer.write_line("\nreport: " + ", ".join(one_line(path) for path in config.stash[_FILES]))
    reasons = (found.get("reason") for found in config.stash[_COLLECTED].rows("pictures"))
    for reason in dict.fromkeys(filter(None, reasons)):
        writer.write_line(f"no figures in the report: {one_line(reason)}", yellow=True)
    if warning := config.stash.get(_NO_SUMMARY, None):
        writer.write_line(f"warning: {one_line(warning)}", yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines say what is kept of a run that was stopped, and what a failure means here."""
    document = config.stash.get(_DOCUMENT, None)
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and config.stash[_COLLECTED].stopped and _SETTINGS in config.stash:
        kept = one_line(settings_of(config).cache)
        reporter.write_line(f"stopped: what was measured is kept in '{kept}', and the same command goes on from there")
    if document is None or reporter is None:
        return
    from moe_claims.report.formatting import SIGNS, tally

    rows = document["results"]
    said = tally(rows, "verdict", SIGNS)
    broken = len({error["message"] for error in document["errors"]})
    line = f"claims: {said or 'none judged'}. A claim that does not replicate is a finding, not a malfunction"
    reporter.write_line(line + (f"; {broken} thing(s) could not be measured." if broken else "."))
