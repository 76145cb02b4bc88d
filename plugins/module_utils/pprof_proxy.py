# Copyright: goready.preflight contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module ``pprof_proxy`` does: nginx in front of pprof, all or nothing.

Public: :class:`Proxy`, :class:`ProxyError`.

The order, so that a kill anywhere leaves what the next call can mend: that nginx will be ours is written down (and
committed) before apt begins; files are journalled; ``nginx -t`` judges them before the running nginx is told; what is proven
is what answers on the port.
"""
from __future__ import annotations

import base64
import grp
import hashlib
import ipaddress
import json
import os
import pwd
import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.goready.preflight.plugins.module_utils import (
    listening, nftables, nginxconf, proxyconf, proxyproof, readfile, redact, sshclient, units,
)
from ansible_collections.goready.preflight.plugins.module_utils.changing import Changes
from ansible_collections.goready.preflight.plugins.module_utils.collecting import Context, Unavailable
from ansible_collections.goready.preflight.plugins.module_utils.nftables import FOLDER as HOME
from ansible_collections.goready.preflight.plugins.module_utils.proxyconf import CONF, FOLDER, TOKEN, USERS, Service, Settings
from ansible_collections.goready.preflight.plugins.module_utils.proxyproof import Door, Proof

NGINX = "/usr/sbin/nginx"
UNIT = "nginx.service"
MARKER = HOME + "/pprof-proxy.installed"
POLICY = "/usr/sbin/policy-rc.d"
DEFAULT_SITE = "/etc/nginx/sites-enabled/default"
WELCOME = "/var/www/html/index.nginx-debian.html"  # its postinst makes it, and its purge leaves it

APT_SECONDS = 600.0
COMMAND_SECONDS = 20.0
PROOF_SECONDS = 60.0

_SERVICE = "unit %s" % UNIT
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9-]+)?\Z")


class ProxyError(Exception):
    """The proxy cannot be as it was asked for; one sentence for people."""


class Nginx(NamedTuple):
    """How nginx is here. ``ours``: this module installed it (or began to)."""

    present: bool
    active: bool
    ours: bool
    unfinished: bool
    packages: Tuple[str, ...]


class Proxy:
    """The proxy of one host. ``changes`` is entered already."""

    def __init__(self, changes: Changes, *, install: bool, timeout: float = 30.0) -> None:
        self._changes = changes
        self._install = install
        self._timeout = timeout
        self._systemd = units.Systemd()
        self.warnings: List[str] = []
        self.missing: List[str] = []

    # Present

    def present(self, wanted: Sequence[Service], settings: Settings, *, guarded: Sequence[str] = (),
                remove: Sequence[str] = ()) -> List[Proof]:
        """Let these services be behind the proxy, beside those that are already but for ``remove``, and prove it.

        ``guarded`` names services whose own port another guard of this very run closes, which check mode cannot see yet.
        """
        changes = self._changes
        nginx = self._nginx()
        there_at, there = self._there()
        services = proxyconf.merge(proxyconf.without(there, remove), wanted)
        self._guarded(wanted, guarded if changes.check_mode else ())
        self._port_free(settings.listen, there_at, services)
        if not nginx.present or nginx.unfinished:
            self._consent("nginx has to be installed")
        if nginx.present and not nginx.active and not nginx.ours:
            raise ProxyError("nginx is installed and does not run: to start it would publish whatever else it is configured for; "
                             "start it (systemctl start nginx), or remove it")
        installed = False
        try:
            if not nginx.present or nginx.unfinished:
                installed = True
                self._install_nginx(nginx)
            self._write(services, settings)
            touched = changes.changed or bool(changes.recovered)
            if changes.check_mode:
                if touched or not self._answers(services, settings):
                    changes.note(_SERVICE, "reloaded" if nginx.active else "started")
                return []
            if touched or not self._answers(services, settings):
                self._test()
                self._activate(nginx.active and not installed, settings)
            return self._prove(services, settings, quick=not touched)
        except BaseException as exc:
            said = "" if changes.check_mode else self._take_back(nginx, installed)
            if said and isinstance(exc, ProxyError):
                raise ProxyError("%s; %s" % (exc, said)) from None
            raise

    def absent(self, names: Sequence[str]) -> None:
        """Let these services not be behind the proxy; none named: let nothing of the proxy be there."""
        changes = self._changes
        nginx = self._nginx()
        there_at, there = self._there()
        left = proxyconf.without(there, names) if names else []
        if left:
            if len(left) != len(there):
                self._drop(left, nginx)
            return
        ours = nginx.ours and (nginx.present or bool(nginx.packages))
        if ours and self._others():
            self.warnings.append("nginx was installed for the proxy and serves others now (%s): it stays" % ", ".join(self._others()[:5]))
            ours = False
        going, taken = self._removable(nginx) if ours else ([], [])
        if ours and nginx.present and "nginx" not in going:
            self.warnings.append("nginx was installed for the proxy, and other packages need it now: it stays")
            ours = False
        if ours:
            self._consent("nginx was installed for the proxy and has to be removed with it")
        changed = changes.remove(CONF)
        for path in (USERS, TOKEN):
            changed = changes.remove(path, secret=True) or changed
        changes.remove_directory(FOLDER)
        if ours:
            for package in taken:
                changes.note("package %s" % package, "removed")
            if not changes.check_mode:
                changes.commit()
                self._stop()  # where apt fails, it must not serve on what is no longer configured
                self._purge(going)
        elif (changed or changes.recovered) and nginx.active:
            changes.note(_SERVICE, "reloaded")
            if not changes.check_mode:
                self._test()
                self._reload()
        changes.remove(MARKER)
        changes.remove_directory(HOME)
        if changed and not changes.check_mode and there_at:
            self._gone(there_at)

    def served(self) -> List[Dict[str, Any]]:
        return [{"name": one.name, "path": one.outer, "allow": list(one.allow)} for one in self._there()[1]]

    # Asking

    def _nginx(self) -> Nginx:
        about = self._marker()
        present = os.access(NGINX, os.X_OK)
        state = self._systemd.show([UNIT])[UNIT] if present else {}
        return Nginx(present, state.get("ActiveState") in ("active", "reloading"), about is not None,
                     (about or {}).get("state") == "installing", tuple((about or {}).get("packages", ())))

    def _marker(self) -> Optional[Dict[str, Any]]:
        """What was written down when nginx was installed; None where this module did not install it."""
        content = self._changes.read(MARKER)
        if content is None:
            return None
        try:
            about = json.loads(content.decode("utf-8"))
        except ValueError:
            about = None
        packages = about.get("packages", []) if isinstance(about, dict) else None
        if not isinstance(packages, list) or not all(isinstance(name, str) and _PACKAGE.match(name) for name in packages):
            raise ProxyError("%s is not as it was written; remove it where nginx is the host's own" % MARKER)
        return dict(about)

    def _there(self) -> Tuple[str, List[Service]]:
        content = self._changes.read(CONF)
        if content is None:
            return "", []
        try:
            return proxyconf.parse(content.decode("utf-8", "replace"))
        except ValueError as exc:
            raise ProxyError("%s is not as it was written (%s); remove it, or bring it back" % (CONF, exc)) from None

    def _guarded(self, wanted: Sequence[Service], promised: Sequence[str]) -> None:
        """A proxy beside an open port guards nothing: the service's own listener has to be closed to others already."""
        firewalled: Optional[List[int]] = None
        for one in wanted:
            target = one.target
            if target.unix or one.name in promised:
                continue
            opened = [found for found in listening.on_port(target.port) if not _loopback(str(found.address))]
            if not opened:
                continue
            firewalled = self._firewalled() if firewalled is None else firewalled
            if target.port not in firewalled:
                raise ProxyError("%s: its own pprof listens on %s, which no guard closes: a proxy beside an open port guards nothing; add "
                                 "bind or firewall to its means" % (one.name, listening.shown(opened[0])))

    def _firewalled(self) -> List[int]:
        try:
            rc, out, _err = self._run(["nft", "-j", "list", "table", nftables.FAMILY, nftables.TABLE])
            return list(nftables.guards_of_listing(nftables.listing(out))) if rc == 0 else []
        except (ProxyError, ValueError):
            return []

    def _port_free(self, wanted: str, there: str, services: Sequence[Service]) -> None:
        if there and proxyconf.listen(there) == proxyconf.listen(wanted):
            return
        for address, port in proxyconf.listen(wanted):
            if any(not one.target.unix and one.target.port == port for one in services):
                raise ProxyError("listen: port %d is the service's own" % port)
            taken = [one for one in listening.on_port(port) if _overlap(address, str(one.address))]
            if taken and not any(port == mine for _address, mine in (proxyconf.listen(there) if there else [])):
                raise ProxyError("listen: something listens on %s already; give another address or port" % listening.shown(taken[0]))

    def _consent(self, what: str) -> None:
        """Somebody has agreed. In check mode what nobody has agreed to is only told, and predicted on."""
        if self._install:
            return
        text = "pprof_guard_consent: %s, which needs consent: add install to pprof_guard_consent or preflight_consent" % what
        if not self._changes.check_mode:
            raise ProxyError(text)
        self.missing.append(text)

    def _others(self) -> List[str]:
        """Sites beside ours and the distribution's own: files somebody has put where nginx looks for them."""
        found = []
        for folder in ("/etc/nginx/sites-enabled", "/etc/nginx/conf.d", "/etc/nginx/modules-enabled"):
            names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
            found += ["%s/%s" % (folder, name) for name in names if "%s/%s" % (folder, name) not in (CONF, DEFAULT_SITE)]
        return found

    # Doing

    def _write(self, services: Sequence[Service], settings: Settings) -> None:
        changes = self._changes
        changes.directory(HOME)
        changes.directory(FOLDER)
        gid = _worker_group()
        if settings.users:
            old = changes.read(USERS)
            text = proxyconf.users_file(settings.users, old.decode("utf-8", "replace") if old is not None else None)
            changes.write(USERS, text, mode=0o640, owner=(0, gid), secret=True)
        else:
            changes.remove(USERS, secret=True)
        if settings.token:
            changes.write(TOKEN, proxyconf.token_file(settings.token), mode=0o600, owner=(0, 0), secret=True)
        else:
            changes.remove(TOKEN, secret=True)
        text = proxyconf.render(services, settings, ipv6=os.path.exists("/proc/net/if_inet6"))
        if changes.check_mode and not os.path.isdir(os.path.dirname(CONF)):
            changes.note(CONF, "created")  # the folder comes with the package
        else:
            changes.write(CONF, text, owner=(0, 0))

    def _drop(self, left: Sequence[Service], nginx: Nginx) -> None:
        """Only these services stay. What holds for all of them stays as the file has it."""
        changes = self._changes
        content = (changes.read(CONF) or b"").decode("utf-8", "replace")
        changes.write(CONF, proxyconf.keep(content, left))
        if nginx.active:
            changes.note(_SERVICE, "reloaded")
            if not changes.check_mode:
                try:
                    self._test()
                    self._reload()
                except BaseException:
                    self._take_back(nginx, False)
                    raise

    def _install_nginx(self, nginx: Nginx) -> None:
        changes = self._changes
        packages, upgraded = (list(nginx.packages), []) if nginx.unfinished else self._packages()
        for package in packages:
            changes.note("package %s" % package, "installed")
        for package in upgraded:
            changes.note("package %s" % package, "upgraded")
        changes.directory(HOME)
        about = {"packages": packages, "state": "installing", "welcome": not os.path.exists(WELCOME)}
        if not nginx.unfinished:
            changes.write(MARKER, json.dumps(about, sort_keys=True) + "\n", mode=0o600)
        if changes.check_mode:
            return
        changes.commit()
        self._apt_install(interrupted=nginx.unfinished)
        others = [name for name in packages if name != "nginx"]
        if nginx.unfinished and others:
            self._run(["apt-mark", "auto", *others])  # a killed apt may not have come to note that nobody asked for them
        about["state"] = "installed"
        changes.write(MARKER, json.dumps(about, sort_keys=True) + "\n", mode=0o600)
        changes.commit()

    def _packages(self) -> Tuple[List[str], List[str]]:
        """What apt would install and what it would upgrade for that, by its own simulation."""
        for update in (False, True):
            if update:
                if self._changes.check_mode:
                    break
                self._apt(["update"])
            rc, out, _err = self._apt(["install", "--simulate", "--no-install-recommends", "nginx"], check=False)
            if rc == 0:
                new, upgraded, removed = _simulated(out)
                if removed:
                    raise ProxyError("to install nginx, apt would remove %s: install it yourself, if that is meant" % ", ".join(removed))
                return new, upgraded
        if self._changes.check_mode:
            self.warnings.append("apt's lists do not know nginx yet: which packages it would install cannot be predicted")
            return ["nginx"], []
        raise ProxyError("apt cannot install nginx: %s" % _last(_err))

    def _apt_install(self, *, interrupted: bool) -> None:
        """Install without starting: the distribution's own site would listen on port 80 of every address."""
        changes = self._changes
        before = changes.state(POLICY)
        changes.write(POLICY, "#!/bin/sh\nexit 101\n", mode=0o755)  # invoke-rc.d(8): action forbidden by policy
        try:
            if interrupted:
                self._run(["dpkg", "--configure", "-a"], APT_SECONDS)
            self._apt(["install", "--no-install-recommends", "nginx"])
        finally:
            if before.kind == "file":
                changes.write(POLICY, before.content, mode=before.mode, owner=(before.uid, before.gid))
            else:
                changes.remove(POLICY)
        if os.path.islink(DEFAULT_SITE):
            os.unlink(DEFAULT_SITE)

    def _apt(self, arguments: Sequence[str], *, check: bool = True) -> Tuple[int, str, str]:
        # Lock::Timeout: unattended-upgrades may be at work.
        argv = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=60",
                "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", *arguments]
        rc, out, err = self._run(argv, APT_SECONDS)
        if rc and check:
            raise ProxyError("apt-get %s failed: %s" % (arguments[0], _last(err or out)))
        return rc, out, err

    def _removable(self, nginx: Nginx) -> Tuple[List[str], List[str]]:
        """(those of the packages of ours that can be purged and take nothing else with them, what that really removes).

        Others may have come to need them since, and somebody may have said that one is wanted (apt-mark(8), manual).
        """
        manual = set() if nginx.unfinished else set(self._run(["apt-mark", "showmanual"], APT_SECONDS)[1].split()) - {"nginx"}
        ours = set(nginx.packages)
        # nginx first: what only its modules need goes with it.
        left = sorted(ours - manual, key=lambda name: (not name.startswith("nginx"), name))
        taken = self._purged(left) if left else []
        if taken is not None and set(taken) <= ours - manual:
            return left, taken
        going: List[str] = []
        result: List[str] = []
        for name in left:
            taken = self._purged([*going, name])
            if taken is not None and set(taken) <= ours - manual:
                going, result = [*going, name], taken
        if nginx.present and "nginx" not in going:
            rc, _out, err = self._apt(["purge", "--simulate", "nginx"], check=False)
            if rc:
                raise ProxyError("apt cannot purge nginx: %s" % _last(err))
        return going, result

    def _purged(self, packages: Sequence[str]) -> Optional[List[str]]:
        """What apt would remove, by its own simulation; None where it cannot, or would put something else in its place."""
        rc, out, _err = self._apt(["purge", "--simulate", *packages], check=False)
        new, upgraded, removed = _simulated(out)
        return None if rc or new or upgraded else removed

    def _stop(self) -> None:
        if os.access(NGINX, os.X_OK):
            rc, _out, err = self._run(["systemctl", "--no-ask-password", "stop", UNIT])
            if rc and "not loaded" not in err:
                raise ProxyError("systemctl stop nginx failed: %s" % _last(err))

    def _purge(self, packages: Sequence[str]) -> None:
        about = self._marker() or {}
        if packages:
            self._apt(["purge", *packages])
        if about.get("welcome"):
            for path in (WELCOME, os.path.dirname(WELCOME), "/var/www"):
                try:
                    (os.rmdir if os.path.isdir(path) else os.unlink)(path)
                except OSError:
                    break  # there is no such page, or others keep theirs beside it
        self._systemd.daemon_reload()
        self._systemd.reset_failed(UNIT)

    def _test(self) -> None:
        rc, out, err = self._run([NGINX, "-t"])
        if rc:
            lines = [line for line in (err + out).splitlines() if "[emerg]" in line or "[crit]" in line] or (err + out).splitlines()
            raise ProxyError("nginx -t refuses the configuration: %s" % _last("\n".join(lines[:1])))

    def _activate(self, running: bool, settings: Settings) -> None:
        if running:
            self._changes.note(_SERVICE, "reloaded")
            self._reload()
        else:
            self._changes.note(_SERVICE, "started")
            try:
                self._systemd.reset_failed(UNIT)
                self._systemd.start(UNIT)
                self._systemd.wait_active(UNIT, timeout=self._timeout, settle=0.5)
            except units.UnitError as exc:
                raise ProxyError("%s%s" % (exc, self._journal())) from None

    def _reload(self) -> None:
        """Tell nginx, and wait until its old workers take no more connections: a reload that fails leaves them at work."""
        main = int(self._systemd.show([UNIT])[UNIT].get("MainPID") or 0)
        before = set(_workers(main))
        rc, _out, err = self._run(["systemctl", "reload", UNIT])
        if rc:
            raise ProxyError("systemctl reload nginx failed: %s%s" % (_last(err), self._journal()))
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            now = _workers(main)
            if now and not before & set(now):
                return
            time.sleep(0.05)
        raise ProxyError("nginx did not take the new configuration within %g s%s" % (self._timeout, self._journal()))

    def _answers(self, services: Sequence[Service], settings: Settings) -> bool:
        """Whether what answers on the port is our proxy, as a first look tells."""
        door = _doors(settings)[0]
        return all(proxyproof.ask(door, "GET", one.outer, timeout=2.0).status in (401, 403) for one in services)

    def _prove(self, services: Sequence[Service], settings: Settings, *, quick: bool) -> List[Proof]:
        deadline = time.monotonic() + PROOF_SECONDS
        proofs: List[Proof] = []
        for door in _doors(settings):
            proofs.append(proxyproof.prove(door, services, settings, deadline=deadline, quick=quick or bool(proofs)))
        wrong = [fault for proof in proofs for fault in proof.faults]
        if wrong:
            more = " (and %d more)" % (len(wrong) - 1) if len(wrong) > 1 else ""
            raise ProxyError("the proxy does not do what it should: %s%s" % (wrong[0], more))
        return proofs

    def _gone(self, where: str) -> None:
        address, port = proxyconf.listen(where)[0]
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            if not any(_overlap(address, str(one.address)) for one in listening.on_port(port)):
                return
            time.sleep(0.1)
        raise ProxyError("port %d still answers after the proxy was removed" % port)

    def _take_back(self, nginx: Nginx, installed: bool) -> str:
        """After a failure: the files as they were, and nginx told so. Returns what else there is to say."""
        changes = self._changes
        said = ""
        try:
            if not nginx.active:
                self._stop()  # it was started here, with what was refused
            changes.undo()
            if installed:
                now = self._nginx()
                going, _taken = self._removable(now)
                # An installation that an earlier call began may be somebody else's ground by now.
                others = self._others() if nginx.unfinished else []
                if not now.present or ("nginx" in going and not others):
                    self._purge(going)
                    # Only now: as long as nginx is there, the next call has to know whose it is.
                    changes.remove(MARKER)
                    changes.remove_directory(HOME)
                    changes.commit()
                    return ""
                said = "nginx stays, for other packages need it"
                if others:
                    said = "nginx stays, for it serves others by now (%s)" % ", ".join(others[:5])
            if nginx.active:
                rc, _out, _err = self._run([NGINX, "-t"])
                if rc == 0:
                    self._run(["systemctl", "reload", UNIT])
        except (ProxyError, units.UnitError) as exc:
            return "and it could not all be taken back: %s" % exc
        return said

    def _journal(self) -> str:
        lines = self._systemd.journal_tail(UNIT, lines=5)
        try:
            with open("/var/log/nginx/error.log", encoding="utf-8", errors="replace") as stream:
                stream.seek(max(0, os.path.getsize(stream.name) - 4096))
                lines += [redact.redact_text(line)[:300] for line in stream.read().splitlines() if "[emerg]" in line][-2:]
        except OSError:
            pass
        return "; it says: %s" % " | ".join(lines) if lines else ""

    def _run(self, argv: Sequence[str], seconds: float = COMMAND_SECONDS) -> Tuple[int, str, str]:
        try:
            return Context(timeout=seconds).run(argv, timeout=seconds)
        except Unavailable as exc:
            raise ProxyError(str(exc)) from None
        except (TimeoutError, ValueError) as exc:
            raise ProxyError("%s: %s" % (os.path.basename(argv[0]), exc)) from None


