"""The plugin, by pytester: options, outcomes, errors, the report, and silence in other people's suites."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from moe_claims.figures import report_figures
from moe_claims.models.embedded import embedded_directory
from moe_claims.packs.look_into_moes.audits import AUDITS, published_code
from moe_claims.packs.look_into_moes.audits.published_code import DEMONSTRATIONS
from moe_claims.packs.look_into_moes.pack import LIVE, PACK
from moe_claims.packs.look_into_moes.routing_counts import judged_counts
from moe_claims.pytest_plugin.outcomes import OUTCOME_OF
from moe_claims.report import html, markdown, results, table  # noqa: F401 - imported before any run inside this process
from moe_claims.report.html import pictures
from moe_claims.run.session import Session
from moe_claims.settings import OPTIONS, settings_from
from moe_claims.types import Verdict

pytest_plugins = ["pytester"]

TINY = "synthetic:planted?layers=7&experts=5&hidden=16&intermediate=16&context=24"
"""Small enough to be judged in about a second."""

_SIZES = "hidden=32&intermediate=16&context=24"
PLANTED, NULL = f"synthetic:planted?layers=10&{_SIZES}", f"synthetic:null?layers=12&{_SIZES}"
"""Large enough for verdicts either way."""

ROWS = sum(len(claim.row_keys()) for claim in LIVE.values())
"""Of one model on one text."""

QUICK = ("--moe-profile", "quick")
"""Without the control, where a test is about something else."""


def claims_folder() -> str:
    """Where the claims are: in the installed wheel, or in the clone."""
    if find_spec("moe_claims.claims") is not None:
        spec = find_spec("moe_claims.claims")
        assert spec is not None
        assert spec.origin is not None
        return str(Path(spec.origin).parent)
    return str(Path(__file__).parents[2] / "claims")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements shared by the tests. Judges a model once, outside of pytester: it forgets what runs
    inside it imported, and torch, of which parts are imported late, cannot be imported twice.
    """
    folder = tmp_path_factory.mktemp("cache")
    judged_counts(PACK)
    Session(settings_from({"model": [TINY], "cache": str(folder)})).judged(PACK, TINY)
    return folder


@pytest.fixture
def no_figures(pytester: pytest.Pytester) -> tuple[str, ...]:
    """Options of a run whose report has no figures, which take longer to draw than most of these models to judge."""
    code = "from moe_claims.figures import report_figures\n\nreport_figures.REPORTED = ()\n"
    (pytester.path / "no_figures.py").write_text(code)
    return ("-p", "no_figures")


