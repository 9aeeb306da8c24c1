"""Models of the hub, without the hub: a cache made here, and a client that answers as the test wants."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from moe_claims.errors import ModelError
from moe_claims.models.checkpoint import Checkpoint
from moe_claims.models.loading import open_model
from moe_claims.models.names import resolve
from moe_claims.models.storage import hub_cache

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache on a machine without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _put(cache: Path, hub_id: str, source: Path, ref: str = "main", sha: str = SHA) -> Path:
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / ref).write_text(sha)
    return Path(shutil.copytree(source, repository / "snapshots" / sha))


def _message(make: Callable[[], object]) -> str:
    with pytest.raises(ModelError) as caught:
        make()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("layout", ["original", "fused-sharded"])
def test_cached_model_offline(layout: str, cache: Path, saved: Callable[..., Path]) -> None:
    folder = _put(cache, "org/name", saved("mixtral", False, layout))
    assert hub_cache.snapshot("org/name", None) == (folder, SHA)
    model = open_model(resolve("org/name"))
    assert (model.hub_id, model.revision_sha) == ("org/name", SHA)
    card = model.card()
    assert (card["kind"], card["hub_id"], card["revision_sha"]) == ("hub", "org/name", SHA)
    assert model.checkpoint.sha256 == open_model(resolve(str(saved("mixtral")))).checkpoint.sha256


def test_alias_of_a_cached_model_offline(cache: Path, saved: Callable[..., Path]) -> None:
    _put(cache, "mistralai/Mixtral-8x7B-v0.1", saved("mixtral"))
    model = open_model(resolve("mixtral"))
    assert (model.ref.name, model.hub_id, model.revision_sha) == ("mixtral", "mistralai/Mixtral-8x7B-v0.1", SHA)
    assert model.checkpoint.experts == 4


def test_revisions_by_name_and_by_sha(cache: Path, saved: Callable[..., Path]) -> None:
    other = "f" * 40
    _put(cache, "org/name", saved("mixtral"))
    _put(cache, "org/name", saved("olmoe"), "step10000", other)
    for revision, sha, family in ((None, SHA, "mixtral"), ("step10000", other, "olmoe"), (other, other, "olmoe")):
        model = open_model(resolve(f"org/name@{revision}" if revision else "org/name"))
        assert (model.revision_sha, model.checkpoint.family.model_type) == (sha, family)


def test_revision_stands_for_the_hash(cache: Path, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # Hashing would read every byte of a large model once more.
    _put(cache, "org/name", saved("mixtral"))
    model, copy = open_model(resolve("org/name")), open_model(resolve(str(saved("mixtral"))))
    assert copy.identity == copy.card()["weights_sha256"] == copy.checkpoint.sha256
    monkeypatch.setattr(Checkpoint, "sha256", property(lambda _: pytest.fail("the weights were hashed")))
    assert model.identity == f"org/name@{SHA}"
    assert model.card()["weights_sha256"] is None


@pytest.mark.parametrize(("at", "command"), [("", ""), ("@step1", " --revision step1")])
def test_model_that_is_not_cached_offline(at: str, command: str, cache: Path) -> None:
    assert _message(lambda: open_model(resolve(f"org/name{at}"))) == (
        f"'org/name{at}' is not in the local cache and HF_HUB_OFFLINE is set: download it on a connected machine "
        f"('hf download org/name{command}') or give the folder of a copy"
    )
    assert not cache.exists()


def test_impossible_name(cache: Path) -> None:
    expected = "'org/na me' cannot be the name of a repository on the hub: check its spelling"
    assert _message(lambda: open_model(resolve("org/na me"))) == expected


def test_half_a_download_offline_names_the_shard(cache: Path, saved: Callable[..., Path]) -> None:
    folder = _put(cache, "org/name", saved("mixtral", False, "original-sharded"))
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    (folder / shards[0]).unlink()
    expected = f"'{folder}' lacks shard {shards[0]} of the {len(shards)} in its index: download it again"
    assert _message(lambda: open_model(resolve("org/name"))) == expected


class Client:
    """Stands for ``snapshot_download``: keeps to the cache when told to, and otherwise does as it was made to."""

    def __init__(self, act: Callable[[], str]) -> None:
        self.calls: list[dict[str, Any]] = []
        self._act, self._real = act, huggingface_hub.snapshot_download

    def __call__(self, hub_id: str, **options: Any) -> str:
        self.calls.append(options)
        return self._real(hub_id, **options) if options.get("local_files_only") else self._act()


@pytest.fixture
def online(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], str]], Client]:
    """Makes the hub reachable, as the test imagines it."""

    def connect(act: Callable[[], str]) -> Client:
        client = Client(act)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", client)
        return client

    return connect


def test_download_asks_for_data_alone(online: Any, cache: Path, saved: Callable[..., Path]) -> None:
    client = online(lambda: str(_put(cache, "org/name", saved("mixtral"))))
    assert hub_cache.snapshot("org/name", None)[1] == SHA
    asked = client.calls[-1]["allow_patterns"]
    assert len(client.calls) == 2
    assert asked == list(hub_cache.PATTERNS)
    assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in asked if pattern != "tokenizer*")


def test_cached_model_is_not_asked_for_again(online: Any, cache: Path, saved: Callable[..., Path]) -> None:
    client = online(lambda: pytest.fail("the hub was asked"))
    _put(cache, "org/name", saved("mixtral", False, "original-sharded"))
    assert hub_cache.snapshot("org/name", None)[1] == SHA
    assert len(client.calls) == 1


@pytest.mark.parametrize("left", ["tokenizer", "one shard fewer", "broken index"])
def test_half_a_cached_model_is_completed(left: str, online: Any, cache: Path, saved: Callable[..., Path]) -> None:
    folder = _put(cache, "org/name", saved("mixtral", False, "original-sharded"))
    index = folder / "model.safetensors.index.json"
    if left == "tokenizer":  # what AutoTokenizer leaves behind
        for path in [index, *folder.glob("*.safetensors")]:
            path.unlink()
    elif left == "broken index":
        index.write_text("[]")
    else:
        (folder / sorted(set(json.loads(index.read_text())["weight_map"].values()))[0]).unlink()

    def complete() -> str:
        shutil.copytree(saved("mixtral", False, "original-sharded"), folder, dirs_exist_ok=True)
        return str(folder)

    client = online(complete)
    assert open_model(resolve("org/name"), download=True).checkpoint.experts == 4
    assert len(client.calls) == 2


def _http_error(kind: type[Exception]) -> Exception:
    # Built without a response: its text and transport are the client's business.
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (GatedRepoError, "'org/name@v1' is gated: accept its terms on the hub and log in with 'hf auth login'"),
        (
            RepositoryNotFoundError,
            "there is no repository 'org/name' on the hub that you may read: check its name",
        ),
        (
            huggingface_hub.errors.RevisionNotFoundError,
            "the repository 'org/name' has no revision 'v1': check its name",
        ),
        (
            LocalEntryNotFoundError,
            "'org/name@v1' is not in the local cache and the hub cannot be reached (LocalEntryNotFoundError): "
            "connect, or give the folder of a copy",
        ),
        (
            TimeoutError,
            "'org/name@v1' is not in the local cache and the hub cannot be reached (TimeoutError): connect, or give "
            "the folder of a copy",
        ),
    ],
)
def test_every_refusal_of_the_hub_has_its_line(kind: type[Exception], message: str, online: Any) -> None:
    def refuse() -> str:
        raise _http_error(kind)

    online(refuse)
    assert _message(lambda: open_model(resolve("org/name@v1"), download=True)) == message
