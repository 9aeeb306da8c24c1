"""Names of devices, and one line where a device is not there or lacks a dtype."""

import subprocess
import sys

import pytest

from moe_claims.errors import UsageError
from moe_claims.measure.part_measurer import PartMeasurer
from moe_claims.measure.store import Forgetful
from moe_claims.models import device
from moe_claims.models.forward.batches import tokens_at_once
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve


def machine(monkeypatch: pytest.MonkeyPatch, *, gpus: int = 0, apple: bool = False) -> None:
    """What torch says of the machine's devices."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpus > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: apple)


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:15", "mps"])
def test_names_of_devices(name: str) -> None:
    assert device.named(name) == name


@pytest.mark.parametrize(
    "name", ["gpu", "", "cuda:", "cuda:-1", "cuda:x", "cuda:1 ", "mps:0", "CUDA", "cpu:0", "auto:1"]
)
def test_other_names_are_refused(name: str) -> None:
    for check in (device.named, device.device_of):
        with pytest.raises(UsageError) as caught:
            check(name)
        assert str(caught.value) == f"--moe-device {name}: give auto, cpu, cuda, cuda:N or mps"


@pytest.mark.parametrize(
    ("wanted", "gpus", "apple", "found"),
    [
        ("auto", 0, False, "cpu"),
        ("auto", 0, True, "cpu"),
        ("auto", 2, False, "cuda"),
        ("cpu", 2, True, "cpu"),
        ("cuda", 1, False, "cuda"),
        ("cuda:0", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
    ],
)
def test_what_there_is(wanted: str, gpus: int, apple: bool, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=gpus, apple=apple)
    assert device.device_of(wanted) == found


@pytest.mark.parametrize(
    ("wanted", "gpus", "message"),
    [
        ("cuda", 0, "this machine has no usable GPU (torch.cuda.is_available() is False)"),
        ("cuda:1", 0, "this machine has no usable GPU (torch.cuda.is_available() is False)"),
        ("cuda:2", 2, "the last of this machine's GPUs is cuda:1"),
        ("mps", 2, "this machine has no usable Apple GPU (torch.backends.mps.is_available() is False)"),
    ],
)
def test_what_there_is_not(wanted: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, gpus=gpus)
    with pytest.raises(UsageError) as caught:
        device.device_of(wanted)
    assert str(caught.value) == f"--moe-device {wanted}: {message}"


def test_mps_has_no_float64() -> None:
    assert [device.sums_on(name) for name in ("cpu", "cuda:1", "mps", "mps:0")] == ["cpu", "cuda:1", "cpu", "cpu"]
    for name in ("cpu", "cuda:1"):
        device.check_dtype(name, "float64")
    device.check_dtype("mps", "bfloat16")
    message = "^--moe-dtype float64: mps has no float64; give another dtype, or --moe-device cpu$"
    with pytest.raises(UsageError, match=message):
        PartMeasurer(Forgetful(), device="mps", dtype="float64")


def test_what_numbers_depend_on_is_the_kind() -> None:
    model = open_model(resolve("synthetic:planted?layers=2&experts=4&hidden=16&intermediate=8&context=12"))
    keys = {
        name: PartMeasurer(Forgetful(), device=name, dtype="float32")._key(model)
        for name in ("cpu", "cuda", "cuda:0", "cuda:1", "mps")
    }
    assert keys["cuda"] == keys["cuda:0"] == keys["cuda:1"]
    assert len(set(keys.values())) == 3
    assert tokens_at_once(64, "cuda:1") == tokens_at_once(64, "cuda")
    assert tokens_at_once(64, "mps") >= 1


def test_memory_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda name: ({"cuda:0": 10, "cuda:1": 1000}[name], 2000))
    assert device.fits(400, "cuda:1") and not device.fits(400, "cuda:0")
    monkeypatch.setattr(device, "free_bytes", lambda: 1000)
    assert device.fits(400, "cpu") and device.fits(400, "mps") and not device.fits(600, "mps")


def test_a_cpu_is_there_without_torch() -> None:
    code = "import sys\nfrom moe_claims.models.device import device_of\nprint(device_of('cpu'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "cpu False\n"
