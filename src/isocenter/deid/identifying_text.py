"""Tells by the look of it whether a line of text identifies somebody: dates, numbers, labels, titles, institutions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from typing import Final

from isocenter.deid.identifiers import folded
from isocenter.deid.text_patterns import MONTHS

_MONTH_OF: Final = {name: number for number, names in MONTHS.items() for name in names.split("|")}
_MONTH: Final = rf"({'|'.join(sorted(_MONTH_OF, key=len, reverse=True))})[a-z]*"
_PART: Final = r"[\s.,/\-]*"
_YMD: Final = re.compile(r"(?<![\d.])((?:19|20)\d\d)\s?([-./年 ])\s?(\d{1,2})\s?[-./月 ]\s?(\d{1,2})(?!\d)")
_SHORT: Final = re.compile(r"(?<![\d.])(\d{1,2})\s?([-./])\s?(\d{1,2})\s?\2\s?((?:19|20)\d\d|\d\d)(?![\d])")
_SPACED: Final = re.compile(r"(?<![\d.])(\d{1,2}) (\d{1,2}) ((?:19|20)\d\d)(?!\d)")
_DAY_MONTH: Final = re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?{_PART}{_MONTH}{_PART}'?((?:19|20)\d\d|\d\d)(?!\d)")
_MONTH_DAY: Final = re.compile(rf"\b{_MONTH}{_PART}(\d{{1,2}})(?:st|nd|rd|th)?{_PART}'?((?:19|20)\d\d|\d\d)(?!\d)")
_MONTH_YEAR: Final = re.compile(rf"\b{_MONTH}{_PART}((?:19|20)\d\d)(?!\d)")
_COMPACT: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")

_CONFUSED_DIGITS: Final = str.maketrans("oqdiljt|!sgbz", "0001111115682")
_TOKEN: Final = re.compile(r"\S+")
# Numbers that could be somebody's: of six digits or more, but for decimals; telephone and social security numbers.
_NUMBER: Final = re.compile(
    r"(?<!\d[.,])(?<!\d)\d{6,}|(?<![\d.])\+?\(?\d{2,5}\)?[-/. ]\d{3,4}[-. ]\d{3,6}(?!\d)|(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"
    r"|(?<![\d.])\d{3,4}-\d{4,}(?!\d)|\b\d+(\.\d+){5,}"
)
_CODE: Final = re.compile(r"[a-z0-9]*\d[a-z0-9]*")
_MEASURE: Final = re.compile(r"\d+[.,]\d+\D*|\d+\s?x\s?\d+\D*")
_LONE_TIME: Final = re.compile(r"\b\d{1,2}[:.]\d{2}([:.]\d{2})?\s?[ap]\.?m\b")
TIME: Final = re.compile(r"(?<![\d.])\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(?!\d)|\b\d{1,2}\s?[ap]\.?m\b")
# What follows these is somebody's, whatever it looks like; the first need no colon to be told from anything else.
_PLAIN_LABEL: Final = (
    r"patients?'?s?\s?-?(name|id|no|nr|number)|pat\.?\s?-?(name|id|nr|no)|pt\.?\s?-?(name|id|no)|pid|date\s?of\s?birth"
    r"|birth\s?-?(date|day)|geburtsdatum|geb\.?\s?-?(datum|dat)|date de naissance|fecha de nacimiento|d\.?o\.?b|mrn"
    r"|medical record|mr\s?(#|no\b|num)|ssn|accession|acc\.?\s?(#|no\b|nr\b|num)|hospital\s?(no|nr|#|id)|chart\s?(no|#)"
    r"|case\s?(no|#|id)|(referring|ordering|requesting|performing|attending)\s?(phys\w*|dr|doctor|md)|physician"
    r"|sonographer|technologist|fall\s?-?nr|pat\.?\s?-?nummer|study\s?(id|date)|exam\s?(id|date)|visit\s?(id|no|#)"
    r"|(last|first|family|given|sur)\s?-?name|nachname|vorname|aufnahmedatum|untersuchungsdatum"
)
_COLON_LABEL: Final = (
    r"name|nom|nombre|nome|prenom|id|acc|age|alter|born|geb|sex|gender|pat|pt|patient|phys|dr|doctor|arzt|md|ref"
    r"|operator|oper|op|user|tech|date|datum|dat|phone|tel|fax|address|addr|hosp|hospital|inst|institution"
    r"|clinic|dept|ward|station|room|bed|nhs|nhs\s?(no|number)|chi|ssn|case|visit|order|req"
)
_LABEL: Final = re.compile(rf"(?<![a-z0-9])(?:({_PLAIN_LABEL})(?![a-z])\.?\s*[:#=;]?|({_COLON_LABEL})\s*[:#=;])\s*(.*)")
_NAME_LINE: Final = re.compile(r"\s*(patient|name)\s+(\S.*)")
_TITLES: Final = re.compile(
    r"\b(?:(?:Mr|Mrs|Ms|Miss|Dr|Prof|Herr|Frau|Mme|Mlle|Sig|Dott)\.?\s+[^\W\d_]|(?:MRS|DR|PROF|MISS|HERR|FRAU|MME)\.?\s+"
    r"[^\W\d_]{2}|(?:MR|MS)\.\s*[^\W\d_]{2}|[^\W\d_]{2,}[ ,]+(?:M\.?D\.?|RDMS|RDCS|RVT|R\.?T\.?\(R\)|Ph\.?D\.?)\s*$)"
)
# SMITH^JOHN, and a name before the patient's sex as [M] or (F).
_NAMES: Final = re.compile(r"[^\W\d_]{2,}\s?\^\s?[^\W\d_]|[^\W\d_]{2,}.*[\[({]\s?[MFO]\s?[\])}]|\S+@\S+\.\w{2,}")
_AGE: Final = re.compile(r"(?<![\d.])(\d{1,3}\s?(y/?o|yrs?|years?|jahre|ans|anos)\b|\d{3}[ymwd]\b|\d{2,3}\s?y\b)")
_INSTITUTION: Final = re.compile(
    r"\b(hospitals?|clinics?|clinique|clinica|klinik\w*|krankenhaus|spital|hopital|ospedale|ziekenhuis|infirmary"
    r"|universi\w+|medical\s?cent(er|re)|health\s?(care|cent(er|re)|system)|institut[eo]?s?|praxis|radiolog(y|ie))\b"
)
# SMITH, JOHN: two or three words and nothing else; and the same without a comma, beside a date or number.
_COMMA_NAME: Final = re.compile(r"\s*([^\W\d_]{2,}([ '-][^\W\d_]{2,})?)\s?,\s?([^\W\d_]{2,}( [^\W\d_]+\.?)?)\s*")
_PLAIN_NAME: Final = re.compile(r"\s*[^\W\d_]{2,}([ ,'-]{1,2}[^\W\d_]+\.?){1,3}\s*")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
# What two words beside a date mean when they are no name.
_IMAGING: Final = frozenset(
    _LETTERS.findall(
        """abd abdomen abdominal acute adult adv advanced ant anterior aorta aortic ap apical arm artery arterial ax
        axial bladder body bone bowel brain breast bpd cardiac carotid cerebral cervical chest color colour
        compound contrast cor coronal coronary cranial ct delay diastole dist distal doppler dual dyn early
        echo elbow erect exam fetal fetus flow foot frame freq gain gallbladder gen general gray grey hand
        head heart hip image inf inferior internal kidney knee lat lateral late left leg lesion level liver
        long longitudinal low lower lumbar lung lymph mag main mammo map mass med medial mid mode mri neck
        nodule node ob obstetrics oblique ovary pa pancreas pelvis peak phase portable portal pos post
        posterior power prone prostate prox proximal pulse rad renal right sag sagittal scan scout septum
        seq series shoulder single sinus slice small smallparts soft spine spleen start stop stomach study
        supine sup superior systole tendon testis thorax thoracic thyroid time tissue total trans transverse
        tumor ultrasound upper upright uterus valve vas vascular vein vel velocity venous ventricle view vol
        volume wall width window wrist xray zoom"""
    )
)


def normal(text: str) -> str:
    """Text without wide forms of letters, which readers of many scripts sometimes give."""
    return unicodedata.normalize("NFKC", text)


def digits_read(text: str) -> str:
    """Lower-case text in which letters stand as the digits they were mistaken for, within what is mostly digits."""

    def settled(found: re.Match[str]) -> str:
        token = found[0]
        letters = sum(letter.isalpha() for letter in token)
        digits = sum(letter.isdigit() for letter in token)
        read = token.translate(_CONFUSED_DIGITS)
        return read if digits > letters and not any(letter.isalpha() for letter in read) else token

    return _TOKEN.sub(settled, text)


def dates_in(text: str) -> Iterator[str]:
    """Dates as YYYYMMDD in every way they may be meant, and "" for one that names no such day; of folded text."""
    text = digits_read(text)
    for found in (*_YMD.finditer(text), *_COMPACT.finditer(text)):
        parts = found.groups()
        yield from _days(parts[0], (parts[-2], parts[-1]))
    for found in _SHORT.finditer(text):
        first, _, second, year = found.groups()
        yield from _days(year, (first, second), (second, first))
        if len(year) == 2:
            yield from _days(first, (second, year))
    for found in _SPACED.finditer(text):
        yield from _days(found[3], (found[1], found[2]), (found[2], found[1]))
    for found in _DAY_MONTH.finditer(text):
        yield from _days(found[3], (str(_MONTH_OF[found[2]]), found[1]), always=True)
    for found in _MONTH_DAY.finditer(text):
        yield from _days(found[3], (str(_MONTH_OF[found[1]]), found[2]), always=True)
    if _MONTH_YEAR.search(text):
        yield ""


def _days(year: str, *month_and_day: tuple[str, str], always: bool = False) -> Iterator[str]:
    years = (int(year),) if len(year) == 4 else (1900 + int(year), 2000 + int(year)) if len(year) == 2 else ()
    for month, day in month_and_day:
        for number in years:
            try:
                yield f"{date(number, int(month), int(day)):%Y%m%d}"
            except ValueError:
                continue
    if always:
        yield ""


def label_in(text: str) -> str | None:
    """What follows a label like "Name:" or "DOB" in the line, "" where nothing does; None without a label."""
    plain = folded(text)
    found = _LABEL.search(plain)
    if found is not None:
        return found[found.re.groups].strip(" .:-_")
    line = _NAME_LINE.match(plain)
    return line[2] if line is not None else None


def looks_identifying(text: str) -> bool:
    """Whether a line of text, by itself, has the form of what identifies somebody."""
    plain = folded(text)
    read = digits_read(plain)
    if _NUMBER.search(read) or any(True for _ in dates_in(plain)):
        return True
    if any(sum(letter.isdigit() for letter in code) >= 5 for code in _CODE.findall(read)):
        return not _MEASURE.fullmatch(read.strip())
    return bool(
        label_in(text)
        or (_COMMA_NAME.fullmatch(text) and not _is_imaging(plain))
        or _TITLES.search(text)
        or _NAMES.search(text)
        or _AGE.search(plain)
        or _INSTITUTION.search(plain)
        or _LONE_TIME.search(plain)
    )


def may_be_a_name(text: str) -> bool:
    """Whether a line is two to four words that say nothing of an image: beside a date or number, somebody's name."""
    return _PLAIN_NAME.fullmatch(text) is not None and not _is_imaging(folded(text))


def _is_imaging(plain: str) -> bool:
    return any(word in _IMAGING for word in _LETTERS.findall(plain))
