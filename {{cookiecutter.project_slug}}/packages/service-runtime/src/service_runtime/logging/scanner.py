"""Find secrets in free text: by the name in front of them, or by their form.

The time is linear in the length of a text: all repetitions are possessive, and a match can start
only at the start of a word.
"""

import re
from itertools import chain

from .redaction import REDACTED, SECRET_NAMES, is_secret, secret_parts, squeezed

# Every text with a secret has one of these or of secret_parts, in lower case without separators.
_HINTS = (
    *("auth", "session", "bearer", "basic", "eyj", "pbkdf2", "argon2", "crypt"),
    *("private key", "failing row"),
)
_WITHOUT_SEPARATORS = str.maketrans("", "", "_-.~[]")
_WORD_START = r"(?<![\w.~\[\]-])(?<!%(?=5[BD]))"
# A password extends to the last @, since it can contain unescaped characters.
_URL_PASSWORD = re.compile(r"(\w://[^/@\s:]*:)(?!\d+/)(?:(?!://)\S)+@")
_URL_USER = re.compile(r"(\w://)[^/@\s:]+@")
_BY_FORM = re.compile(
    rf"""
    {_WORD_START}(?:
        eyJ[\w-]{{8,}}+\.[\w-]++\.[\w-]*+                           # JWT
      | (?:pbkdf2_\w++|argon2|bcrypt\w*+|scrypt)\$[^\s'",]++        # password hash
      | -----BEGIN[ ](?:(?!PRIVATE)[A-Z]++[ ])*+PRIVATE[ ]KEY-----(?:[^-]|-(?!----END))*+
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    rf"{_WORD_START}(?:Bearer|(?P<word>Basic|Token))[ \t]++(?P<credential>[\w.~+/=-]++)",
    re.IGNORECASE,
)
_LOOKS_RANDOM = re.compile(r"(?=.{4})(?!\d+\Z)(?:.*\d|.*[a-z][A-Z]|.*=$)")
_NO_CREDENTIAL = re.compile(
    r"(?:auth\w*|tokens?|schemes?|headers?|credentials?|realm=.*|error=.*)\Z", re.IGNORECASE
)
# A row in PostgreSQL's DETAIL, to the end of the line; in a string literal that is \n.
_ROW = re.compile(
    r"(?P<start>Failing row contains |Key \((?P<columns>[^()\n]*+)\)=)\((?:(?!\\[rn])[^\r\n])*+"
)
# A name, and what separates it from its value.
_NAMED = re.compile(
    rf"""
    {_WORD_START}(?:
        (?P<name>(?:[\w.~\[\]-]++|%5[BD])++)
        (?P<quote>\\*+["'`])?+
        (?:
            [ \t]*+(?P<mark>=>|:?=(?!=)|:(?!//|:)|%3D)
          | (?<=["'`]),[ \t]*+\\*+["']value\\*+["'][ \t]*+:         # "name": "…", "value": "…"
          | (?P<pair>(?<=["'`]),)                                   # ("name", "value")
        )
        [ \t]*+
      | (?P<option>--[\w-]++)[ ]++(?=[^\s-])                        # --name value
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_PAIR_START = re.compile(r"(?:\(|\[\[|\], ?\[)[bB]?\\*[\"']\Z")
_OPENING_QUOTE = re.compile(r"(?:[bru]|[br]{2})?(\\*(?:\"\"\"|'''|[\"'`]))", re.IGNORECASE)
# A quoted value ends at a quote without backslashes. Whether two of them escape one depends on the
# language, so a quote after any number of them counts as a part of the value.
_QUOTED = {
    '"': re.compile(r'[^"\\]*+(?:\\++"?[^"\\]*+)*+'),
    "'": re.compile(r"[^'\\]*+(?:\\++'?[^'\\]*+)*+"),
}
# The end of an unquoted value, or a bracket that opens in it; then what counts up to its end.
_WORD_END = re.compile(r"[\s&#\[({<]|[,;](?=\s|\Z|[\w.-]++[=:])|[\])}>\"'](?!\w)")
_BRACKETS = re.compile(
    r"[\[({<\])}>]|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"?|'[^'\\]*+(?:\\.[^'\\]*+)*+'?", re.DOTALL
)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Digest|Negotiate)[ \t]++", re.IGNORECASE)
_LINE_END = re.compile(r"[\r\n]|\\[rn]|\Z")
# Values that reveal nothing.
_PLACEHOLDER = re.compile(
    r"(?:none|null|true|false|%s|%\(\w+\)s|\?|\$\d+|\*{3,})(?=[\s,;:.&)\]}'\"\\]|\Z)",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\d+(?![\w.])")
_PROSE = re.compile(r"(?:[A-Za-z]++|\d{1,3})[ \t]++[A-Za-z]++(?![\w-]*+[=:])")
_NOWHERE = 0, 0


def redacted(value: str, *, code: bool = False) -> str:
    """Return a text without its secrets.

    Args:
        value: the text.
        code: the text is source code, in which only literals are secrets.
    """
    if "://" in value:
        value = _URL_USER.sub(rf"\1{REDACTED}@", _URL_PASSWORD.sub(rf"\1{REDACTED}@", value))
    letters = value.lower().translate(_WITHOUT_SEPARATORS)
    for hint in chain(_HINTS, secret_parts):
        if hint in letters:
            break
    else:
        return value
    value = _BY_FORM.sub(REDACTED, value)
    value = _CREDENTIAL.sub(_without_credential, value)
    value = _ROW.sub(_without_row, value)
    parts, done, position = [], 0, 0
    while found := _NAMED.search(value, position):
        name = found["name"] or found["option"]
        start, end = _value_of(value, found, code) if is_secret(name[-100:]) else _NOWHERE
        position = max(found.end(), end)
        if start < end:
            parts += [value[done:start], REDACTED]
            done = end
    return "".join([*parts, value[done:]]) if parts else value


def _without_credential(found: re.Match[str]) -> str:
    credential = found["credential"]
    is_word = found["word"] or _PROSE.match(found.string, found.start("credential"))
    if _NO_CREDENTIAL.match(credential) or (is_word and not _LOOKS_RANDOM.match(credential)):
        return found[0]
    return found[0].removesuffix(credential) + REDACTED


def _without_row(found: re.Match[str]) -> str:
    columns = found["columns"]
    return found[0] if columns and not is_secret(columns) else found["start"] + REDACTED


def _value_of(value: str, found: re.Match[str], code: bool) -> tuple[int, int]:
    """Return where the value of a secret name starts and ends; _NOWHERE if it reveals nothing."""
    start, name = found.end(), found["name"] or found["option"]
    quote = _OPENING_QUOTE.match(value, start)
    if found["pair"]:
        before = value[max(0, found.start() - 8) : found.start()]
        is_pair = name.startswith("--") or _PAIR_START.search(before)
        return _quoted(value, quote) if quote and is_pair and not code else _NOWHERE
    if quote:
        return _quoted(value, quote)
    is_count = name.lower().endswith("s") and _COUNT.match(value, start)
    if code or is_count or _PLACEHOLDER.match(value, start):
        return _NOWHERE
    if found["mark"] == ":" and not found["quote"]:
        header = squeezed(name)
        if header.endswith(("authorization", "cookie")):
            return start, _header_end(value, found)
        if header in SECRET_NAMES or _PROSE.match(value, start):
            return _NOWHERE
    return start, _unquoted_end(value, start)


def _quoted(value: str, quote: re.Match[str]) -> tuple[int, int]:
    start, mark = quote.end(), quote[1]
    if inside := _QUOTED.get(mark):
        found = inside.match(value, start)
        return start, found.end() if found else len(value)
    end = value.find(mark, start)
    while end > start and value[end - 1] == "\\":
        end = value.find(mark, end + 1)
    return start, end if end >= start else len(value)


def _header_end(value: str, found: re.Match[str]) -> int:
    """Return the end of the line, or of the quotes around the whole header."""
    line_end = _LINE_END.search(value, found.end())
    end = line_end.start() if line_end else len(value)
    quote = value[max(0, found.start() - 1) : found.start()]
    closing = value.find(quote, found.end(), end) if quote in {"'", '"'} else -1
    return end if closing < 0 else closing


def _unquoted_end(value: str, start: int) -> int:
    """Return where an unquoted value ends: at the end of its word, or of its last bracket."""
    if scheme := _SCHEME.match(value, start):
        start = scheme.end()
    depth = 0
    while part := (_BRACKETS if depth else _WORD_END).search(value, start):
        start = part.end()
        if part[0][-3:-1] == r"\\":  # a quote that may be escaped: the rest can be secret
            return len(value)
        if part[0] in "[({<":
            depth += 1
        elif depth == 0:
            return part.start()
        elif part[0] in "])}>":
            depth -= 1
            if depth == 0:
                return start
    return len(value)
