"""The program ``moe-claims`` is ``python -m moe_claims`` under a shorter name."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from moe_claims import __version__

SCRIPT = (
    "import sys\n"
    "from importlib.metadata import entry_points\n"
    "(entry,) = entry_points(group='console_scripts', name='moe-claims')\n"
    "sys.argv[0] = 'moe-claims'\n"
    "sys.exit(entry.load()())"
)
"""What an installer writes as the program."""
MODULE = ("-m", "moe_claims")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_it_is_installed() -> None:
    found = {entry.value for entry in entry_points(group="console_scripts", name="moe-claims")}
    assert found == {"moe_claims.commands.main:main"}, "install the package again: pip install -e ."


@pytest.mark.parametrize("arguments", [("--version",), ("claims",), ("report", "nothing.json")])
def test_both_say_the_same(arguments: tuple[str, ...]) -> None:
    program, module = run("-c", SCRIPT, *arguments), run(*MODULE, *arguments)
    assert (program.stdout, program.stderr, program.returncode) == (module.stdout, module.stderr, module.returncode)
    assert module.returncode == (4 if "nothing.json" in arguments else 0)
    if arguments == ("--version",):
        assert program.stdout == f"moe_claims {__version__}\n"


def test_the_help_of_each_shows_how_it_was_started() -> None:
    for arguments in ((), ("report",)):
        said = run("-c", SCRIPT, *arguments, "--help").stdout
        assert said.startswith(" ".join(["usage: moe-claims", *arguments]))
        assert "python -m" not in said.partition("\n")[0]
        assert run(*MODULE, *arguments, "--help").stdout.startswith(
            " ".join(["usage: python -m moe_claims", *arguments])
        )


@pytest.mark.skipif(not (Path(sys.executable).parent / "moe-claims").exists(), reason="no programs beside this Python")
def test_the_installed_program_runs() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "moe-claims"), "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: moe-claims ")
