"""What identifies somebody by its form, in text and in pictures: months, and what is taken out of a text by span."""

from __future__ import annotations

import re
from typing import Final

# English, German, French, Spanish, Italian and Dutch, diacritics folded: short forms, and how they go on.
MONTHS: Final = {
    1: "jan|janv|ene|gen", 2: "feb|fev|febr|fevr", 3: "mar|mars|mrz|maerz|marz|mrt|maa", 4: "apr|avr|abr",
    5: "may|mai|mag|mei", 6: "jun|juin|giu", 7: "jul|juil|lug", 8: "aug|aou|aout|ago", 9: "sep|sept|set",
    10: "oct|okt|ott", 11: "nov", 12: "dec|dez|dic",
}  # fmt: skip
# Whole names in text, where letters are as they were written: MARGIN and DECUBITUS are no months.
_WHOLE: Final = (
    "january|januar|janvier|januari|enero|gennaio|february|februar|fevrier|februari|febrero|febbraio|march|maerz|marzo"
    "|maart|april|avril|abril|aprile|mayo|maggio|june|juni|junio|giugno|july|juli|juillet|julio|luglio|august|agosto"
    "|augustus|september|septembre|septiembre|settembre|october|oktober|octobre|octubre|ottobre|november|novembre"
    "|noviembre|december|dezember|decembre|diciembre|dicembre"
)
MONTH: Final = rf"(?:{_WHOLE}|{'|'.join(sorted('|'.join(MONTHS.values()).split('|'), key=len, reverse=True))})(?![a-z])"
SPANS: Final = re.compile(
    "|".join(
        (
            # Mail, web and network addresses.
            r"(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.-]+",
            r"\b(?:https?|ftp)://\S+|\bwww\.\S+",
            r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b",
            # Labels with what they announce.
            r"\b(?:mrn|pid|patient\s*id|id|acc(?:ession)?|ssn|dob|birth\s*date|date\s*of\s*birth|phone|tel|fax|pager"
            r"|zip|account|acct|order|room|bed)"
            r"\s*(?:no|nr|number|num)?\s*\.?\s*[:#=]+\s*[\w./-]+",
            r"\b(?:name|patient|pt|physician|dr|doctor|referring|ref|ordering|operator|tech(?:nologist)?|radiologist"
            r"|nurse|rn|md)"
            r"\s*[:=]\s*[^\W\d_][\w'.-]*(?:[ ,^]+[^\W\d_][\w'.-]*){0,2}",
            # Titles with a name.
            r"\b(?:dr|mr|mrs|ms|miss|prof|professor|doctor)\b\.?\s+(?P<titled>[^\W\d_][\w'-]+)(?:\s+[A-Z][\w'-]+)?",
            r"\b(?P<graduate>[^\W\d_][\w'-]{1,40}),?\s+(?:m\.?d\.?|ph\.?d\.?|r\.?n\.?|d\.?o\.?|frcr)(?=\W|$)",
            # Social security, telephone.
            r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)",
            r"(?<![\d.])(?:\+?\d{1,3}[ .-]?)?(?:\(\d{2,4}\)|\d{3})[ .-]\d{3}[ .-]\d{4}(?!\d)",
            r"(?<![\d.])\d{3}[-.]\d{4}(?![\d.])",
            r"\+\d[\d ().-]{7,}\d",
            # Dates, and times of day after them.
            r"(?<![\d.])(?:19|20)\d{2}(?P<ymd>[-/. _]?)(?:0[1-9]|1[0-2])(?P=ymd)(?:0[1-9]|[12]\d|3[01])(?!\d)"
            r"(?:[ tT_-]?\d{1,2}:?\d{2}(?::?\d{2})?)?",
            r"(?<![\d.])\d{1,2}(?P<dmy>[-/.])\d{1,2}(?P=dmy)(?:19|20)?\d{2}(?![\d.])(?:\s+\d{1,2}:\d{2}(?::\d{2})?)?",
            rf"\b\d{{1,2}}(?:st|nd|rd|th)?[-/. ]*{MONTH}[-/., ]*(?:\d{{4}}|\d{{2}})\b",
            rf"\b{MONTH}[-/. ]*\d{{1,2}}(?:st|nd|rd|th)?[-/, ]+(?:\d{{4}}|\d{{2}})\b",
            rf"\b{MONTH}[-/., ]+(?:19|20)\d{{2}}\b",
            r"\b\d{1,2}:\d{2}(?::\d{2})?\s*(?:[ap]m)?\b",
            # Street addresses.
            r"\b\d{1,6}\s+(?P<street>(?:[A-Z][\w'-]*\s+){1,3})"
            r"(?:st|street|ave|avenue|rd|road|blvd|boulevard|ln|lane|drive|court|way|place|strasse|str)\b\.?",
            r"\b[A-Z]{2}\s+\d{5}(?:-\d{4})?\b",
            # UIDs, and long numbers whatever they are.
            r"\b\d+(?:\.\d+){4,}\b",
            r"(?<![\d.])\d{6,}(?![\d.])",
        )
    ),
    re.I,
)
