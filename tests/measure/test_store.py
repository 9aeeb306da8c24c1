"""The store: measured once, whole or not at all, by one process at a time."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from moe_claims.measure.store import Store, key_of

ARRAYS = {
    "a.b": np.arange(6.0, dtype=np.float32).reshape(2, 3),
    "chosen": np.asarray([[1, 2]], dtype=np.int16),
    "empty": np.zeros((0, 3)),
}


class Measure:
    """Counts how often something is measured."""

    def __init__(self, arrays: Mapping[str, np.ndarray[Any, Any]] = ARRAYS) -> None:
        self.times, self._arrays = 0, arrays

    def __call__(self, missing: Sequence[int]) -> Iterator[Mapping[str, np.ndarray[Any, Any]]]:
        for _ in missing:
            self.times += 1
            yield self._arrays


def _never(missing: Sequence[int]) -> Iterator[Mapping[str, np.ndarray[Any, Any]]]:
    pytest.fail("it was measured again")


def _one(store: Store, key: str, measure: Any) -> Mapping[str, np.ndarray[Any, Any]]:
    (found,) = store.get_or_measure([key], measure)
    return found


def _assert_same(found: Mapping[str, np.ndarray[Any, Any]]) -> None:
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def _kept(folder: Path) -> list[str]:
    """Files that hold something; locks do not."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_second_call_does_not_measure(tmp_path: Path) -> None:
    measure = Measure()
    _assert_same(_one(Store(tmp_path / "new" / "folder"), "k", measure))
    _assert_same(_one(Store(tmp_path / "new" / "folder"), "k", _never))
    assert measure.times == 1
    assert _kept(tmp_path / "new" / "folder") == ["k.npz", "k.sha256"]


def test_keys_are_kept_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _one(store, "one", Measure())
    other = _one(store, "two", Measure({"x": np.ones(1)}))
    assert list(other) == ["x"]
    _assert_same(_one(store, "one", _never))


def test_key_depends_on_every_part_and_not_on_their_order() -> None:
    key = key_of(weights="abc", config={"a": 1, "b": [2]}, dtype="float32")
    assert key == key_of(dtype="float32", config={"b": [2], "a": 1}, weights="abc")
    others = [
        key_of(weights="abd", config={"a": 1, "b": [2]}, dtype="float32"),
        key_of(weights="abc", config={"a": 1, "b": [3]}, dtype="float32"),
        key_of(weights="abc", config={"a": 1, "b": [2]}, dtype="float64"),
        key_of(weights="abc", config={"a": 1, "b": [2]}),
        key_of(weights="abc", config={"a": 1, "b": [2]}, dtype="float32", text="t"),
    ]
    assert len({key, *others}) == 6
    assert len(key) == 40 and set(key) <= set("0123456789abcdef")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: _flip(folder / "k.npz"),
        lambda folder: (folder / "k.npz").write_bytes((folder / "k.npz").read_bytes()[:-7]),
        lambda folder: (folder / "k.npz").write_bytes(b""),
        lambda folder: (folder / "k.sha256").write_text("0" * 64),
        lambda folder: (folder / "k.sha256").write_bytes(b"\xff\xfe"),
    ],
    ids=["flipped bit", "truncated", "emptied", "foreign checksum", "damaged checksum"],
)
def test_damaged_entry_is_named_and_measured_again(damage: Callable[[Path], object], tmp_path: Path) -> None:
    store, measure = Store(tmp_path), Measure()
    _one(store, "k", measure)
    damage(tmp_path)
    with pytest.warns(UserWarning, match="is damaged and is made again") as caught:
        _assert_same(_one(store, "k", measure))
    assert [str(w.message) for w in caught] == [
        f"stored measurement '{tmp_path / 'k.npz'}' is damaged and is made again"
    ]
    assert measure.times == 2
    _assert_same(_one(store, "k", _never))  # and is whole again, without a word


@pytest.mark.parametrize("lost", ["k.npz", "k.sha256"])
def test_half_an_entry_is_none(lost: str, tmp_path: Path) -> None:
    # What a run leaves that is killed between its two files.
    store, measure = Store(tmp_path), Measure()
    _one(store, "k", measure)
    (tmp_path / lost).unlink()
    _assert_same(_one(store, "k", measure))
    assert measure.times == 2


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_interrupted_measuring_leaves_nothing(kind: type[BaseException], tmp_path: Path) -> None:
    def interrupted(missing: Sequence[int]) -> Iterator[Mapping[str, np.ndarray[Any, Any]]]:
        raise kind("half-way")

    store, measure = Store(tmp_path), Measure()
    with pytest.raises(kind, match="half-way"):
        _one(store, "k", interrupted)
    assert _kept(tmp_path) == []
    _assert_same(_one(store, "k", measure))  # the lock is free again
    assert measure.times == 1


