"""Vega-Lite's script for pages that need no network: our own, and that of `dvc plots show`."""

from __future__ import annotations

import base64
import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def packed(text: str) -> str:
    """Compressed, in letters that end no element of HTML; always the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def vega_script() -> str:
    """Vega-Embed with Vega and Vega-Lite as one script, packed; from the package that draws without a browser."""
    import vl_convert

    return packed(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed"))


def is_installed() -> bool:
    """Whether the package is."""
    return find_spec("vl_convert") is not None


def dvc_template() -> str:
    """The page of `dvc plots show` for `plots.html_template`: DVC's own asks the network for its script."""
    text = (Path(__file__).parent / "dvc_plots.html").read_text(encoding="utf-8")
    return text.replace("{script of Vega-Embed}", vega_script())
