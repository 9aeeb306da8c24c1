"""Published corpora: each one file of a repository on the hub, at a fixed revision."""

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
    """Where a corpus is, and how its rows become passages."""

    hub_id: str
    revision: str
    """SHA of a commit. Later ones may hold other rows, and numbers would no longer compare."""
    path: str
    """File within the repository, which is all that is downloaded."""
    fields: tuple[str, ...]
    """Columns that are read."""
    passages: Callable[[Iterator[tuple[str, ...]]], Iterable[str]]
    """Turns the values of ``fields``, row by row, into passages."""
    rows: int | None = None
    """Rows that are read, from the first on; None for all."""

    @property
    def source(self) -> str:
        """Repository and file, for the report."""
        return f"{self.hub_id}/{self.path}"

    @property
    def command(self) -> str:
        """Shell command that puts the file into the local cache."""
        return f"hf download {self.hub_id} {self.path} --repo-type dataset --revision {self.revision}"


def articles(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Articles of WikiText, whose rows are lines.

    An article begins with a line such as `` = Robert Boulter = `` that has a blank line (or nothing) on either side:
    an equation that was broken over lines may look the same, but for its neighbours. Found so, the test split has 60
    articles, as its authors say (Merity et al. 2016, Table 1).
    """
    lines = [line for (line,) in rows]
    blank = [True, *(not line.strip() for line in lines), True]  # one before, one after
    article: list[str] = []
    for number, line in enumerate(lines):
        if _TITLE.fullmatch(line.strip()) and blank[number] and blank[number + 2]:
            yield "".join(article).strip()
            article = []
        article.append(line)
    yield "".join(article).strip()


_TITLE = re.compile(r"= (?!= ).+(?<! =) =")


def joined(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """One passage per row: question and answer, or instruction and response, with a blank line between."""
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
        joined,
    ),
    "magicoder": Corpus(
        "ise-uiuc/Magicoder-Evol-Instruct-110K",
        "b0079beaa0361d82412520b873715bee59cc7dd4",
        "data-evol_instruct-decontaminated.jsonl",
        ("instruction", "response"),
        joined,
        rows=1_000,  # as many as the paper ran
    ),
}
"""Encyclopaedic, mathematical and code text of arXiv 2406.18219 (Appendix F), by the name that ``--moe-text`` takes."""


def check(name: str) -> None:
    """Whether the library that reads a corpus is installed.

    Raises:
        UsageError: it is not.
    """
    optional.check("datasets", name)


def passages(name: str) -> tuple[str, ...]:
    """The passages of a published corpus, from the hub's local cache or downloaded once.

    Raises:
        UsageError: the library is not installed, or the file is neither cached nor to be had.
        TextError: the file is not what it was when this was written.
    """
    corpus = CORPORA[name]
    datasets = optional.load("datasets", name)
    with _quiet():
        path = _local(name, corpus, offline=datasets.config.HF_HUB_OFFLINE)
        # Streaming reads the file where it lies. 'load_dataset' with the repository's name would download all splits,
        # and without a network would answer with whatever revision was last converted.
        stream = datasets.IterableDataset
        read = stream.from_parquet if path.endswith(".parquet") else stream.from_json
        try:
            rows = (tuple(row[field] for field in corpus.fields) for row in islice(read(path), corpus.rows))
            return tuple(passage for passage in corpus.passages(rows) if passage)
        except Exception as error:  # the library has errors of its own for every way in which a file can be broken
            raise TextError(
                f"'{name}' cannot be read from '{path}' ({type(error).__name__}: {str(error)[:200]}): if this copy is "
                f"damaged, run '{corpus.command} --force-download'"
            ) from None


def _local(name: str, corpus: Corpus, *, offline: bool) -> str:
    """Path of the corpus in the hub's cache, downloaded if it has to be."""
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
    except Exception as error:  # every transport of the client has errors of its own; all mean the same here
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
    """Keeps progress bars and the libraries' own account of retries and errors off the terminal."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    # Whoever set the variable has decided, and is warned when anyone else does.
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