@pytest.fixture
def run(pytester: pytest.Pytester, cache: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Runs the claims inside this process, on a model given as ``--moe-model``; marked ``usefixtures("figures")``,
    with the figures of a report.
    """
    if "figures" not in request.fixturenames:
        monkeypatch.setattr(report_figures, "REPORTED", ())

    def run(*arguments: str) -> pytest.RunResult:
        options = ("--import-mode=importlib", "-p", "no:cacheprovider", "--moe-cache", str(cache))
        return pytester.runpytest_inprocess(claims_folder(), *options, *arguments)

    return run


@pytest.fixture
def figures() -> None:
    """Asked for by tests that look at the figures of a report."""


@pytest.fixture
def grok_shown(grok: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits of the published code run on a small model, once outside of pytester for what they import late."""
    monkeypatch.setattr(published_code, "MODEL", str(grok))
    for show in DEMONSTRATIONS.values():
        show(settings_from({"model": [TINY]}))


def load(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def without_time(document: dict) -> str:
    return json.dumps({key: value for key, value in document.items() if key != "created"})


# --- the report ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("figures")
def test_writes_a_valid_report_and_prints_the_table(
    run, grok_shown: None, pytester: pytest.Pytester, trainings: Path
) -> None:
    result = run("--moe-model", TINY, "--moe-experiments", str(trainings))
    assert result.ret in (0, 1)
    document = load(pytester.path / "claims-report")
    jsonschema.validate(document, results.schema())
    assert [audit["id"] for audit in document["audits"]] == [*AUDITS, *DEMONSTRATIONS]
    assert sum(row["evidence"] == "public" for row in document["results"]) >= 6
    live = [row for row in document["results"] if row["evidence"] == "live"]
    assert len(live) == ROWS
    assert all("random_init" in row["controls"] for row in live)
    assert sum(row["evidence"] == "trained" for row in document["results"]) == 6
    assert document["errors"] == []
    printed = result.stdout.str()
    assert "Audits of the paper's printed numbers: 5 agrees" in printed
    assert "Audits of the published code: 1 " in printed
    assert "Public measurements: " in printed
    assert "Trained for the question: " in printed
    assert "a claim that does not replicate is a finding, not a malfunction" in result.outlines
    written = (pytester.path / "claims-report" / "report.md").read_text()
    assert "## Audits of the paper's printed numbers, recomputed from each other" in written
    assert "weight-diversity-depth &#91;down&#93;" in written
    drawn = pictures.read(pytester.path / "claims-report" / "figures")
    assert (pytester.path / "claims-report" / "report.html").read_text() == html.render(document, drawn)
    named = "report: claims-report/results.json, claims-report/report.md, claims-report/report.html"
    assert named in result.outlines


def test_a_run_that_is_stopped_keeps_what_was_judged_and_says_how_it_goes_on(
    pytester: pytest.Pytester, no_figures: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.moe_claim("neuron-experts-sign")
        def test_judged(moe_result):
            pass

        def test_somebody_presses_ctrl_c():
            raise KeyboardInterrupt
        """
    )
    result = pytester.runpytest_subprocess("--moe-model", TINY, "--moe-cache", "kept", *QUICK, *no_figures)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert [row["claim"] for row in load(pytester.path / "claims-report")["results"]] == [
        "look_into_moes/neuron-experts-sign"
    ]
    said = "stopped: what was measured is kept in 'kept', and the same command goes on from there"
    assert said in result.outlines
    assert "neuron-experts-sign" in result.stdout.str()


def test_a_run_without_claims_that_is_stopped_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_somebody_presses_ctrl_c(): raise KeyboardInterrupt")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "what was measured" not in result.stdout.str()


def test_same_seed_gives_the_same_file_and_another_seed_another(run, pytester: pytest.Pytester) -> None:
    for folder, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        anew = ("--moe-cache", str(pytester.path / f"cache-{folder}"))
        run("--moe-model", TINY, "--moe-report", folder, "--moe-seed", seed, *anew, *QUICK, "-k", "router_norm")
    one, two, three = (load(pytester.path / folder) for folder in ("one", "two", "three"))
    assert without_time(one) == without_time(two)
    assert without_time(one) != without_time(three)


def test_selecting_one_claim_changes_no_number_and_quick_runs_no_control(run, pytester: pytest.Pytester) -> None:
    run("--moe-model", TINY, *QUICK, "--moe-report", "all", "-k", "router_norm or neuron_experts")
    run("--moe-model", TINY, *QUICK, "--moe-report", "some", "-k", "test_router_norm_diagonal")
    everything = load(pytester.path / "all")["results"]
    document = load(pytester.path / "some")
    (only,) = document["results"]
    (beside,) = [row for row in everything if row["claim"] == only["claim"]]
    for name in ("effect", "p_value", "null_distribution"):
        assert only[name] == beside[name]
    assert only["p_adjusted"] >= beside["p_adjusted"]
    assert only["controls"] == {}
    assert document["environment"]["profile"] == "quick"


@pytest.mark.campaign("long")
def test_workers_give_the_same_report(grok_shown: None, pytester: pytest.Pytester, no_figures: tuple[str, ...]) -> None:
    # Audits of the published code on the same small model in the other processes.
    with (pytester.path / "no_figures.py").open("a") as file:
        file.write("from moe_claims.packs.look_into_moes.audits import published_code\n")
        file.write(f"published_code.MODEL = {published_code.MODEL!r}\n")
    model = ("--moe-model", TINY, *QUICK)
    options = ("--import-mode=importlib", "-p", "no:cacheprovider", *model, *no_figures)
    # Fresh processes both: what ran before in this one, such as a number of threads, is no matter of workers.
    pytester.runpytest_subprocess(claims_folder(), *options, "--moe-cache", "one", "--moe-report", "alone")
    workers = pytester.runpytest_subprocess(
        claims_folder(), *options, "--moe-cache", "other", "--moe-report", "pair", "-n", "2"
    )
    assert workers.ret in (0, 1)
    assert without_time(load(pytester.path / "alone")) == without_time(load(pytester.path / "pair"))
    assert "router-norm [total]" in workers.stdout.str()


# --- outcomes ------------------------------------------------------------------------------------


def test_outcomes_follow_verdicts(run, pytester: pytest.Pytester) -> None:
    models = ("--moe-model", PLANTED, "--moe-model", NULL)
    result = run(*models, *QUICK, "-k", "router_norm or weight_last", "--junitxml", "junit.xml")
    rows = load(pytester.path / "claims-report")["results"]
    verdicts = {name: [row["verdict"] for row in rows if row["model"] == name] for name in (PLANTED, NULL)}
    assert verdicts[PLANTED].count("replicated") >= 5
    assert "replicated" not in verdicts[NULL]
    outcomes = [OUTCOME_OF[Verdict(row["verdict"])] for row in rows]
    counts = {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}
    cases = [case.attrib for case in ElementTree.parse(pytester.path / "junit.xml").iter("testsuite")]
    assert [int(cases[0][kind]) for kind in ("tests", "failures", "skipped", "errors")] == [
        len(rows), counts["failed"], counts["skipped"], 0,
    ]  # fmt: skip
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert counts["failed"]


def test_report_only_passes_with_a_note(run, pytester: pytest.Pytester) -> None:
    only = "router_norm and not extremes"
    result = run("--moe-model", NULL, *QUICK, "-k", only, "--moe-report-only", "--junitxml", "junit.xml")
    assert result.ret == 0
    assert result.parseoutcomes()["absent"] == 3
    (suite,) = ElementTree.parse(pytester.path / "junit.xml").iter("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")


def test_claims_that_do_not_apply_are_skipped_with_the_reason(run) -> None:
    shallow = "synthetic:planted?layers=3&experts=4&hidden=16&intermediate=16&context=24"
    result = run("--moe-model", shallow, *QUICK, "-k", "diversity_depth or last_layer or neuron_experts_sign", "-v")
    assert "needs at least 6 MoE layers; this model has 3" in result.stdout.str()
    assert "need at least 5 experts; this model has 4" in result.stdout.str()
    assert result.ret == 0
    assert set(result.parseoutcomes()) - {"deselected", "warnings"} <= {"not", "inconclusive"}


# --- options -------------------------------------------------------------------------------------

BAD_OPTIONS = [
    (("--moe-model", "mixtrl"), "unknown model 'mixtrl': did you mean mixtral"),
    (("--moe-model", "./nowhere"), "there is no directory './nowhere'"),
    (("--moe-model", "synthetic:plantd"), "did you mean synthetic:planted?"),
    (("--moe-text", "wikitex"), "unknown text 'wikitex': give builtin"),
    (("--moe-tokens", "0"), "--moe-tokens 0: give a whole number of tokens, 4 or more"),
    (("--moe-tokens", "many"), "--moe-tokens many: give a whole number"),
    (("--moe-device", "gpu"), "--moe-device gpu: give auto, cpu, cuda, cuda:N or mps"),
    (("--moe-dtype", "int8"), "--moe-dtype int8: give one of float32"),
    (("--moe-profile", "fast"), "--moe-profile fast: give one of quick, full"),
    (("--moe-seed", "-1"), "--moe-seed -1: give a whole number, 0 or more"),
    (("--moe-alpha", "5"), "--moe-alpha 5: give a rate"),
    (("--moe-layers", "first"), "--moe-layers first: give layer numbers separated by commas"),
    (("--moe-dense-reference", "mistrl"), "--moe-dense-reference: unknown model 'mistrl': did you mean mistral"),
    (("--moe-second-model", "./nowhere"), "--moe-second-model: there is no directory './nowhere'"),
    (("--moe-experiments", "./nowhere"), "--moe-experiments ./nowhere: there is no such folder"),
    (("--moe-cluster", "host:1"), "no claim of this version uses it"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_OPTIONS, ids=[" ".join(a) for a, _ in BAD_OPTIONS])
def test_a_bad_option_is_one_line_and_exit_status_4(run, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_gpu_that_is_not_there_is_one_line_and_exit_status_4(
    run, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    result = run("--moe-device", device)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--moe-device {device}: this machine has no usable " in result.stderr.str()


def test_options_come_from_ini_and_environment_too(run, pytester: pytest.Pytester, monkeypatch) -> None:
    ini = pytester.makeini(
        "[pytest]\nmoe_report = from-ini\nmoe_model = synthetic:null synthetic:planted\nmoe_seed = 5\n"
    )
    monkeypatch.setenv("MOE_CLAIMS_MODEL", TINY)
    run("-k", "neuron_experts_sign", "-c", str(ini), *QUICK)
    document = load(pytester.path / "from-ini")
    assert [model["name"] for model in document["models"]] == [TINY]
    assert document["environment"]["seed"] == 5


# --- trainings -------------------------------------------------------------------------------------


@pytest.fixture
def trainings(tmp_path: Path, made_up_positions: Callable, made_up_schemes: Callable) -> Path:
    """A folder of made-up results: dense layers that cost more the deeper they lie, and schemes that are alike."""
    noise = partial(np.random.default_rng(0).normal, 0.0, 0.004)
    for made in (made_up_positions(lambda p: 0.005 * p - 0.03 * (p == 7), noise), made_up_schemes(0.0, noise)):
        (tmp_path / f"{made['experiment']}.json").write_text(json.dumps(made))
    return tmp_path


def test_results_of_trainings_are_judged_from_a_folder_of_ones_own(
    run, pytester: pytest.Pytester, trainings: Path
) -> None:
    only = ("--moe-model", TINY, "--moe-experiments", str(trainings), "-k", "training_scheme or depth_needs")
    result = run(*only)
    assert {name: result.parseoutcomes()[name] for name in ("replicated", "absent")} == {"replicated": 4, "absent": 2}
    document = load(pytester.path / "claims-report")
    jsonschema.validate(document, results.schema())
    assert [(row["claim"], row["verdict"]) for row in document["results"]] == [
        *[("look_into_moes/depth-needs-experts", "replicated")] * 4,
        *[("look_into_moes/training-scheme", "absent")] * 2,
    ]
    assert document["models"] == []
    assert document["environment"]["experiments"] == str(trainings)
    assert "Trained for the question" in result.stdout.str()
    (trainings / "training-scheme.json").unlink()
    result = run(*only)
    assert {name: result.parseoutcomes()[name] for name in ("replicated", "errors")} == {"replicated": 4, "errors": 2}
    (said,) = {error["message"] for error in load(pytester.path / "claims-report")["errors"]}
    assert said.startswith(f"there is no file '{trainings / 'training-scheme.json'}' with results of trainings")
    assert "Traceback" not in result.stdout.str()


# --- models that cannot be measured ---------------------------------------------------------------


def test_a_broken_model_is_an_error_of_its_own_tests_alone(
    run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    broken = pytester.mkdir("broken")
    models = ("--moe-model", str(broken), "--moe-model", TINY)
    result = run(*models, *QUICK, "-k", "neuron_experts")
    assert result.parseoutcomes()["errors"] == 2
    assert result.ret == 1
    document = load(pytester.path / "claims-report")
    jsonschema.validate(document, results.schema())
    assert {row["model"] for row in document["results"]} == {TINY}
    said = {error["model"]: error["message"] for error in document["errors"]}
    assert set(said) == {str(broken)}
    assert "has no config.json" in said[str(broken)]
    assert "Traceback" not in result.stdout.str()
    assert "exception" not in result.stdout.str()
    assert any(line.endswith("; 1 thing(s) could not be measured") for line in result.outlines)


def test_a_model_that_cannot_be_had_stops_the_run_before_it_measures(
    run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("--moe-model", "org/absent", "--moe-model", TINY, *QUICK, "-k", "neuron_experts")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "'org/absent' is not in the local cache and HF_HUB_OFFLINE is set: download it"
    assert (result.stdout.str() + result.stderr.str()).count(said) == 1
    assert not (pytester.path / "claims-report").exists()


def test_an_audit_whose_model_is_missing_is_an_error_of_its_own(
    run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = str(pytester.mkdir("broken"))
    monkeypatch.setattr(published_code, "MODEL", broken)
    result = run("--moe-model", TINY, "-k", "audit and (row-order or total-parameters)")
    assert {name: result.parseoutcomes()[name] for name in ("errors", "agrees")} == {"errors": 1, "agrees": 1}
    document = load(pytester.path / "claims-report")
    jsonschema.validate(document, results.schema())
    assert [audit["id"] for audit in document["audits"]] == ["total-parameters"]
    message = f"'{broken}' has no config.json: give the folder of a saved model"
    assert document["errors"] == [{"model": None, "claim": "look_into_moes/row-order", "message": message}]
    printed = result.stdout.str()
    assert f"  look_into_moes/row-order: {message}" in printed
    assert "Traceback" not in printed and "exception" not in printed
    assert any(line.endswith("; 1 thing(s) could not be measured") for line in result.outlines)


def test_a_text_that_is_too_short_stops_the_run_unless_no_test_needs_it(run, pytester: pytest.Pytester) -> None:
    text = pytester.path / "short.txt"
    text.write_text("one passage only")
    options = ("--moe-model", TINY, "--moe-text", str(text), *QUICK, "-k")
    result = run(*options, "neuron_experts_sign or router_norm_diagonal")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (result.stdout.str() + result.stderr.str()).count("is too short: it has 1 passage") == 1
    assert run(*options, "neuron_experts_sign").parseoutcomes()["replicated"] == 1


# --- models to compare with --------------------------------------------------------------------------


def test_references_are_compared_and_named_in_the_report(run, pytester: pytest.Pytester) -> None:
    dense, second = TINY.replace("planted", "dense"), f"{TINY}&noise=0.1"
    references = ("--moe-dense-reference", dense, "--moe-second-model", second)
    only = "dense_reference or tuning_keeps_routing and not routing_counts"
    run("--moe-model", TINY, *references, *QUICK, "-k", only)
    document = load(pytester.path / "claims-report")
    jsonschema.validate(document, results.schema())
    environment = document["environment"]
    assert (environment["dense_reference"], environment["second_model"]) == (dense, second)
    assert len(document["results"]) == len(LIVE["dense-reference"].variants) + 1
    assert "not-applicable" not in {row["verdict"] for row in document["results"]}


def test_references_that_cannot_be_read_are_errors_of_their_own_claims(run, pytester: pytest.Pytester) -> None:
    broken = str(pytester.mkdir("broken"))
    references = ("--moe-dense-reference", broken, "--moe-second-model", broken)
    only = "dense_reference or tuning_keeps_routing and not routing_counts or neuron_experts_sign"
    result = run("--moe-model", TINY, *references, *QUICK, "-k", only)
    assert result.parseoutcomes()["errors"] == len(LIVE["dense-reference"].variants) + 1
    assert result.parseoutcomes()["replicated"] == 1
    document = load(pytester.path / "claims-report")
    assert {error["message"] for error in document["errors"]} == {
        f"'{broken}' has no config.json: give the folder of a saved model"
    }


# --- the same weights in two layouts ----------------------------------------------------------------


def test_both_layouts_give_identical_rows(run, pytester: pytest.Pytester) -> None:
    original = embedded_directory("tiny-scratch")
    fused = pytester.path / "fused"
    model = AutoModelForCausalLM.from_pretrained(original, dtype="auto")
    model.save_pretrained(fused, save_original_format=False)
    shutil.copy(original / "tokenizer.json", fused)
    with safe_open(fused / "model.safetensors", "pt") as file:
        assert "model.layers.0.mlp.experts.gate_up_proj" in file.keys()  # noqa: SIM118 - not a dict
    few = ("--moe-tokens", "600", "--moe-layers", "0", *QUICK)
    run("--moe-model", str(original), "--moe-model", str(fused), *few, "-k", "not audit and not routing_counts")
    document = load(pytester.path / "claims-report")
    one, other = (
        [{**row, "model": None} for row in document["results"] if row["model"] == str(folder)]
        for folder in (original, fused)
    )
    assert len(one) == ROWS
    assert one == other
    assert len({card["weights_sha256"] for card in document["models"]}) == 1


# --- other people's suites ------------------------------------------------------------------------


def test_silent_and_light_in_other_suites(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_nothing():\n    assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)\n"
    )
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1)
    assert "claim" not in result.stdout.str()
    assert not (pytester.path / "claims-report").exists()


def test_collecting_loads_nothing_heavy_and_little_time(pytester: pytest.Pytester) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*command, "--import-mode=importlib", claims_folder()],
        capture_output=True,
        text=True,
        cwd=pytester.path,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time")}
    assert "test_router_norm.py::test_router_norm[tiny-scratch-builtin-total]" in found.stdout
    assert not {"torch", "transformers", "scipy", "huggingface_hub"} & imported


def test_every_option_belongs_to_the_plugin(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--help")
    added = {line.split()[0].partition("=")[0] for line in result.outlines if line.startswith("  --moe-")}
    assert added == {f"--moe-{option.name}" for option in OPTIONS}


def test_interrupted_runs_keep_what_was_measured(run, pytester: pytest.Pytester) -> None:
    anew = ("--moe-cache", str(pytester.path / "cache"))
    run("--moe-model", TINY, *anew, *QUICK, "-k", "router_norm_diagonal")
    stored = sorted((pytester.path / "cache").glob("*.npz"))
    stamps = [path.stat().st_mtime_ns for path in stored]
    # Behaviour of each of 7 layers, what is said of the whole text, and the judgement if it is complete.
    assert len(stored) in (7 + 1, 7 + 2)
    time.sleep(0.01)
    run("--moe-model", TINY, *anew, *QUICK, "-k", "diversity")
    assert [path.stat().st_mtime_ns for path in stored] == stamps
