"""Paths and tokens are found wherever they stand in results, and nothing else is taken for one."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from moe_claims.errors import UsageError
from moe_claims.models.names import ALIASES
from moe_claims.packs.look_into_moes.audits import run_audits
from moe_claims.packs.look_into_moes.pack import PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.publish.scan import check_paths, check_tokens, holds_path, holds_token

Make = Callable[..., dict[str, Any]]

PATHS = [
    "/home/me/model", "/tmp", "at '/mnt/data/x.jsonl' line 3", "(/srv/x)", "file:///home/me", "~/models/x",
    "~me/models", "./dir/x", "../dir", "../dir/x",
    "see ./a/b", "./a/..", "./..", "./.ssh", "./~me", r".\a\b", "./a/b/",
    r"C:\Users\me", "D:/models/x", r"\\server\share\x", "=/opt/x",
]  # fmt: skip
INNOCENT = [
    "org/name@step500", "hub:org/name", "synthetic:planted?seed=3&layers=7", "and/or", "1/27", "w/o",
    "https://huggingface.co/org/name", "r²(act) − max(r²(up), r²(down))", "… and so on", "~0.3", "a / b", "3 %/layer",
    "step500", "my-text.txt", "x.jsonl:field", "S_up/S_act", "p ≤ 0.001; |x|/|y|", "half...", "at 12:30",
    "./dir", "see ./dir.", "./ckpt-30/", "'./my-text.jsonl:field', line 3", r".\dir", "./epoch=3-step=40",
]  # fmt: skip
TOKENS = [
    "hf_abcdefgh1234", "with hf_AbCdEfGhIjKlMnOpQrStUvWxYz in it", "api_org_abcdefghijkl", "ghp_" + "a1" * 12,
    "AKIAIOSFODNN7EXAMPLE", "https://me:word@hub/x", "sk-abcdefghijklmnopqrstuvwx",
]  # fmt: skip


@pytest.mark.parametrize("text", PATHS)
def test_paths_are_found(text: str) -> None:
    assert holds_path(text)
    assert not holds_token(text)


@pytest.mark.parametrize("text", INNOCENT)
def test_other_text_is_left_alone(text: str) -> None:
    assert not holds_path(text)
    assert not holds_token(text)


@pytest.mark.parametrize("text", TOKENS)
def test_tokens_are_found(text: str) -> None:
    assert holds_token(text)


def test_secrets_are_found_by_their_letters() -> None:
    assert holds_token("it is abc", ["abc"])
    assert not holds_token("it is abd", ["abc", ""])


def test_nothing_that_the_package_says_of_itself_is_refused(a_results_file: Make) -> None:
    from moe_claims.report import results

    rows = [results.result_row(row) for row in judged_counts(PACK).results]
    document = a_results_file(results=rows, audits=[results.audit_row(audit) for audit in run_audits()])
    check_tokens(document, "r.json")
    check_paths(document, "r.json")
    facts = [{**asdict(claim), "estimator": claim.code, "printed": None} for _, claim in PACK.records()]
    said = [json.dumps(fact, ensure_ascii=False) for fact in facts]
    assert not any(holds_token(text) for text in [*said, *ALIASES.values()])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"model": "/home/me/x"}, "results[0].model"),
        ({"reason": "no shard in ../x"}, "results[0].reason"),
        ({"reason": "no shard in ./a/b/x"}, "results[0].reason"),
        ({"details": {"at ~/x": 1.0}}, "the name of a field of results[0].details"),
    ],
)
def test_a_path_is_refused_by_the_field(changes: dict[str, Any], place: str, a_results_file: Make) -> None:
    with pytest.raises(UsageError) as caught:
        check_paths(a_results_file(changes), "r.json")
    said = str(caught.value)
    assert said.startswith(f"'r.json' is not published: {place} holds a path, '")
    assert "run the claims again from the folder that it lies in, by its bare name" in said


@pytest.mark.parametrize("name", ["runs/step500", r"runs\step500", "a/b/c", "a/..", "..", "~me"])
def test_folders_and_texts_by_a_relative_path_are_refused(name: str, a_results_file: Make) -> None:
    folder = a_results_file()
    folder["models"][0] |= {"name": name, "kind": "directory"}
    with pytest.raises(UsageError, match=r"models\[0\]\.name is a path, '"):
        check_paths(folder, "r.json")
    folder["models"][0] |= {"kind": "hub"}
    check_paths(folder, "r.json")  # a repository is no path
    text = a_results_file()
    text["corpora"][0]["name"] = name
    with pytest.raises(UsageError, match=r"corpora\[0\]\.name is a path, '"):
        check_paths(text, "r.json")
    trained = a_results_file(environment={"moe_claims": "0", "python": "3", "experiments": name})
    with pytest.raises(UsageError, match=r"environment\.experiments is a path, '"):
        check_paths(trained, "r.json")


@pytest.mark.parametrize("name", ["step500", "./ckpt-30", "./ckpt-30/", "ckpt-30/", r".\ckpt-30", "./my ckpt"])
def test_a_bare_name_of_a_folder_is_none(name: str, a_results_file: Make) -> None:
    document = a_results_file({"reason": f"'{name}' is so"}, model=name)
    document["models"][0]["kind"] = "directory"
    document["corpora"][0]["name"] = "./my-text.txt"
    document["environment"]["experiments"] = "./mine"
    check_paths(document, "r.json")


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_refused_and_never_repeated(token: str, a_results_file: Make) -> None:
    for document in (
        a_results_file({"reason": token}),
        a_results_file(environment={"moe_claims": "0", "python": "3", token: 1}),
        [token],
        {"a": {"b": [0, {token: None}]}},
    ):
        with pytest.raises(UsageError) as caught:
            check_tokens(document, "r.json")
        assert "holds what looks like a token" in str(caught.value)
        assert token not in str(caught.value)


def test_long_paths_are_cut_in_the_message(a_results_file: Make) -> None:
    with pytest.raises(UsageError) as caught:
        check_paths(a_results_file({"model": "/" + "x" * 500}), "r.json")
    assert len(str(caught.value)) < 320
