# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ansible_collections.goready.preflight.plugins.module_utils import redact

R = redact.REDACTED
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
# Of https://jwt.io's example, and of the vendors' documentation; none of them opens anything.
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

SECRET_NAMES = [
    "password",
    "DB_PASSWORD",
    "dbPassword",
    "PGPASSWORD",
    "MYSQL_PWD",
    "passwd",
    "PASS",
    "api-key",
    "API_KEY",
    "apiKey",
    "APIKEY",
    "AWS_SECRET_ACCESS_KEY",
    "secret",
    "CLIENT_SECRET",
    "SECRET_ID",
    "token",
    "ACCESS_TOKEN",
    "authToken",
    "TOKENS",
    "GITHUB_PAT",
    "credentials",
    "DATABASE_DSN",
    "DSN",
    "SENTRY_DSN",
    "BEARER",
    "JWT_KEY",
    "passphrase",
    "AUTH",
    "BASIC_AUTH",
    "SESSION_COOKIE",
    "encryptionKey",
    "ENCRYPTION_KEY",
    "SSH_KEY",
    "sshkey",
    "AUTHORIZATION",
    "connectionString",
    "cassandra.password",
    "redis_psk",
]
HARMLESS_NAMES = [
    "PATH",
    "HOME",
    "GOMEMLIMIT",
    "GODEBUG",
    "LISTEN_ADDR",
    "PWD",
    "OLDPWD",
    "monkey",
    "KEYBOARD",
    "TOKEN_FILE",
    "password-file",
    "keyfile",
    "KEY_ID",
    "tokenTTL",
    "AUTH_MODE",
    "SECRET_NAME",
    "passwordPath",
    "bypass",
    "author",
    "compass",
    "passthrough",
    "max-conns",
    "tls-cert",
    "AWS_ACCESS_KEY_ID",
    "keystore",
    "token_endpoint",
    "User",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_credentials(name: str) -> None:
    assert redact.is_secret_name(name)
    assert redact.redact_value(name, "hunter2") == R
    assert redact.redact_argv([f"--{name}=hunter2", f"-{name}", "hunter2"]) == [f"--{name}={R}", f"-{name}", R]
    assert redact.redact_environ({name: "hunter2"}) == {name: R}
    assert redact.redact_text(f"exec /bin/x {name}=hunter2 end") == f"exec /bin/x {name}={R} end"
    assert redact.redact_url(f"https://h/p?a=1&{name}=hunter2") == f"https://h/p?a=1&{name}={R}"


@pytest.mark.parametrize("name", HARMLESS_NAMES)
def test_other_names(name: str) -> None:
    assert not redact.is_secret_name(name)
    assert redact.redact_value(name, "hunter2") == "hunter2"
    assert redact.redact_argv([f"--{name}=hunter2", "-v"]) == [f"--{name}=hunter2", "-v"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("key", "/etc/tls/key.pem", "/etc/tls/key.pem"),
        ("private-key", "/etc/tls/key.pem", R),
        ("tls-key", "./certs/server.key", "./certs/server.key"),
        ("key", "/h7Qz83kLmPw2Xy9Rt5u", R),
        ("key", "30s", "30s"),
        ("auth", "true", "true"),
        ("require-token", "false", "false"),
        ("token", "", ""),
        ("password", "12345", R),
        ("password", "/tmp/x", R),
        ("session", "9f86d081884c7d659a2feaa0c55ad015", R),
        ("session", "sticky", "sticky"),
        ("TOKEN_FILE", "/run/secrets/token", "/run/secrets/token"),
        ("TOKEN_FILE", "9f86d081884c7d659a2feaa0c55ad015", R),
        ("KEY_ID", "AKIAIOSFODNN7EXAMPLE", R),
        ("vcs.revision", "3f2c9abc0d1e4f5a6b7c8d9e0f1a2b3c4d5e6f70", "3f2c9abc0d1e4f5a6b7c8d9e0f1a2b3c4d5e6f70"),
        (
            "image",
            "app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ),
        ("GODEBUG", "gctrace=1,madvdontneed=1", "gctrace=1,madvdontneed=1"),
        ("DATABASE_URL", "postgres://app:pw@db1/shop", f"postgres://app:{R}@db1/shop"),
    ],
)
def test_values(name: str, value: str, expected: str) -> None:
    assert redact.redact_value(name, value) == expected


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/api", "-token", "abc", "-listen", ":80"], ["/api", "-token", R, "-listen", ":80"]),
        (["/api", "--token=abc"], ["/api", f"--token={R}"]),
        (["/api", "--token", "--verbose"], ["/api", "--token", "--verbose"]),
        (["/api", "--auth", "-listen=:80"], ["/api", "--auth", "-listen=:80"]),
        (["/api", "-password"], ["/api", "-password"]),
        (
            ["curl", "-u", "bob:pw", "--user", "bob:pw", "--user=bob:pw"],
            ["curl", "-u", f"bob:{R}", "--user", f"bob:{R}", f"--user=bob:{R}"],
        ),
        (["podman", "--user", "1000:1000", "-u", "app"], ["podman", "--user", "1000:1000", "-u", "app"]),
        (["curl", "-H", "Authorization: Bearer abc.def"], ["curl", "-H", f"Authorization: Bearer {R}"]),
        (["curl", "-H", "X-Api-Key: abc"], ["curl", "-H", f"X-Api-Key: {R}"]),
        (["env", "DB_PASSWORD=x", "/api"], ["env", f"DB_PASSWORD={R}", "/api"]),
        (["sh", "-c", "/api --token abc | tee log"], ["sh", "-c", f"/api --token {R} | tee log"]),
        (
            ["etcd", "--cert-file=/a.crt", "--key-file=/a.key", "--initial-cluster-token", "etcd-1"],
            ["etcd", "--cert-file=/a.crt", "--key-file=/a.key", "--initial-cluster-token", R],
        ),
        (["/api", '{"password":"hunter"}'], ["/api", f'{{"password":"{R}"}}']),
        (["/api", "--pw:x", "/password:x", "password:x"], ["/api", f"--pw:{R}", f"/password:{R}", f"password:{R}"]),
        (["sh", "-c", "curl -u bob:pw http://h/"], ["sh", "-c", f"curl -u bob:{R} http://h/"]),
        (["sh", "-c", "curl --user='bob:p w' h"], ["sh", "-c", f"curl --user='bob:{R}' h"]),
        (["sh", "-c", "podman run -u 1000:1000 img"], ["sh", "-c", "podman run -u 1000:1000 img"]),
        (["GODEBUG=http2client=0,SECRET=x"], [f"GODEBUG=http2client=0,SECRET={R}"]),
        (["user=sa;password=hunter"], [f"user=sa;password={R}"]),
        (["-conn2", "server=h;user=sa;password=hunter"], ["-conn2", f"server=h;user=sa;password={R}"]),
        (["sid=9f86d081884c7d659a2feaa0c55ad015,x=1"], [f"sid={R},x=1"]),
        (["podman", "run", "example.org/token:1.2", "token-proxy:1.2"], ["podman", "run", "example.org/token:1.2", "token-proxy:1.2"]),
        ([], []),
    ],
)
def test_argv(argv: list[str], expected: list[str]) -> None:
    assert redact.redact_argv(argv) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h:8080/p?q=1#f", "https://h:8080/p?q=1#f"),
        ("https://user:pw@h/p", f"https://user:{R}@h/p"),
        ("https://user:@h/p", "https://user:@h/p"),
        ("ssh://git@github.com/x/y", "ssh://git@github.com/x/y"),
        ("https://0123456789abcdef0123456789abcdef@sentry.example/1", f"https://{R}@sentry.example/1"),
        ("postgres://u:p@ss@h/db", f"postgres://u:{R}@h/db"),
        ("postgres://u:pa/ss@h/db", f"postgres://u:{R}@h/db"),
        ("postgres://u:pa?ss@h/db", f"postgres://u:{R}@h/db"),
        ("postgres://u:p@ss/w0rd@h/db?sslmode=disable&password=x", f"postgres://u:{R}@h/db?sslmode=disable&password={R}"),
        ("https://proxy.example/github.com/x/@v/list", "https://proxy.example/github.com/x/@v/list"),
        ("http://h:8080/a/@v/x", "http://h:8080/a/@v/x"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("https://h/?X-Amz-Signature=0123456789abcdef0123456789abcdef&page=2", f"https://h/?X-Amz-Signature={R}&page=2"),
        ("unix:///run/api.sock", "unix:///run/api.sock"),
        ("no url", "no url"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    assert redact.redact_url(url) == expected
    assert redact.redact_text(f"see {url} there") == f"see {expected} there"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PEM, R),
        (f"key: {PEM} end", f"key: {R} end"),
        (JWT, R),
        (f"sent {JWT}, got 401", f"sent {R}, got 401"),
        ("AKIAIOSFODNN7EXAMPLE", R),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", R),
        ("https://hooks.slack.com/services/T000/B000/XXXX", f"https://hooks.slack.com/services/{R}"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {R}"),
        ("proxy-authorization: whatever it is", f"proxy-authorization: {R}"),
        ("Cookie: a=b; c=d", f"Cookie: {R}"),
        ("root:pw@tcp(127.0.0.1:3306)/shop", f"root:{R}@tcp(127.0.0.1:3306)/shop"),
        ('Environment="DB_PASSWORD=a b" X=1', f'Environment="DB_PASSWORD={R}" X=1'),
        ("DB_PASSWORD='a b' X=1", f"DB_PASSWORD='{R}' X=1"),
        ('{"password": "a\\"b", "user": "c"}', f'{{"password": "{R}", "user": "c"}}'),
        ("--password 'a b' -v", f"--password '{R}' -v"),
        ("password: hunter2", f"password: {R}"),
        ("password=a,b;c", f"password={R}"),
        ("host=db user=app password=x sslmode=on", f"host=db user=app password={R} sslmode=on"),
        ("-X main.token=abc -s -w", f"-X main.token={R} -s -w"),
        ('{"password":1,"user":2}', f'{{"password":{R},"user":2}}'),
        ('{"password":null,"b":"c"}', '{"password":null,"b":"c"}'),
        ('"{\\"password\\":\\"hunter\\",\\"b\\":1}"', f'"{{\\"password\\":\\"{R}\\",\\"b\\":1}}"'),
        ("user='a' client=b,token=c", f"user='a' client=b,token={R}"),
        ("/src/token.go:55: unexpected", "/src/token.go:55: unexpected"),
        ("token.go:55: unexpected", "token.go:55: unexpected"),
        ("/run/token: no such file", "/run/token: no such file"),
        ("the token was refused", "the token was refused"),
        ("key: not found", "key: not found"),
        ("LimitNOFILE=65536", "LimitNOFILE=65536"),
        (
            "http: Accept error: accept tcp [::]:80: too many open files; retrying in 5ms",
            "http: Accept error: accept tcp [::]:80: too many open files; retrying in 5ms",
        ),
        ("goroutine 1 [IO wait, 5 minutes]:", "goroutine 1 [IO wait, 5 minutes]:"),
        ("-ldflags=-s -w -X main.version=v1.2.3", "-ldflags=-s -w -X main.version=v1.2.3"),
        ("", ""),
    ],
)
def test_text(text: str, expected: str) -> None:
    assert redact.redact_text(text) == expected


