"""Asks URLs of a test host at a steady rate for a while, then says what came back as JSON.

    python tests/lab/leakload.py --rate 20 --seconds 60 'http://127.0.0.1:8090/work?ms=20&kb=64' [URL ...]

Standard library only and one file, so that it can be copied to a host and run there. It asks private and loopback addresses
only, at most 500 times a second, for at most 15 minutes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import ipaddress
import itertools
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

MOST_A_SECOND = 500
MOST_SECONDS = 900
AT_ONCE = 64
# Not is_private, which is also true of networks that are nobody's.
NETWORKS = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")]


def of_a_test(url: str) -> bool:
    """Whether every address of a URL's host is loopback or private."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        return False
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return False
    addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
    return all(any(address in network for network in NETWORKS) for address in addresses)


def ask(url: str) -> tuple[str, float]:
    """(status or the error's name, seconds)."""
    begin = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
            what = str(answer.status)
    except urllib.error.HTTPError as error:
        what = str(error.code)
    except OSError as error:
        what = type(error).__name__
    return what, time.monotonic() - begin


def drive(urls: list[str], rate: float, seconds: float) -> dict[str, object]:
    """Sends at the times that the rate gives, late answers or not, with at most AT_ONCE under way."""
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        asked = []
        for number, url in zip(range(int(rate * seconds)), itertools.cycle(urls), strict=False):
            time.sleep(max(0.0, begin + number / rate - time.monotonic()))
            if time.monotonic() - begin > seconds:
                break
            asked.append(pool.submit(ask, url))
        answers = [one.result() for one in asked]
    times = sorted(taken for _what, taken in answers)
    counts: dict[str, int] = {}
    for what, _taken in answers:
        counts[what] = counts.get(what, 0) + 1
    return {
        "requests": len(answers),
        "seconds": round(time.monotonic() - begin, 3),
        "answers": counts,
        "p50_ms": round(times[len(times) // 2] * 1000, 2) if times else None,
        "p99_ms": round(times[len(times) * 99 // 100] * 1000, 2) if times else None,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="+")
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    if not 0 < options.rate <= MOST_A_SECOND or not 0 < options.seconds <= MOST_SECONDS:
        parser.error(f"at most {MOST_A_SECOND} requests a second, for at most {MOST_SECONDS} seconds")
    for url in options.url:
        if not of_a_test(url):
            parser.error(f"{url}: only http:// to loopback and private addresses")
    print(json.dumps(drive(options.url, options.rate, options.seconds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