def test_interrupted_writing_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: Any) -> None:
        raise OSError("no space left on device")

    store = Store(tmp_path)
    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(OSError, match="no space left"):
        _one(store, "k", Measure())
    monkeypatch.undo()
    assert not (tmp_path / "k.npz").exists() and not (tmp_path / "k.sha256").exists()
    _assert_same(_one(store, "k", Measure()))


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    # An entry is data: object arrays, which unpickle, are refused even with a matching checksum.
    import hashlib

    np.savez(tmp_path / "k.npz", evil=np.asarray([{}], dtype=object), allow_pickle=True)
    (tmp_path / "k.sha256").write_text(hashlib.sha256((tmp_path / "k.npz").read_bytes()).hexdigest())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        _one(Store(tmp_path), "k", _never)


_WORKER = """
import sys, time
from pathlib import Path
import numpy as np
from moe_claims.measure.store import Store

folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def measure(missing):
    with log.open("a") as file:
        file.write("measured\\n")
    time.sleep(0.5)
    yield {"x": np.arange(3)}

print("ready", flush=True)
sys.stdin.readline()
print(Store(folder).get_or_measure(["k"], measure)[0]["x"].tolist())
"""


def test_two_processes_measure_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", _WORKER, str(tmp_path / "store"), str(log)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(2)]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 2  # so that both begin at once
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [worker.communicate(timeout=60) for worker in workers]
    assert answers == [("[0, 1, 2]\n", "")] * 2
    assert log.read_text() == "measured\n"


def test_an_entry_in_anothers_place_is_made_again_with_a_warning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _one(store, "mine", Measure())
    _one(store, "foreign", Measure({"x": np.ones(1)}))
    for suffix in (".npz", ".sha256"):
        (tmp_path / f"foreign{suffix}").replace(tmp_path / f"mine{suffix}")
    with pytest.warns(UserWarning, match=r"mine\.npz' holds another measurement than its name says"):
        _assert_same(_one(store, "mine", Measure()))
    _assert_same(_one(store, "mine", _never))


# --- layer by layer ------------------------------------------------------------------------------------


def _numbers(*, until: int = 9) -> Callable[[Sequence[int]], Iterator[dict[str, np.ndarray[Any, Any]]]]:
    """Measures what is missing, and is killed before this one."""

    def measure(missing: Sequence[int]) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        for number in missing:
            if number == until:
                raise KeyboardInterrupt
            yield {"x": np.asarray([number])}

    return measure


def test_whoever_is_interrupted_goes_on_behind_the_last_layer(tmp_path: Path) -> None:
    keys = ["a", "b", "c", "d"]
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).get_or_measure(keys, _numbers(until=2))
    asked: list[int] = []

    def measure(missing: Sequence[int]) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        asked.extend(missing)
        return _numbers()(missing)

    found = Store(tmp_path).get_or_measure(keys, measure)
    assert asked == [2, 3]
    assert [arrays["x"].item() for arrays in found] == [0, 1, 2, 3]


def test_layers_in_any_other_company_are_not_measured_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.get_or_measure(["a", "b"], _numbers())
    found = store.get_or_measure(["b", "c", "a"], _numbers())
    assert [arrays["x"].item() for arrays in found] == [1, 1, 0]


def test_a_measure_that_yields_another_number_of_entries_is_an_error(tmp_path: Path) -> None:
    for count in (1, 3):
        with pytest.raises(ValueError, match="zip"):
            Store(tmp_path / str(count)).get_or_measure(["a", "b"], lambda _, n=count: [{}] * n)


def test_snapshots_are_replaced_and_dropped(tmp_path: Path) -> None:
    snapshot = Store(tmp_path).snapshot("k")
    assert snapshot.read() is None
    for step in (8, 9, 10):
        snapshot.write(step, {"x": np.asarray([step])})
        found = Store(tmp_path).snapshot("k").read()
        assert found is not None
        assert (found[0], found[1]["x"].item()) == (step, step)
        assert _kept(tmp_path) == [f"k-after-{step}.npz", f"k-after-{step}.sha256"]
    assert Store(tmp_path).snapshot("other").read() is None
    snapshot.drop()
    assert _kept(tmp_path) == []


@pytest.mark.parametrize("left", ["k-after-2.npz", "k-after-2.npz.7.partial"])
def test_a_snapshot_that_was_not_finished_leaves_the_one_before(left: str, tmp_path: Path) -> None:
    snapshot = Store(tmp_path).snapshot("k")
    snapshot.write(1, {"x": np.ones(1)})
    (tmp_path / left).write_bytes(b"half")
    found = snapshot.read()
    assert found is not None and found[0] == 1
    snapshot.write(2, {"x": np.ones(1)})
    found = snapshot.read()
    assert found is not None and found[0] == 2
    assert _kept(tmp_path) == ["k-after-2.npz", "k-after-2.sha256"]  # and nothing half-written is left behind


def test_a_damaged_snapshot_is_none(tmp_path: Path) -> None:
    snapshot = Store(tmp_path).snapshot("k")
    snapshot.write(1, {"x": np.ones(1)})
    _flip(tmp_path / "k-after-1.npz")
    with pytest.warns(UserWarning, match="is damaged and is made again"):
        assert snapshot.read() is None