ANYTHING = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="-=: \"'\\/@?&;,.[]{}\nabkeytokenpswrdEY019_", max_size=200),
    st.lists(
        st.sampled_from(
            [
                "password",
                "token=",
                "--key",
                " ",
                "=",
                ":",
                "'",
                '"',
                "\\",
                "://",
                "@",
                "Bearer ",
                "x",
                R,
                "eyJ",
                "/",
                "?",
                "-----BEGIN PRIVATE KEY-----",
                "Authorization:",
            ]
        ),
        max_size=20,
    ).map("".join),
)


@given(ANYTHING)
@example("'Authorization:\"\\")
def test_twice_is_once(text: str) -> None:
    once = redact.redact_text(text)
    assert redact.redact_text(once) == once
    url = redact.redact_url(text)
    assert redact.redact_url(url) == url
    words = redact.redact_argv(text.split(" "))
    assert redact.redact_argv(words) == words


SECRET = st.text(alphabet="abcdefghijkmnpqrstuvwxyzABCDEFGH0123456789+/!$%^*~", min_size=8, max_size=40)


@given(SECRET, st.sampled_from(SECRET_NAMES), st.text(alphabet="abc /=", max_size=20))
def test_a_secret_never_stays(secret: str, name: str, around: str) -> None:
    strong = redact._strength(name) == 3
    assume(strong and secret not in name and secret not in around)
    for text in (
        f"{name}={secret}",
        f"--{name} {secret}",
        f"--{name}={secret}",
        f"{name}: {secret}",
        f'"{name}={secret} {secret}"',
    ):
        for line in (text, f"{around} {text}", f"{around} {text} {around}"):
            assert secret not in redact.redact_text(line), line
    assert secret not in "\0".join(redact.redact_argv(["/x", f"-{name}={secret}", f"--{name}", secret, f"{name}={secret}"]))
    assert secret not in redact.redact_value(name, secret)