def run(changes: Changes, **arguments: Any) -> Dict[str, Any]:
    """What the module does with arguments as in proxyconf.ARGUMENTS, and what it returns beside the changes."""
    proxy = Proxy(changes, install=bool(arguments["install"]), timeout=float(arguments["timeout"]))
    tried, certificate = 0, ""
    if arguments["state"] == "present":
        faults, wanted, settings = [], [], None
        try:
            settings = proxyconf.settings(arguments)
        except ValueError as exc:
            faults.append(str(exc))
        try:
            wanted = proxyconf.services(arguments)
        except ValueError as exc:
            faults.append(str(exc))
        if faults or settings is None:
            raise ProxyError("; ".join(faults))
        certificate = fingerprint(settings)
        promised = [str(one["name"]) for one in arguments["services"] if one["guarded"]]
        tried = sum(one.tried for one in proxy.present(
            wanted, settings, guarded=promised, remove=[str(name) for name in arguments["remove"]]))
    else:
        proxy.absent([str(one["name"]) for one in arguments["services"]])
    return {"services": proxy.served(), "tried": tried, "client": sshclient.address(), "missing": proxy.missing, "certificate": certificate,
            "warnings": proxy.warnings}


def _doors(settings: Settings) -> List[Door]:
    """Where the proxy is reached from the host itself, on each address family."""
    ipv6 = os.path.exists("/proc/net/if_inet6")
    found = []
    for address, port in proxyconf.listen(settings.listen):
        if ":" in address and not ipv6:
            continue
        found.append(Door({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address), port, settings.tls, fingerprint(settings)))
    return found


