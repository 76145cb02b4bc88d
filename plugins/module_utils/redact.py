# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take credentials out of what leaves a host: arguments, environments, URLs, lines of text.

Public: :func:`redact_argv`, :func:`redact_environ`, :func:`redact_value`, :func:`redact_text`, :func:`redact_url`,
:func:`is_secret_name`, :data:`REDACTED`. All are pure, never raise on text, and applying one twice changes nothing.

What is decided, and why:

* A *name* that says credential (password, secret, token, credential, DSN, API key ...) hides its value, whatever it looks
  like. A false redaction costs a word of evidence, a missed one publishes a password in a report that is mailed around.
* A name whose last word says that the value is *about* the credential (``-token-file``, ``TOKEN_TTL``, ``-keyfile``,
  ``AUTH_MODE``) stays readable, and so do ``true``/``false`` and, for the weak words ``key`` and ``auth``, a file's path:
  ``-keyfile=/etc/tls/key.pem`` is what an engineer needs to see.
* Suspicious names (session, salt, code ...) hide long random values only.
* Known shapes (URLs with userinfo, Authorization headers, PEM private keys, JWTs, tokens with a vendor's prefix) are hidden
  under any name.
* Not recognised: a password that is a plain positional argument, that is glued to a one-letter flag (``-pSECRET``), or
  that itself looks like a flag (``-password -x``).
"""
from __future__ import annotations

import math
import re
from typing import Dict, List, Mapping, Match, Sequence

REDACTED = "[redacted]"

# The patterns are strings on purpose: `re` compiles each at its first use and keeps it, so that a host with nothing to
# redact does not pay for them at import.

# Words that always mean a credential, alone or glued to others (dbpassword, authtoken).
_STRONG_PART = ("password", "passwd", "passphrase", "passcode", "secret", "token", "credential", "apikey", "privatekey",
                "accesskey", "secretkey", "connectionstring", "authorization")
# The same as whole words only: "bypass" and "passthrough" are none.
_STRONG_WORD = frozenset(("pass", "pwd", "psk", "dsn", "creds", "cred", "bearer", "jwt", "connstr", "pat", "pw"))
# Words that mean a credential unless the value is a path, a number or a boolean.
_WEAK_WORD = frozenset(("key", "keys", "auth", "cookie", "cookies", "basicauth"))
_NOT_A_KEY = frozenset(("monkey", "hotkey", "turkey", "donkey", "whiskey"))
# Words under which only a long random value is hidden.
_SUSPICIOUS = frozenset(("session", "sid", "seed", "salt", "signature", "sig", "sign", "license", "licence", "hmac", "code",
                         "pin", "otp", "totp", "sas", "private", "access", "encryption", "webhook", "hook", "login", "hash",
                         "nonce", "user", "username", "client", "account"))
# Last words which say that the value describes the credential or tells where it lies.
_ABOUT = frozenset(("file", "files", "path", "paths", "dir", "dirs", "directory", "folder", "ttl", "expiry", "expiration",
                    "expire", "expires", "lifetime", "duration", "timeout", "interval", "period", "age", "length", "len",
                    "size", "count", "limit", "max", "min", "mode", "type", "kind", "format", "algorithm", "alg", "header",
                    "name", "enabled", "enable", "disabled", "disable", "required", "endpoint", "url", "uri", "server",
                    "host", "addr", "address", "issuer", "audience", "provider", "method", "methods", "backend", "plugin",
                    "store", "version", "usages", "webhook", "namespace", "prefix", "suffix", "rotation", "check", "policy"))
_GLUED_FILE = ("file", "filename", "path", "dir", "keystore", "truststore", "keyring")
_SCHEMES = ("bearer", "basic", "digest", "negotiate")
_HARMLESS = ("", "true", "false", "yes", "no", "on", "off", "none", "null", "nil")
_SETTINGS = ("enabled", "disabled", "required", "optional")

_WORDS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+"
_PATH = r"(?:~|\.{1,2})?(?:/[\w.@%+,:-]+)+/?\Z"

# Shapes that are a credential under any name. Every alternative begins with something literal and its repetition is over
# one class of characters: linear on any input.
_SHAPES = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?:[^-]|-(?!----END))*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?"
    r"|(?<![\w-])eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*"              # JWT (RFC 7519), JWE
    r"|(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])"   # AWS access key ids
    r"|(?<!\w)gh[pousr]_\w{20,}|(?<!\w)github_pat_\w{20,}|(?<!\w)glpat-[\w-]{16,}"
    r"|(?<!\w)xox[a-z]-[\w-]{10,}|(?<!\w)AIza[\w-]{30,}|(?<!\w)(?:sk|rk|pk)[-_](?:live|test|proj|ant|or)[-_][\w-]{10,}"
    r"|(?<![\w-])sk-[A-Za-z0-9]{20,}|(?<!\w)hv[sbr]\.[\w-]{20,}|(?<!\w)SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|(?<!\w)npm_\w{30,}|(?<!\w)pypi-[\w-]{30,}|(?<!\w)do[opr]_v1_\w{20,}"
)
_SLACK_HOOK = r"(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+"
_SCHEME = (r"(?i)(\b(?:bearer|basic|negotiate|digest|apikey|token)[ \t]+)"
           r"(?=[^\s\"',;]{0,200}[0-9+/=._~-])[A-Za-z0-9+/=._~-]{8,}")
_URL = r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^\s\"'<>`]+)"
_MYSQL_DSN = r"(?<![^\s\"'=,;])([\w.-]{1,64}):([^\s\"'@/]{1,200})@(?=(?:tcp|unix|udp)?\()"
_HEADER = (r"(?i)(?<![\w-])((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:token|key|secret|auth)[\w-]{0,20})"
           r"([ \t]{0,8}:[ \t]{0,8})([^\"'\r\n]+)")
# curl's user and password, in a command line that is one argument of a shell. Digits are ids.
_USER = (r"(?<![^\s\"'])(-u|-U|--user|--proxy-user)([ \t]{1,8}|=)(?P<quote>[\"'])?([^\s:\"']{1,200}):"
         r"(?P<password>(?(quote)[^\"']+|[^\s\"']+))")
# name=value, name: value, name:value, --name value, /name:value; a quote right before the name encloses the value too
# (Environment="A=b c").
_ASSIGNED = (r"(?P<outer>[\"']?)(?<![\w.%@-])(?P<dash>-{0,2})(?P<name>[A-Za-z_][\w.-]*)(?P<inner>(?:\\{0,3}[\"'])?)"
             r"(?P<sep>[ \t]{0,8}=[ \t]{0,8}|[ \t]{0,8}:[ \t]{0,8}|[ \t]{1,8})")


def _words(name: str) -> List[str]:
    """The words of ``DB_PASSWORD``, ``--db-password``, ``dbPassword``, in lower case."""
    return [word.lower() for word in re.findall(_WORDS, name[-200:])]


def _strength(name: str) -> int:
    """3: the value is a credential; 2: unless it is a path or number; 1: if it looks random; 0: no."""
    if name in ("PWD", "OLDPWD"):  # the shell's working directories
        return 0
    words = _words(name)
    if not words:
        return 0
    joined = "".join(words)
    last = words[-1]
    strong = any(part in joined for part in _STRONG_PART) or any(word in _STRONG_WORD for word in words)
    weak = any(word in _WEAK_WORD or (word.endswith("key") and word not in _NOT_A_KEY) for word in words)
    if strong or weak:
        if last in _ABOUT or last.endswith(_GLUED_FILE):
            return 1
        if words[-2:] == ["key", "id"]:  # names a key; SECRET_ID is one (Vault AppRole)
            return 1
        return 3 if strong else 2
    if last in _ABOUT or last.endswith(_GLUED_FILE):
        return 0
    return 1 if any(word in _SUSPICIOUS for word in words) else 0


def is_secret_name(name: str) -> bool:
    """Whether a variable or flag of this name holds a credential (paths and random values are not looked at)."""
    return _strength(name) >= 2


def looks_random(value: str) -> bool:
    """A long word of letters and digits without structure: a generated key, not something a person wrote."""
    if len(value) < 16 or len(value) > 4096 or not re.match(r"[A-Za-z0-9+/=_.~-]+\Z", value):
        return False
    if not (re.search(r"[0-9]", value) and re.search(r"[A-Za-z]", value)):
        return False
    longest = max(len(piece) for piece in re.split(r"[/._-]", value))
    if longest < 12:
        return False
    counts: Dict[str, int] = {}
    for char in value:
        counts[char] = counts.get(char, 0) + 1
    total = float(len(value))
    return -sum(n / total * math.log2(n / total) for n in counts.values()) >= 3.0


def redact_value(name: str, value: str) -> str:
    """The value of a variable or flag called ``name`` without what is secret in it."""
    strength = _strength(name)
    if _is_secret(strength, value):
        return REDACTED
    if strength == 1 and re.search(r"[,;&]", value):
        value = re.sub(r"[^,;&]+", lambda piece: REDACTED if _is_secret(1, piece.group(0)) else piece.group(0), value)
    return redact_text(value)


def _is_secret(strength: int, value: str) -> bool:
    """Whether the value of a name of this strength (:func:`_strength`) is to be hidden whole."""
    word = value.strip().lower()
    if not strength or word in _HARMLESS or value == REDACTED:
        return False
    if strength == 3:
        return True
    if word in _SETTINGS or (re.match(_PATH, value) and not any(looks_random(piece) for piece in value.split("/"))):
        return False
    if strength == 2:
        return re.match(r"[0-9.:]+[smhdKMG]?\Z", value) is None
    return looks_random(value)


def redact_argv(argv: Sequence[str]) -> List[str]:
    """A command line without credentials: ``--token=x``, ``--token x``, ``TOKEN=x``, and what :func:`redact_text` knows."""
    result: List[str] = []
    expecting = ""
    for word in argv:
        flag = re.match(r"(-{0,2})([A-Za-z_][\w.-]*)(=?)", word)
        if expecting:
            # A Go boolean flag takes no second word: what follows it and looks like a flag is one.
            name, expecting = expecting, ""
            if not re.match(r"--?[A-Za-z][\w.-]*(?:=|\Z)", word):
                result.append(_user_password(word) if name in ("u", "user") else redact_value(name, word))
                continue
        if flag and flag.group(3):
            name = flag.group(2)
            value = word[flag.end():]
            result.append(word[:flag.end()] + (_user_password(value) if name == "user" else redact_value(name, value)))
            continue
        if flag and flag.group(1) and flag.end() == len(word):
            name = flag.group(2)
            expecting = name if _strength(name) or name in ("u", "user") else ""
        result.append(redact_text(word))
    return result


def _user_password(value: str) -> str:
    """``-u user:password`` as curl has it; ``1000:1000`` and a plain name stay."""
    user, colon, password = value.partition(":")
    if colon and password and not password.isdigit() and "//" not in value:
        return user + ":" + REDACTED
    return redact_text(value)


def redact_environ(environ: Mapping[str, str]) -> Dict[str, str]:
    """The same variables, the credentials among them hidden."""
    return {name: redact_value(name, value) for name, value in environ.items()}


def redact_url(url: str) -> str:
    """A URL without password, and without credentials in its query or fragment. Text that is no URL comes back as it is.

    A user without password stays (``ssh://git@host``) unless it looks like a token (``https://0123..@sentry``).
    """
    match = re.match(_URL, url)
    if match is None:
        return url
    scheme, rest = match.group(1), match.group(2)
    tail = url[match.end():]
    end = re.search(r"[/?#]", rest)
    cut = end.start() if end else len(rest)
    authority = rest[:cut]
    later = rest.rfind("@", cut)
    if later >= 0 and re.match(r"[^:\[]*:(?:.*@|(?![0-9]+\Z))", authority):
        # "user:pa/ss@host": there is a password, or what follows the colon is no port, so an unescaped slash may be a part
        # of the password. Hiding some of a path is the lesser harm.
        more = re.search(r"[/?#]", rest[later:])
        cut = later + more.start() if more else len(rest)
        authority = rest[:cut]
    if "@" in authority:
        user, _at, host = authority.rpartition("@")
        name, colon, password = user.partition(":")
        if colon and password:
            user = (REDACTED if looks_random(name) else name) + ":" + REDACTED
        elif looks_random(name):
            user = REDACTED + colon
        authority = user + "@" + host
    remainder = rest[cut:]
    if "=" in remainder:
        remainder = re.sub(r"([?&;#])([^?&;#=\s]{1,200})=([^&;#\s]*)", _query, remainder)
    return scheme + authority + remainder + tail


def _query(match: Match[str]) -> str:
    separator, name, value = match.groups()
    if value and value.lower() not in _HARMLESS and (_strength(name) >= 2 or (_strength(name) == 1 and looks_random(value))):
        value = REDACTED
    return separator + name + "=" + value


def redact_text(text: str) -> str:
    """A line of text (a unit file's, a log's, a header's) without the credentials that can be told by their shape or name."""
    if not text or text == REDACTED:
        return text
    if "://" in text:
        text = re.sub(_URL, lambda match: redact_url(match.group(0)), text)
        if "slack" in text:
            text = re.sub(_SLACK_HOOK, r"\1" + REDACTED, text)
    if "@" in text and "(" in text:
        text = re.sub(_MYSQL_DSN, r"\1:" + REDACTED + "@", text)
    text = re.sub(_SHAPES, REDACTED, text)
    if ":" in text:
        text = re.sub(_HEADER, _header, text)
        if "-u" in text or "-U" in text or "user" in text:
            text = re.sub(_USER, _curl_user, text)
    text = re.sub(_SCHEME, r"\1" + REDACTED, text)
    return _redact_assigned(text)


def _header(match: Match[str]) -> str:
    """A header's value; the scheme of Authorization (Basic, Bearer) stays."""
    name, colon, value = match.groups()
    scheme = re.match(r"(?i)(bearer|basic|digest|negotiate|token)[ \t]+", value)
    return name + colon + (scheme.group(0) if scheme else "") + REDACTED


def _curl_user(match: Match[str]) -> str:
    password = match.group("password")
    if password.isdigit() or password.startswith("//"):
        return match.group(0)
    return match.group(0)[:match.start("password") - match.start()] + REDACTED


def _redact_assigned(text: str) -> str:
    pieces: List[str] = []
    position = 0
    search = re.compile(_ASSIGNED).search
    while True:
        match = search(text, position)
        if match is None:
            break
        pieces.append(text[position:match.end()])
        position = match.end()
        strength = _strength(match.group("name"))
        if not strength or not _assigns(text, match, strength):
            continue
        separator, outer = match.group("sep").strip(), match.group("outer")
        opening = re.compile(r"(\\{0,3})([\"'])").match(text, position)
        if outer and not match.group("inner"):
            kind = r"(?:\\.|\\\Z|[^\\%s])" % outer  # "NAME=value with blanks"
        elif opening:
            pieces.append(opening.group(0))
            position = opening.end()
            # In JSON inside a string every quote has a backslash before it: that ends the value too.
            kind = r"(?!\\{1,3}[\"'])[^\"']" if opening.group(1) else r"(?:\\.|\\\Z|[^\\%s])" % opening.group(2)
        elif separator == ":" and strength < 3:
            continue  # prose: "key: not found"
        elif match.group("inner"):
            kind = r"[^\s\"',;&}\]]"  # {"password":1,"user":2}
        elif strength == 1:
            kind = r"[^\s\"',;&=]"
        else:
            kind = r"[^\s\"']"  # a password may hold anything
        if text.startswith(REDACTED, position) and not re.compile(kind, re.DOTALL).match(text, position + len(REDACTED)):
            pieces.append(REDACTED)  # hidden already, and nothing glued to it
            position += len(REDACTED)
            continue
        # What is not hidden is looked at again from within: the bound keeps that linear.
        value = re.compile("(?:%s){1,4097}" % kind, re.DOTALL).match(text, position)
        if value is None or (not separator and not opening and value.group(0).startswith("-")):
            continue
        plain = _plain(strength, value.group(0))
        if plain == value.group(0):
            continue
        pieces.append(plain)
        whole = re.compile("(?:%s)+" % kind, re.DOTALL).match(text, position)
        position = whole.end() if whole else value.end()
    pieces.append(text[position:])
    return "".join(pieces)


def _assigns(text: str, match: Match[str], strength: int) -> bool:
    """Whether what :data:`_ASSIGNED` found gives a value to a name of this strength."""
    name, separator, dash = match.group("name"), match.group("sep"), match.group("dash")
    before = match.start("name") - 1
    slash = not dash and before >= 0 and text[before] == "/"
    if slash and not (separator.strip() and (before == 0 or text[before - 1] in " \t\"'")):
        return False  # a path; /password:x is a flag
    if not separator.strip():
        return bool(dash)  # else two words of a sentence
    if separator != ":" or dash or slash or match.group("inner"):
        return True
    # Glued, as in token.go:55 and token-proxy:1.2 (a line of a source file, an image): the last word has to be the credential.
    if text[match.end():match.end() + 1] in ("", " ", "/") or name.endswith((".go", ".c", ".h", ".s", ".py")):
        return False
    return strength == 3 and _strength(_words(name)[-1]) == 3


def _plain(strength: int, value: str) -> str:
    """As :func:`redact_value`, for a value whose shapes were taken out already."""
    if value.strip().lower() in _SCHEMES or (strength < 3 and REDACTED in value):
        return value
    return REDACTED if _is_secret(strength, value) else value
