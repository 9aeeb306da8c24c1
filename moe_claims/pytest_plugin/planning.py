"""``--moe-plan``: a plan in place of a run; and ``--moe-plan-file``: a run that is bound to a plan."""

import sys
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.printable import one_line
from moe_claims.pytest_plugin.run_options import packs_of, settings_of
from moe_claims.settings import OPTIONS, option_value


def _given(config: pytest.Config, name: str) -> Any:
    """The value of an option as given anywhere; no other is looked at, since most runs have nothing to do with us."""
    option = next(option for option in OPTIONS if option.name == name)
    return option_value(option, config.getoption(option.dest), config.getini(f"moe_{name.replace('-', '_')}"))


def _plans(config: pytest.Config) -> bool:
    return bool(_given(config, "plan")) and settings_of(config).plan


def pytest_configure(config: pytest.Config) -> None:
    """Leaves out the workers of pytest-xdist, which would have nothing to do; called before it makes them."""
    if _plans(config):
        config.option.dist, config.option.tx = "no", []


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuses a run that deviates from the plan that it is bound to, before anything is measured.

    Raises:
        pytest.UsageError: it deviates, in one line each way; or there is no such plan.
    """
    config = session.config
    if hasattr(config, "workerinput") or not _given(config, "plan-file") or _plans(config):
        return
    from moe_claims.plan.document import check

    settings = settings_of(config)
    try:
        found = check(settings, packs_of(config))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if found:
        file = one_line(settings.plan_file)
        raise pytest.UsageError(*(f"not as planned in '{file}': {one_line(line)}" for line in found))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Prints the plan in place of running tests, and writes it where a file is named.

    Raises:
        pytest.UsageError: the device is not there, or the file cannot be written.
    """
    config = session.config
    if not _plans(config) or (session.testsfailed and not config.option.continue_on_collection_errors):
        return None
    from moe_claims.plan.document import text_of
    from moe_claims.plan.planning import plan_of
    from moe_claims.plan.render import render
    from moe_claims.report.results import write_text

    settings, packs = settings_of(config), packs_of(config)
    writer = config.pluginmanager.getplugin("terminalreporter")
    try:
        plan = plan_of(settings, packs)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    width = 80 if writer is None else writer._tw.fullwidth
    lines = ["", *render(plan, width=width).splitlines()]
    if settings.plan_file is not None:
        try:
            write_text(settings.plan_file, text_of(plan, packs))
        except OSError as error:
            raise pytest.UsageError(
                f"--moe-plan-file {one_line(settings.plan_file)}: cannot be written ({error.strerror})"
            ) from None
        lines.append(f"plan written to {one_line(settings.plan_file)}")
    if writer is not None:
        encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        for line in lines:
            writer.write_line(line.encode(encoding, "replace").decode(encoding))
    return True