def fingerprint(settings: Settings) -> str:
    """The SHA-256 of the certificate that nginx is to show: the first one in the file. Empty where there is none to read."""
    if not settings.tls:
        return ""
    try:
        text = readfile.read_regular(settings.certificate, 1 << 20).decode("ascii", "replace")
        found = re.search("-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\\s]+)-----END CERTIFICATE-----", text)
        return hashlib.sha256(base64.b64decode(found.group(1))).hexdigest() if found else ""
    except (OSError, ValueError):
        return ""  # nginx -t says what is wrong with it


def _simulated(text: str) -> Tuple[List[str], List[str], List[str]]:
    """(new, upgraded, removed) packages of what ``apt-get --simulate`` prints: ``Inst name (new ...)``, ``Inst name [old]
    (new ...)``, ``Remv name [old]`` and ``Purg name [old]``."""
    words = [line.split() for line in text.splitlines()]
    steps = [one for one in words if len(one) > 1 and one[0] in ("Inst", "Remv", "Purg")]
    new = sorted(one[1] for one in steps if one[0] == "Inst" and not (len(one) > 2 and one[2].startswith("[")))
    upgraded = sorted(one[1] for one in steps if one[0] == "Inst" and one[1] not in new)
    return new, upgraded, sorted({one[1] for one in steps if one[0] != "Inst"})


