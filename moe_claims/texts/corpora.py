"""Reads published corpora: each is one file of a dataset repository on the Hugging Face hub, at a fixed revision."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

from moe_claims._util import optional
from moe_claims.errors import TextError, UsageError

Row = Mapping[str, Any]


@final
@dataclass(frozen=True)
class Corpus:
    """Location of a corpus on the hub, and how its rows become passages."""

    hub_id: str
    revision: str
    """SHA of the commit. It is fixed because a later one may hold other rows, which would change the results."""
    path: str
    """Path of the file within the repository; only this file is downloaded."""
    fields: tuple[str, ...]
    """Names of the columns that are read."""
    passages: Callable[[Iterator[tuple[str, ...]]], Iterable[str]]
    """Function from rows (the values of ``fields``) to passages."""
    rows: int | None = None
    """Number of rows to read from the start; None for all."""

    @property
    def source(self) -> str:
        """Repository and file, as shown in the report."""
        return f"{self.hub_id}/{self.path}"

    @property
    def command(self) -> str:
        """Shell command that puts the file into the local cache."""
        return f"hf download {self.hub_id} {self.path} --repo-type dataset --revision {self.revision}"


def articles(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Joins the rows of WikiText, which are single lines, into articles.

    An article begins with a title line such as `` = Robert Boulter = `` with a blank line (or the end of the file) on
    either side. The blank lines matter, since a line of a broken equation may look like a title. By this rule the test
    split has 60 articles, as its authors state (Merity et al. 2016, Table 1).
    """
    lines = [line for (line,) in rows]
    blank = [True, *(not line.strip() for line in lines), True]  # padded, so that the line before number n is at n
    article: list[str] = []
    for number, line in enumerate(lines):
        if _TITLE.fullmatch(line.strip()) and blank[number] and blank[number + 2]:
            yield "".join(article).strip()
            article = []
        article.append(line)
    yield "".join(article).strip()


_TITLE = re.compile(r"= (?!= ).+(?<! =) =")


def join_fields(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """One passage per row: its fields, such as question and answer, joined by a blank line."""
    return ("\n\n".join(row) for row in rows)


CORPORA: Mapping[str, Corpus] = {
    "wikitext103": Corpus(
        "Salesforce/wikitext",
        "b08601e04326c79dfdd32d625aee71d232d685c3",
        "wikitext-103-raw-v1/test-00000-of-00001.parquet",
        ("text",),
        articles,
    ),
    "gsm8k": Corpus(
        "openai/gsm8k",
        "e53f048856ff4f594e959d75785d2c2d37b678ee",
        "main/test-00000-of-00001.parquet",
        ("question", "answer"),
        join_fields,
    ),
    "magicoder": Corpus(
        "ise-uiuc/Magicoder-Evol-Instruct-110K",
        "b0079beaa0361d82412520b873715bee59cc7dd4",
        "data-evol_instruct-decontaminated.jsonl",
        ("instruction", "response"),
        join_fields,
        rows=1_000,  # as many as the paper ran
    ),
}
"""The three corpora of arXiv 2406.18219 (Appendix F), by their name for ``--moe-text``: encyclopaedia, maths, code."""


def check(name: str) -> None:
    """Checks that the library ``datasets``, which reads the corpora, is installed.

    Raises:
        UsageError: it is not installed; the message says how to install it.
    """
    optional.check("datasets", name)


def passages(name: str) -> tuple[str, ...]:
    """Reads the passages of a published corpus from the hub's local cache; downloads the file if it is not there.

    Raises:
        UsageError: the library ``datasets`` is not installed, or the file is not cached and cannot be downloaded.
        TextError: the file cannot be read as the expected table.
    """
    corpus = CORPORA[name]
    datasets = optional.load("datasets", name)
    with _quiet():
        path = _local(name, corpus, offline=datasets.config.HF_HUB_OFFLINE)
        # Streaming reads the cached file itself. 'load_dataset' with the repository's name would download all splits,
        # and without a network would use whatever revision it converted last.
        stream = datasets.IterableDataset
        read = stream.from_parquet if path.endswith(".parquet") else stream.from_json
        try:
            rows = (tuple(row[field] for field in corpus.fields) for row in islice(read(path), corpus.rows))
            return tuple(passage for passage in corpus.passages(rows) if passage)
        except Exception as error:  # the library raises many different errors for a broken file
            raise TextError(
                f"'{name}' cannot be read from '{path}' ({type(error).__name__}: {str(error)[:200]}): if this copy is "
                f"damaged, run '{corpus.command} --force-download'"
            ) from None


def _local(name: str, corpus: Corpus, *, offline: bool) -> str:
    """Path of the corpus in the hub's cache; the file is downloaded if needed and allowed."""
    from huggingface_hub import constants, hf_hub_download

    switched_off = offline or constants.HF_HUB_OFFLINE
    try:
        path: str = hf_hub_download(
            corpus.hub_id,
            corpus.path,
            repo_type="dataset",
            revision=corpus.revision,
            local_files_only=switched_off,
        )
        return path
    except Exception as error:  # the client raises different errors for each transport; all mean the same here
        reason = (
            "the hub is switched off (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set): unset it"
            if switched_off
            else f"the hub does not give it ({type(error.__cause__ or error).__name__}): connect"
        )
        raise UsageError(
            f"'{name}' ({corpus.hub_id}, revision {corpus.revision}) is not in the local cache and {reason}, or run "
            f"'{corpus.command}' on a connected machine, or give a local file"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, silences the progress bars and log messages of ``datasets`` and ``huggingface_hub``."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    # If the user set the variable, the library warns when anyone else changes the setting.
    bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            enable_progress_bars()
