"""Repacks Debian's packages into the archives that the upstream projects release: what `lab/mirror` serves."""

import fcntl
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("KDEPLOY_LAB", "/var/tmp/kdeploy-lab"))
# A changed recipe makes a new mirror.
WWW = CACHE / "mirror" / hashlib.sha256(Path(__file__).read_bytes() + (LAB / "oci-image").read_bytes()).hexdigest()[:12]
NODE_GLIBC = (2, 36)  # bookworm's
# The suites containerd comes from. The later ones bring upgrades to test; without them the mirror still serves.
SUITES = {"bookworm": True, "trixie": False, "sid": False}
IMAGE = "docker.io/library/busybox:lab"
# What nodes can install with apt, together with what they lack for it.
APT_PACKAGES = ["docker.io", "containernetworking-plugins", "socat", "jq", "conntrack"]


def say(text):
    print(f"mirror: {text}", file=sys.stderr)


def die(text):
    say(text)
    sys.exit(1)


# --- packages -------------------------------------------------------------------------------------------------------------------


class Suite:
    """Debian packages of one suite, by an apt of its own: the machine's sources and lists are left alone."""

    def __init__(self, name, work):
        self.name = name
        self.work = work / name
        (self.work / "lists" / "partial").mkdir(parents=True)
        (self.work / "cache" / "archives" / "partial").mkdir(parents=True)
        (self.work / "status").touch()
        (self.work / "sources.list").write_text(
            f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {name} main\n"
        )
        self.apt("update")

    def apt(self, *words, status=None):
        w = self.work
        options = {
            "Dir::Etc::sourcelist": w / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": w / "lists",
            "Dir::State::status": status or w / "status",
            "Dir::Cache": w / "cache",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Check-Valid-Until": "false",
        }
        command = ["apt-get", "-q", *(f"-o{k}={v}" for k, v in options.items()), *words]
        done = subprocess.run(command, cwd=w, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ({self.name}): {done.stderr.strip()[-600:]}")

    def unpack(self, package):
        """(upstream version, folder with the package's files)"""
        self.apt("download", package)
        deb = next(self.work.glob(f"{package}_*.deb"))
        version = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True).stdout
        root = self.work / f"root-{package}"
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        # 1.6.20~ds1-1+deb12u3, 20.10.24+dfsg1-1 and 1:2.3-4 to what upstream calls it
        return re.match(r"(?:\d+:)?([0-9.]+)", version).group(1).rstrip("."), root


def apt_repository(suite, folder):
    """A flat repository of APT_PACKAGES and their dependencies, as far as a node does not have them."""
    subprocess.run([LAB / "lab", "setup", "node"], check=True)
    stack = subprocess.run([LAB / "lab", "stack", "node"], check=True, capture_output=True, text=True).stdout.strip()
    status = next(s for s in (Path(layer) / "var/lib/dpkg/status" for layer in stack.split(":")) if s.exists())
    suite.apt("-y", "--download-only", "--no-install-recommends", "install", *APT_PACKAGES, status=status)
    folder.mkdir()
    index = []
    for deb in sorted((suite.work / "cache/archives").glob("*.deb")):
        shutil.copy(deb, folder)
        control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout.strip()
        data = deb.read_bytes()
        index.append(f"{control}\nFilename: ./{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n")
    (folder / "Packages").write_text("\n".join(index))
    packages = (folder / "Packages").read_bytes()
    release = f"Suite: lab\nDate: {time.strftime('%a, %d %b %Y %H:%M:%S UTC', time.gmtime())}\n"
    (folder / "Release").write_text(f"{release}SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n")


def runs_on_node(program):
    """Whether the program asks for no newer C library than a node has."""
    wanted = re.findall(rb"GLIBC_(\d+)\.(\d+)", program.read_bytes())
    return all((int(a), int(b)) <= NODE_GLIBC for a, b in wanted)


def pick(root, *paths):
    """The first of the paths that is there, as a name and its bytes."""
    for path in paths:
        if (root / path).exists():
            return (root / path).read_bytes()
    raise RuntimeError(f"none of {', '.join(paths)} in {root.name}")


# --- archives -------------------------------------------------------------------------------------------------------------------


