"""Whether the main job wrote a whole report: valid, complete, and without a model that failed."""

import sys
from pathlib import Path

import jsonschema

from moe_claims.models.embedded import JUDGED
from moe_claims.packs.look_into_moes.pack import LIVE, PACK, TRAINED
from moe_claims.report import html, markdown, results
from moe_claims.report import report_folder as folders

folder = Path(sys.argv[1])
document = results.read(folder / "results.json")
jsonschema.validate(document, results.schema())
counts = {
    "audits": len(document["audits"]),
    "public rows": sum(row["evidence"] == "public" for row in document["results"]),
    "trained rows": sum(row["evidence"] == "trained" for row in document["results"]),
    "live rows": sum(row["evidence"] == "live" for row in document["results"]),
}
live, trained = (sum(len(claim.row_keys()) for claim in claims.values()) for claims in (LIVE, TRAINED))
for what, least in (("audits", 14), ("public rows", 9), ("trained rows", trained), ("live rows", live * len(JUDGED))):
    if counts[what] < least:
        sys.exit(f"the report has {counts[what]} {what}; at least {least} are expected")
if [card["name"] for card in document["models"]] != list(JUDGED):
    sys.exit(f"the report is not about {', '.join(JUDGED)}")
if [pack["id"] for pack in document["packs"]] != [PACK.id]:
    sys.exit(f"the report is not of the pack {PACK.id} alone")
if document["errors"]:
    sys.exit(f"something could not be measured: {document['errors'][0]['message']}")
if not all("random_init" in row["controls"] for row in document["results"] if row["evidence"] == "live"):
    sys.exit("a live row has no random-initialisation control")
if not all(row["null_distribution"] for row in document["results"] if row["p_value"] is not None):
    sys.exit("a row with a p-value does not say what the null distribution is")
if (folder / "report.md").read_text(encoding="utf-8") != markdown.render(document):
    sys.exit("report.md does not follow from results.json")
page = (folder / "report.html").read_text(encoding="utf-8")
if len(folders.page_figures(folder)) < 4 * len(JUDGED):
    sys.exit("report.html lacks figures")
if page != html.render(document, folders.page_figures(folder)):
    sys.exit("report.html does not follow from results.json")
if len(page.encode()) > 8_000_000:
    sys.exit("report.html is larger than 8 MB")
print(f"report: {', '.join(f'{number} {what}' for what, number in counts.items())}; schema and pages agree")