@given(SECRET, st.sampled_from(["postgres", "https", "redis", "amqp"]), st.text(alphabet="abc-.", min_size=1, max_size=10))
def test_a_password_in_a_url_never_stays(secret: str, scheme: str, host: str) -> None:
    assume(not secret[0].isdigit() and secret not in host)  # ":80/..." reads as a port
    assert secret not in redact.redact_url(f"{scheme}://user:{secret}@{host}/db?x=1")


@given(
    st.lists(
        st.sampled_from(
            [
                "serve",
                "-listen=:8080",
                "--config",
                "/etc/api.yml",
                "-v",
                "--workers=4",
                "https://api.example.org/v1",
                "--keyfile=/etc/tls/a.key",
                "--log.level=info",
                "1024:65536",
                "key.pem",
                "tokenizer",
            ]
        ),
        max_size=8,
    )
)
def test_harmless_arguments_stay(argv: list[str]) -> None:
    assert redact.redact_argv(argv) == argv


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "password" * 30_000,
        "-" * 200_000,
        "token=" * 40_000,
        "eyJ" * 60_000,
        "eyJaaaaaaa." * 20_000,
        "a:" * 100_000 + "@(",
        "https://" * 30_000,
        "https://u:" + "@" * 100_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
        "Bearer " * 30_000,
        "x-" * 100_000 + ":",
        "'" * 200_000,
        "token='" * 30_000,
        " " * 200_000,
        "a." * 100_000,
        "?a=" * 70_000,
        "http://a" + "?a=" * 70_000,
        "\\" * 200_000,
        "key=[redacted]" * 14_000,
        "user=" * 40_000,
        "password:" * 22_000,
        "-u " * 60_000 + ":",
        "-u a:" * 40_000,
        "sid='" * 40_000,
        'password:\\"' * 18_000,
    ],
    ids=range(26),
)
def test_long_text_takes_no_time(text: str) -> None:
    started = time.process_time()
    redact.redact_text(text)
    redact.redact_url(text)
    redact.redact_argv([text, text])
    redact.redact_value(text, text)
    assert time.process_time() - started < 5