def _workers(main: int) -> List[int]:
    """The processes under nginx's main one that still accept connections."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as stream:
                parent = int(stream.read().rpartition(")")[2].split()[1])
            if parent != main:
                continue
            with open("/proc/%s/cmdline" % name, encoding="utf-8", errors="replace") as stream:
                title = stream.read()
        except (OSError, ValueError, IndexError):
            continue  # it has just ended
        if "worker process" in title and "shutting down" not in title:
            found.append(int(name))
    return found


def _worker_group() -> int:
    """The group of nginx's workers, who open the users file themselves (``user`` in nginx.conf)."""
    user, group = "www-data", ""
    try:
        with open("/etc/nginx/nginx.conf", encoding="utf-8", errors="replace") as stream:
            for one in nginxconf.parse(stream.read()):
                if one.name == "user" and one.args:
                    user, group = one.args[0], one.args[1] if len(one.args) > 1 else ""
    except (OSError, ValueError):
        pass
    try:
        return grp.getgrnam(group).gr_gid if group else pwd.getpwnam(user).pw_gid
    except KeyError:
        raise ProxyError("nginx's user %s is not there" % (group or user)) from None


def _loopback(address: str) -> bool:
    address = address[7:] if address.startswith("::ffff:") else address
    return ipaddress.ip_address(address).is_loopback


def _overlap(mine: str, theirs: str) -> bool:
    """Whether two sockets of one port would meet. A socket bound to :: takes IPv4 too, as a rule."""
    if mine == theirs or theirs == "::" or mine == "::":
        return True
    return (":" in mine) == (":" in theirs) and "0.0.0.0" in (mine, theirs)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = re.sub(r"^nginx: ", "", lines[-1]) if lines else "it said nothing"
    return redact.redact_text(shown)[:400]
