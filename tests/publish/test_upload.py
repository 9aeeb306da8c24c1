"""What is packed to be sent: checked, named by what it is, and the same every time."""

from collections.abc import Callable
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.publish.upload import Parcel, described, packed
from moe_claims.report import results

Make = Callable[..., dict[str, Any]]


def pack(document: dict[str, Any], **options: Any) -> Parcel:
    return packed(document, "r.json", "org/found", **{"message": None, "public": False, **options})


def test_a_run_is_named_by_its_day_and_its_content(a_results_file: Make) -> None:
    one = pack(a_results_file({}))
    assert one == pack(a_results_file({}))
    assert one.folder.startswith("runs/2026-01-02-")
    assert one.message == f"Results {one.folder.removeprefix('runs/')}"
    other = pack(a_results_file({"verdict": "absent"}))
    assert other.folder != one.folder
    later = pack(a_results_file({}, created="2026-01-03T01:00:00+02:00"))
    assert later.folder.startswith("runs/2026-01-02-")  # the day of UTC
    assert set(one.files) == {
        "README.md", f"{one.folder}/results.json", f"{one.folder}/report.md", f"{one.folder}/rows-2.jsonl",
    }  # fmt: skip


@pytest.mark.parametrize("created", ["", "yesterday", "2026-13-01"])
def test_a_run_without_a_day_is_refused(created: str, a_results_file: Make) -> None:
    with pytest.raises(UsageError, match="created is no time stamp such as 2026-01-02T03:04:05Z"):
        pack(a_results_file({}, created=created))


def test_what_does_not_follow_the_schema_is_refused(a_results_file: Make) -> None:
    document = a_results_file({})
    del document["results"][0]["verdict"]
    with pytest.raises(UsageError, match=r"results\[0\] lacks verdict"):
        pack(document)


def test_tokens_come_before_the_schema_whose_message_names_fields(a_results_file: Make) -> None:
    environment = {"moe_claims": "0", "python": "3", "hf_abcdefgh": []}
    with pytest.raises(UsageError) as caught:
        pack(a_results_file({}, environment=environment))
    assert "abcdefgh" not in str(caught.value)


def test_paths_are_refused(a_results_file: Make) -> None:
    document = a_results_file({}, model="./runs/my-checkpoint")
    with pytest.raises(UsageError, match=r"models\[0\]\.name holds a path, '\./runs/my-checkpoint'; run the claims"):
        pack(document)


def test_names_can_be_replaced(a_results_file: Make) -> None:
    document = a_results_file({"reason": "'/data/me/ckpt-3' is so"}, model="/data/me/ckpt-3")
    parcel = pack(document, rename=["/data/me/ckpt-3=ckpt-3"])
    sent = parcel.files[f"{parcel.folder}/results.json"].decode()
    assert "/data/me" not in b"".join(parcel.files.values()).decode()
    assert sent == results.as_text(a_results_file({"reason": "'ckpt-3' is so"}, model="ckpt-3"))
    for bad in ("/data/me/ckpt-3=/data/ckpt", "/data/me/ckpt-3=../ckpt"):
        with pytest.raises(UsageError, match="holds a path"):
            pack(document, rename=[bad])
    with pytest.raises(UsageError, match="holds what looks like a token"):
        pack(document, rename=["/data/me/ckpt-3=hf_abcdefgh1234"])


def test_the_message_is_one_line(a_results_file: Make) -> None:
    assert pack(a_results_file({}), message="two\nlines").message == "two lines"


def test_the_description_names_every_file_and_its_size(a_results_file: Make) -> None:
    parcel = pack(a_results_file({}), public=True)
    lines = described(parcel).splitlines()
    assert lines[0] == "to the dataset org/found, which must be public and is made so if there is none:"
    for place, content in parcel.files.items():
        (line,) = (line for line in lines if line.startswith(f"  {place} "))
        assert f"{len(content):,} bytes" in line
        assert line.endswith("(only if the dataset has none)") == (place == "README.md")
    assert lines[-1] == f"in one commit: {parcel.message}"
    content = parcel.files[f"{parcel.folder}/results.json"]
    assert content.decode() == results.as_text(a_results_file({}))
