"""Finds secrets by the names that they have, in structures and in free text."""

import re
from collections.abc import Iterable
from functools import lru_cache

REDACTED = "[redacted]"
# Parts of names, without separators between their words; settings.LOG_REDACT adds to them.
SECRETS = (
    *("password", "passwd", "passphrase", "pwd", "secret", "credential", "token", "csrf"),
    *("authorization", "cookie", "sessionid", "sessionkey", "signature"),
    *("apikey", "accesskey", "privatekey", "signingkey", "jwt"),
)
_SECRET_NAMES = frozenset({"auth", "session"})  # which are harmless as a part of a name
_SEPARATORS = re.compile(r"[\W_]+")
_secrets: list[str] = list(SECRETS)

# One of these, or of the above, is in every text that has a secret, without its separators.
_HINTS = (
    *("auth", "session", "bearer", "basic", "eyj", "pbkdf2", "argon2", "crypt"),
    *("private key", "failing row"),
)
_hints: list[str] = [*_HINTS, *SECRETS]
_WITHOUT_SEPARATORS = str.maketrans("", "", "_-.~[]")
# A URL's password up to its last @, for it may hold what a URL should not; then a user alone.
_PASSWORD = re.compile(r"(\w://[^/@\s:]*:)(?!\d+/)(?:(?!://)\S)+@")
_USER = re.compile(r"(\w://)[^/@\s:]+@")
# What may be a secret, or the name of one and what separates it from its value. All repetitions
# are possessive and a match starts at the start of a word only, which makes the search linear.
_CANDIDATE = re.compile(
    r"""
    (?<![\w.~\[\]-])(?<!%(?=5[BD]))
    (?:
        (?P<name>(?:[\w.~\[\]-]++|%5[BD])++)
        (?P<quote>\\*+["'`])?+
        (?:
            [ \t]*+(?P<mark>=>|:?=(?!=)|:(?!//|:)|%3D)
          | (?<=["'`]),[ \t]*+\\*+["']value\\*+["'][ \t]*+:     # "name": "…", "value": "…"
          | (?P<pair>(?<=["'`]),)                               # ("name", "value")
        )
        [ \t]*+
      | (?:Bearer|(?P<rare>Basic|Token))[ \t]++(?P<credential>[\w.~+/=-]++)
      | (?P<known>                                              # by the look of it: a JWT, a hash
            eyJ[\w-]{8,}+\.[\w-]++\.[\w-]*+
          | (?:pbkdf2_\w++|argon2|bcrypt\w*+|scrypt)\$[^\s'",]++
          | -----BEGIN[ ](?:(?!PRIVATE)[A-Z]++[ ])*+PRIVATE[ ]KEY-----(?:[^-]|-(?!----END))*+
        )
      | (?P<row>Failing[ ]row[ ]contains[ ]|Key[ ]\((?P<columns>[^()\n]*+)\)=)(?=\()  # PostgreSQL
      | (?P<option>--[\w-]++)[ ]++(?=[^\s-])                    # --password …
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Digest|Negotiate)[ \t]++", re.IGNORECASE)
_VALUE_QUOTE = re.compile(r"(?:[bru]|[br]{2})?(\\*(?:\"\"\"|'''|[\"'`]))", re.IGNORECASE)
# Up to a quote without backslashes: whether two of them escape one depends on what holds the text.
_QUOTED = {
    '"': re.compile(r'[^"\\]*+(?:\\++"?[^"\\]*+)*+'),
    "'": re.compile(r"[^'\\]*+(?:\\++'?[^'\\]*+)*+"),
}
# What ends a word, or opens a bracket in it; what there is between brackets.
_IN_WORD = re.compile(r"[\s&#\[({<]|[,;](?=\s|\Z|[\w.-]++[=:])|[\])}>\"'](?!\w)")
_IN_BRACKETS = re.compile(
    r"[\[({<\])}>]|\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"?|'[^'\\]*+(?:\\.[^'\\]*+)*+'?", re.DOTALL
)
_PAIR = re.compile(r"(?:\(|\[\[|\], ?\[)[bB]?\\*[\"']\Z")  # opens
_LINE_END = re.compile(r"[\r\n]|\\[rn]|\Z")
# Values that tell nothing: placeholders, and what is not there.
_HARMLESS = re.compile(
    r"(?:none|null|true|false|%s|%\(\w+\)s|\?|\$\d+|\*{3,}|\[redacted\])(?=[\s,;:.&)\]}'\"\\]|\Z)",
    re.IGNORECASE,
)
_COUNT = re.compile(r"\d+(?![\w.])")
_PROSE = re.compile(r"(?:[A-Za-z]++|\d{1,3})[ \t]++[A-Za-z]++(?![\w-]*+[=:])")
_LOOKS_RANDOM = re.compile(r"(?=.{4})(?:.*\d|.*[a-z][A-Z]|.*=$)")
_NO_CREDENTIAL = re.compile(
    r"(?:auth\w*|tokens?|schemes?|headers?|credentials?|realm=.*|error=.*)\Z", re.IGNORECASE
)


def redact(names: Iterable[str]) -> None:
    """Redact the values of names that contain one of these too, in this process."""
    _secrets[:] = [*SECRETS, *(_squeezed(name) for name in names)]
    _hints[:] = [*_HINTS, *_secrets]
    is_secret.cache_clear()


def _squeezed(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


@lru_cache(maxsize=2048)
def is_secret(name: str) -> bool:
    """Return whether the values of this name are kept out of the log."""
    squeezed = _squeezed(name).replace("tokeniz", "")
    return squeezed in _SECRET_NAMES or any(secret in squeezed for secret in _secrets)


class Masked(str):
    """Text that its author has rid of secrets: it is logged as it is."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return itself, so that a log record's message and an exception's text are masked too."""
        return self


def redacted(value: str, *, code: bool = False) -> str:
    """Return a text without the secrets in it, in time linear in its length.

    Args:
        value: the text.
        code: it is source code, in which only literals are secrets.
    """
    if "://" in value:
        value = _USER.sub(rf"\1{REDACTED}@", _PASSWORD.sub(rf"\1{REDACTED}@", value))
    lower = value.lower().translate(_WITHOUT_SEPARATORS)
    for hint in _hints:
        if hint in lower:
            break
    else:
        return value
    parts, done, position = [], 0, 0
    while found := _CANDIDATE.search(value, position):
        name = found["name"]
        if name and not is_secret(name[-100:]):  # most
            position = found.end()
            continue
        start, end = _secret_of(value, found, code)
        position = max(found.end() if start == end else end, found.start() + 1)
        if start < end:
            parts += [value[done:start], REDACTED]
            done = end
    return "".join([*parts, value[done:]]) if parts else value


def _secret_of(value: str, found: re.Match[str], code: bool) -> tuple[int, int]:
    """Return where the secret of a candidate starts and ends; nowhere if it is none."""
    nowhere = 0, 0
    if found["known"]:
        return found.span("known")
    if credential := found["credential"]:
        if _NO_CREDENTIAL.match(credential):
            return nowhere
        is_random = _LOOKS_RANDOM.match(credential) and not credential.isdecimal()
        is_word = found["rare"] or _PROSE.match(value, found.start("credential"))
        return found.span("credential") if is_random or not is_word else nowhere
    start = found.end()
    name = found["name"] or found["columns"] or found["option"] or ""
    if found["row"]:
        return (start, _line_end(value, start)) if not name or is_secret(name) else nowhere
    return _value(value, found, code) if is_secret(name[-100:]) else nowhere


def _value(value: str, found: re.Match[str], code: bool) -> tuple[int, int]:
    """Return where the value of a secret name starts and ends."""
    start, name = found.end(), found["name"] or found["option"]
    quote = _VALUE_QUOTE.match(value, start)
    if found["pair"]:
        before = value[max(0, found.start() - 8) : found.start()]
        is_pair = name.startswith("--") or _PAIR.search(before)
        return _quoted(value, quote) if quote and is_pair and not code else (0, 0)
    if quote:
        return _quoted(value, quote)
    if code or _HARMLESS.match(value, start):
        return 0, 0
    if _COUNT.match(value, start) and name.lower().endswith("s"):
        return 0, 0
    if found["mark"] == ":" and not found["quote"]:
        squeezed = _squeezed(name)
        if squeezed.endswith(("authorization", "cookie")):
            end = _line_end(value, start)
            before = value[max(0, found.start() - 1) : found.start()]
            closed = value.find(before, start, end) if before in {"'", '"'} else -1
            return start, end if closed < 0 else closed
        if squeezed in _SECRET_NAMES or _PROSE.match(value, start):
            return 0, 0
    return start, _end(value, start)


def _line_end(value: str, start: int) -> int:
    found = _LINE_END.search(value, start)
    return found.start() if found else len(value)


def _quoted(value: str, quote: re.Match[str]) -> tuple[int, int]:
    start, mark = quote.end(), quote[1]
    if inside := _QUOTED.get(mark):
        found = inside.match(value, start)
        return start, found.end() if found else len(value)
    end = value.find(mark, start)
    while end > start and value[end - 1] == "\\":
        end = value.find(mark, end + 1)
    return start, end if end >= start else len(value)


def _end(value: str, start: int) -> int:
    """Return where a value without quotes ends: where its last bracket closes, or a word does."""
    if scheme := _SCHEME.match(value, start):
        start = scheme.end()
    depth = 0
    while part := (_IN_BRACKETS if depth else _IN_WORD).search(value, start):
        start = part.end()
        if part[0][-3:-1] == r"\\":  # as above: if in doubt, all of the rest is secret
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
