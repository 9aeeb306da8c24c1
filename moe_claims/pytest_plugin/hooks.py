"""The hooks of the pytest plugin: options, one test per claim, model and text, and the report at the end.

In runs without claims the plugin prints nothing, imports nothing heavy, and adds only options named
``--moe-…``.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from moe_claims.errors import MoeClaimsError, UsageError
from moe_claims.printable import one_line
from moe_claims.pytest_plugin import attachments, parametrize, planning, selection, status, terminal, untrusted_paths
from moe_claims.pytest_plugin.attachments import attach, put_on_report
from moe_claims.pytest_plugin.claims_in_clone import make_findable
from moe_claims.pytest_plugin.collector import COLLECTED, Collected
from moe_claims.pytest_plugin.progress_line import progress_shown
from moe_claims.pytest_plugin.run_options import packs_of, settings_of
from moe_claims.pytest_plugin.terminal import DOCUMENT, FILES, NO_SUMMARY
from moe_claims.settings import OPTIONS

if TYPE_CHECKING:
    from moe_claims.run.session import Session
    from moe_claims.types import Audit, Result

_REFUSED = pytest.StashKey[pytest.UsageError]()
_ASKED = pytest.StashKey["set[parametrize.Wanted]"]()
_SESSION = pytest.StashKey["Session"]()
_TESTS = pytest.StashKey["list[parametrize.Wanted]"]()
_BROKEN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds each option of a run as ``--moe-…`` and as a setting of the ini file."""
    make_findable()
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
    """Prevents pytest from running a conftest.py in a model's folder; called before any conftest.py is loaded.

    Raises:
        pytest.UsageError: pytest has read its settings from a file in a model's folder.
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
    """Registers the marks and the collector of results, and checks options that were given."""
    for line in parametrize.MARKERS.values():
        config.addinivalue_line("markers", line)
    config.stash[COLLECTED] = Collected()
    config.pluginmanager.register(config.stash[COLLECTED], "moe-claims-collector")
    config.pluginmanager.register(attachments, "moe-claims-attachments")
    config.pluginmanager.register(terminal, "moe-claims-terminal")
    config.pluginmanager.register(status, "moe-claims-status")

    config.pluginmanager.register(planning, "moe-claims-planning")
    # So that a bad option is an error at once, with exit status 4.
    if any(config.getoption(option.dest) for option in OPTIONS) and settings_of(config).packs is not None:
        packs_of(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises functions with one of the plugin's marks."""
    config = metafunc.config
    for marker in metafunc.definition.iter_markers():
        if marker.name in parametrize.MARKERS:
            try:
                found = parametrize.of(marker, settings_of(config), lambda: packs_of(config))
            except UsageError as error:  # the test names what is not there
                raise pytest.Collector.CollectError(str(error)) from None
            except pytest.UsageError as error:  # an option of ini file or environment, which is wrong for all tests
                config.stash[_REFUSED] = error
                found = []
            names = [name for name, _ in found]
            metafunc.parametrize("moe_case", [wanted for _, wanted in found], ids=names, scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """Drops from the test of all packs what tests that were collected before it stand for.

    These are the cases that one of them asks for, and all of a pack that has test files of its own, some of which are
    in this run: what the user has left out of those stays out.
    """
    found = yield
    if not isinstance(found, list):
        return found
    seen = collector.config.stash.setdefault(_ASKED, set())
    kept = []
    for item in found:
        mark, case = _mark(item), _case(item)
        if case is not None and mark == parametrize.EVERYTHING:
            own = {pack.id for pack in packs_of(collector.config) if pack.tests} & {asked.pack for asked in seen}
            if case in seen or case.pack in own:
                continue
        elif case is not None:
            seen.add(case)
        kept.append(item)
    return kept


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects tests of packs that the user did not choose, and what two tests of the run ask for.

    Raises:
        pytest.UsageError: an option of ini file or environment cannot be used; said here once, and not by every test.
    """
    if _REFUSED in config.stash:
        raise config.stash[_REFUSED]
    ours = [(item, mark, case) for item in items if (mark := _mark(item)) and (case := _case(item))]
    if not ours:
        return
    kept = parametrize.selected([(mark, case) for _, mark, case in ours], settings_of(config).packs)
    left_out = [item for (item, _, _), keep in zip(ours, kept, strict=True) if not keep]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(map(id, left_out))
        items[:] = [item for item in items if id(item) not in gone]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Notes what the run asks for, and resolves and opens it before anything is measured.

    Raises:
        pytest.UsageError: something cannot be resolved, one line each; nothing is measured.
    """
    config = session.config
    found = [case for item in session.items if _mark(item) and (case := _case(item))]
    if not found:
        return
    config.stash[_TESTS] = found
    if not config.option.collectonly and not hasattr(config, "workerinput"):
        _checked_before(config, *selection.needed(found, packs_of(config), settings_of(config)))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Resolves and opens what was named on the command line of a run whose tests only its workers know.

    Raises:
        pytest.UsageError: something cannot be resolved, one line each; no worker is started.
    """
    config = session.config
    distributed = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    named = ("model", "text", "layers", "device", "dense-reference", "second-model")
    if distributed and any(config.getoption(option.dest) for option in OPTIONS if option.name in named):
        settings = settings_of(config)
        _checked_before(config, [ref.name for ref in settings.models], list(settings.texts))


def _checked_before(config: pytest.Config, models: list[str], corpora: list[str]) -> None:
    if not models:
        return
    from moe_claims.run.preflight import preflight

    found = preflight(_session(config), models, corpora)
    if found.mistakes:
        raise pytest.UsageError(*found.mistakes)
    config.stash[_BROKEN] = [f"{one_line(name)} cannot be measured: {message}" for name, message in found.broken]


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """The models that are known to be broken, before those that are not are measured."""
    return config.stash.get(_BROKEN, [])


def _mark(item: pytest.Item) -> str | None:
    return next((name for name in parametrize.MARKERS if item.get_closest_marker(name)), None)


def _case(item: pytest.Item) -> "parametrize.Wanted | None":
    callspec = getattr(item, "callspec", None)
    found = None if callspec is None else callspec.params.get("moe_case")
    return found if isinstance(found, parametrize.Wanted) else None


@pytest.fixture
def moe_result(request: pytest.FixtureRequest, moe_case: "parametrize.Wanted") -> "Result | Audit":
    """The judged row of this test's claim, model and text, or its audit; models are measured on first use."""
    found: Result | Audit | str
    try:
        with progress_shown(request.config):
            found = _audit(request, moe_case) if moe_case.case is None else _row(request, moe_case)
    except MoeClaimsError as error:
        found = str(error)
    except Exception as error:  # shown whole by pytest, and named in the report too
        _attach_error(request, moe_case, f"{type(error).__name__}: {error}")
        raise
    if isinstance(found, str):  # outside the handler, so that pytest prints one line and no chain of exceptions
        _attach_error(request, moe_case, found)
        pytest.fail(found, pytrace=False)
    return found


def _attach_error(request: pytest.FixtureRequest, wanted: "parametrize.Wanted", message: str) -> None:
    model = None if wanted.case is None or wanted.case.evidence != "live" else wanted.case.model
    attach(request.node, "error", {"model": model, "claim": wanted.test, "message": one_line(message)})


def _row(request: pytest.FixtureRequest, wanted: "parametrize.Wanted") -> "Result | str":
    """The row that a test asks for, or an error message; attaches the row with its pack, cards and figures."""
    from moe_claims.judge.registry import load
    from moe_claims.report.results import result_row

    case, pack = wanted.case, load(wanted.pack)
    assert case is not None
    judged = pack.kinds[case.evidence].judged(pack, case, _session(request.config))
    found = judged.find(case.claim, case.variant, case.model, case.corpus)
    if isinstance(found, str):
        return found
    attach(request.node, "result", result_row(found))
    attach(request.node, "pack", pack.described())
    if judged.card is not None:
        attach(request.node, "model", judged.card)
    for corpus in judged.corpora:
        attach(request.node, "corpus", corpus)
    if judged.pictures is not None:
        attach(request.node, "pictures", judged.pictures)
    return found


def _audit(request: pytest.FixtureRequest, wanted: "parametrize.Wanted") -> "Audit":
    from moe_claims.judge.registry import audit, load
    from moe_claims.report.results import audit_row

    pack = load(wanted.pack)
    found = audit(pack, str(wanted.audit), settings_of(request.config))
    attach(request.node, "audit", audit_row(found))
    attach(request.node, "pack", pack.described())
    return found


def _session(config: pytest.Config) -> "Session":
    if _SESSION not in config.stash:
        from moe_claims.figures.report_figures import ReportFigures
        from moe_claims.run.session import Session

        settings, packs = settings_of(config), packs_of(config)
        tests = config.stash.get(_TESTS, None)
        wanted = None if tests is None else selection.asked_for(tests, packs, settings)
        config.stash[_SESSION] = Session(settings, ReportFigures(settings), packs, wanted)
    return config.stash[_SESSION]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Moves attached rows to the report. With ``--moe-report-only``, a test that failed passes with a note."""
    failed = call.excinfo is not None and isinstance(call.excinfo.value, pytest.fail.Exception)
    if call.when == "call" and failed and _mark(item) and settings_of(item.config).report_only:
        assert call.excinfo is not None
        item.add_report_section("call", "note", str(call.excinfo.value))
        call.excinfo = None
    report = yield
    put_on_report(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the report, in the controller process."""
    collected = session.config.stash[COLLECTED]
    if not collected or hasattr(session.config, "workerinput"):
        return
    from moe_claims.report import report_folder
    from moe_claims.report.step_summary import add_summary

    settings = settings_of(session.config)
    document = collected.document(settings, packs_of(session.config))
    session.config.stash[FILES] = report_folder.write(settings.report, document, collected.pictures(settings))
    session.config.stash[DOCUMENT] = document
    session.config.stash[NO_SUMMARY] = add_summary(document, settings.report)
