"""Progress: silent for short work, a line every ten seconds for long work, nothing when quiet."""

import io
from collections.abc import Callable, Iterable, Iterator

import pytest

from moe_claims._util import progress
from moe_claims._util.progress import track


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    progress.set_quiet(False)  # whatever another test has left
    yield clock
    progress.set_quiet(False)


@pytest.fixture
def work(clock: Clock) -> Callable[[Iterable[int], float], list[int]]:
    """Works through items that take so many seconds each."""

    def work(items: Iterable[int], seconds: float) -> list[int]:
        done = []
        for item in items:
            clock.now += seconds
            done.append(item)
        return done

    return work


class Terminal(io.StringIO):
    """A standard error that people watch."""

    def isatty(self) -> bool:
        return True


def test_short_work_is_silent(work: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]) -> None:
    assert work(track(range(9), "reading"), 1.0) == list(range(9))
    assert work(track([], "reading"), 1.0) == []
    assert capsys.readouterr() == ("", "")


def test_a_line_every_ten_seconds(work: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]) -> None:
    items = track(range(8), "running m", unit="layers")
    assert work(items, 4.0) == list(range(8))
    out, err = capsys.readouterr()
    assert out == ""  # standard output belongs to results
    assert err.splitlines() == [
        "running m: 3/8 layers in 12 s, about 20 s left",
        "running m: 6/8 layers in 24 s, about 8 s left",
    ]


def test_number_of_items_may_be_told_or_unknown(
    work: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert work(track(iter(range(2)), "hashing", total=2), 1200.0) == [0, 1]
    assert work(track(iter(range(2)), "hashing"), 1200.0) == [0, 1]
    assert capsys.readouterr().err.splitlines() == [
        "hashing: 1/2 items in 1,200 s, about 1,200 s left",
        "hashing: 2/2 items in 2,400 s, about 0 s left",
        "hashing: 1 items in 1,200 s",
        "hashing: 2 items in 2,400 s",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_quiet_is_quiet(
    terminal: bool,
    work: Callable[..., list[int]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Terminal()
    if terminal:
        monkeypatch.setattr("sys.stderr", screen)
    progress.set_quiet(True)
    assert work(track(range(5), "running"), 100.0) == list(range(5))
    assert capsys.readouterr() == ("", "")
    assert screen.getvalue() == ""


def test_loud_again_after_quiet(work: Callable[..., list[int]], capsys: pytest.CaptureFixture[str]) -> None:
    progress.set_quiet(True)
    progress.set_quiet(False)
    work(track(range(1), "running"), 100.0)
    assert capsys.readouterr().err.startswith("running: ")


@pytest.mark.parametrize(("seconds", "seen"), [(0.1, False), (1.1, True)])
def test_bar_on_a_terminal_after_two_seconds(
    seconds: float, seen: bool, work: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert work(track(range(8), "running m", unit="layers"), seconds) == list(range(8))
    assert ("running m" in screen.getvalue()) is seen
    assert bool(screen.getvalue()) is seen


def test_bar_is_taken_away_when_the_work_fails(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    def break_down() -> None:
        for item in track(range(8), "running m"):
            clock.now += 1.5
            if item == 4:
                raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        break_down()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h")  # the cursor is back


def test_names_of_models_do_not_steer_the_terminal(work, capsys: pytest.CaptureFixture[str]) -> None:
    work(track(range(4), "running \x1b[31mred\n\u202e", unit="layers"), 6.0)
    assert "running \\x1b[31mred \\u202e: 2/4 layers in 12 s" in capsys.readouterr().err


class Elsewhere:
    """A place of progress that remembers what it was told."""

    width = 60

    def __init__(self, rewrites: bool) -> None:
        self.rewrites = rewrites
        self.told: list[tuple[str, str]] = []

    def line(self, text: str) -> None:
        self.told.append(("line", text))

    def show(self, text: str) -> None:
        self.told.append(("show", text))

    def clear(self) -> None:
        self.told.append(("clear", ""))


@pytest.fixture
def elsewhere() -> Iterator[Callable[[bool], Elsewhere]]:
    def lead(rewrites: bool) -> Elsewhere:
        place = Elsewhere(rewrites)
        progress.set_place(place)
        return place

    yield lead
    progress.set_place(None)


def test_elsewhere_it_is_shown_from_two_seconds_on_and_taken_away(
    work: Callable[..., list[int]], elsewhere: Callable[[bool], Elsewhere], capsys: pytest.CaptureFixture[str]
) -> None:
    place = elsewhere(True)
    work(track(range(4), "running a model of a long name", unit="layers"), 0.9)
    assert place.told == [
        ("show", "running a model of a lo…: 3/4 layers in 3 s, about 1 s left"),
        ("show", "running a model of a lo…: 4/4 layers in 4 s, about 0 s left"),
        ("clear", ""),
    ]
    assert capsys.readouterr() == ("", "")


def test_elsewhere_without_rewriting_it_is_a_line_every_ten_seconds(
    work: Callable[..., list[int]], elsewhere: Callable[[bool], Elsewhere]
) -> None:
    place = elsewhere(False)
    work(track(range(4), "hashing"), 6.0)
    assert place.told == [
        ("line", "hashing: 2/4 items in 12 s, about 12 s left"),
        ("line", "hashing: 4/4 items in 24 s, about 0 s left"),
    ]


@pytest.mark.parametrize("rewrites", [True, False])
def test_quiet_is_quiet_elsewhere_too(
    rewrites: bool, work: Callable[..., list[int]], elsewhere: Callable[[bool], Elsewhere]
) -> None:
    place = elsewhere(rewrites)
    progress.set_quiet(True)
    work(track(range(4), "hashing"), 60.0)
    assert place.told == []
