"""One run: models opened, measured and judged, and the document of what came out."""