def tar_gz(members, owner=(0, 0)):
    """The same members give the same bytes. A name that ends in / is a folder."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.rstrip("/") or ".")
            info.mode, info.uid, info.gid = 0o755, *owner
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 1, mtime=0)


def put(www, path, data, sums=()):
    file = www / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    for kind, suffix in sums:
        file.with_name(file.name + suffix).write_text(f"{hashlib.new(kind, data).hexdigest()}  {file.name}\n")


def build():
    """Makes WWW if it is not there. One at a time; a killed build leaves nothing that a later one takes for finished."""
    WWW.parent.mkdir(parents=True, exist_ok=True)
    with open(WWW.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (WWW / "versions.json").exists():
            repack()


def repack():
    if os.geteuid() != 0:
        die("must run as root to build (apt's own folders)")
    say("repacking Debian's packages (once, about a minute)")
    for left in WWW.parent.glob("tmp*"):
        shutil.rmtree(left)
    arch = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[arch]
    found = {"arch": arch, "containerd": [], "runc": [], "cni": [], "docker": []}
    with tempfile.TemporaryDirectory(dir=WWW.parent) as scratch:
        work, www = Path(scratch) / "work", Path(scratch) / "www"
        suites = []
        for name, needed in SUITES.items():
            try:
                suites.append(Suite(name, work))
            except RuntimeError as e:
                if needed:
                    die(f"Debian's archive cannot be read: {e}")
                say(f"goes without {name}: {e}")

        for suite in suites:
            version, root = suite.unpack("containerd")
            if version in found["containerd"]:
                continue
            programs = {p.name: p for p in sorted((root / "usr/bin").iterdir())}
            if not all(runs_on_node(p) for p in programs.values()):
                say(f"containerd {version} ({suite.name}) needs a newer C library than the nodes have: left out")
                continue
            members = {"bin/": None} | {f"bin/{name}": p.read_bytes() for name, p in programs.items()}
            path = f"containerd/containerd/releases/download/v{version}/containerd-{version}-linux-{arch}.tar.gz"
            put(www, path, tar_gz(members), [("sha256", ".sha256sum")])
            found["containerd"].append(version)

            version, root = suite.unpack("containernetworking-plugins")
            programs = {p.name: p for p in sorted((root / "usr/lib/cni").iterdir())}
            if version not in found["cni"] and all(runs_on_node(p) for p in programs.values()):
                # Upstream's archives belong to whoever built them, since 1.5.0.
                members = {"./": None} | {f"./{name}": p.read_bytes() for name, p in programs.items()}
                path = f"containernetworking/plugins/releases/download/v{version}/cni-plugins-linux-{arch}-v{version}.tgz"
                put(www, path, tar_gz(members, owner=(1001, 127)), [("sha256", ".sha256"), ("sha512", ".sha512")])
                found["cni"].append(version)

            version, root = suite.unpack("runc")
            if version not in found["runc"] and runs_on_node(root / "usr/sbin/runc"):
                base = f"opencontainers/runc/releases/download/v{version}"
                data = pick(root, "usr/sbin/runc")
                put(www, f"{base}/runc.{arch}", data)
                # Upstream's one sums file for all architectures and the sources.
                others = [a for a in ("amd64", "arm64", "armel", "ppc64le", "s390x") if a != arch]
                lines = [(hashlib.sha256(a.encode()).hexdigest(), f"runc.{a}") for a in others]
                lines.append((hashlib.sha256(data).hexdigest(), f"runc.{arch}"))
                lines.append((hashlib.sha256(b"source").hexdigest(), "runc.tar.xz"))
                sums = "".join(f"{digest} *{name}\n" for digest, name in sorted(lines, key=lambda l: l[1]))
                put(www, f"{base}/runc.sha256sum", sums.encode())
                found["runc"].append(version)

        debian = suites[0]
        version, docker = debian.unpack("docker.io")
        roots = {p: debian.unpack(p)[1] for p in ("containerd", "runc", "tini", "busybox-static") if not (debian.work / f"root-{p}").exists()}
        roots |= {p: debian.work / f"root-{p}" for p in ("containerd", "runc")}
        bundle = {"docker/": None}
        for name, root, *paths in (
            ("containerd", roots["containerd"], "usr/bin/containerd"),
            ("containerd-shim", roots["containerd"], "usr/bin/containerd-shim"),
            ("containerd-shim-runc-v2", roots["containerd"], "usr/bin/containerd-shim-runc-v2"),
            ("ctr", roots["containerd"], "usr/bin/ctr"),
            ("docker", docker, "usr/bin/docker"),
            ("docker-init", roots["tini"], "usr/bin/tini-static"),
            ("docker-proxy", docker, "usr/bin/docker-proxy", "usr/sbin/docker-proxy"),
            ("dockerd", docker, "usr/sbin/dockerd", "usr/bin/dockerd"),
            ("runc", roots["runc"], "usr/sbin/runc"),
        ):
            bundle[f"docker/{name}"] = pick(root, *paths)
        put(www, f"linux/static/stable/{machine}/docker-{version}.tgz", tar_gz(bundle, owner=(1000, 1000)))
        found["docker"].append(version)

        apt_repository(debian, www / "debian")

        busybox = work / "busybox"
        busybox.write_bytes(pick(roots["busybox-static"], "bin/busybox", "usr/bin/busybox"))
        busybox.chmod(0o755)
        applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
        image = www / "images" / "busybox.tar"
        image.parent.mkdir(parents=True)
        links = [f"/bin/{a}=busybox" for a in applets if a != "busybox"]
        subprocess.run(
            [sys.executable, LAB / "oci-image", image, IMAGE, "--arch", arch, "--file", f"{busybox}=/bin/busybox", "--dir", "/tmp:1777", "--dir", "/proc"]
            + [word for link in links for word in ("--link", link)]
            + ["--command", "/bin/sh"],
            check=True,
        )
        (www / "versions.json").write_text(json.dumps(found, indent=2) + "\n")
        shutil.rmtree(WWW, ignore_errors=True)
        os.rename(www, WWW)
    say(", ".join(f"{k} {' '.join(v)}" for k, v in found.items() if k != "arch"))
