"""Builds small OCI images from Debian's packages. See build.sh.

The same packages give the same bytes: entries are sorted, times fixed, owners numeric.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import recipes
from archive import write_archive
from elf import needed_files

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise SystemExit("build.sh: '%s' failed:\n%s" % (" ".join(command), "\n".join(tail)))
    return done.stdout


class Packages:
    """Debian packages, downloaded and unpacked into a folder, never installed."""

    def __init__(self, folder):
        self.downloads = folder / "debs"
        self.root = folder / "root"
        self.seen = set()
        self.is_updated = False
        self.downloads.mkdir()
        self.root.mkdir()

    def add(self, *names):
        """Unpacks packages, and the libraries that they depend on."""
        queue = list(names)
        while queue:
            batch = [name for name in dict.fromkeys(queue) if name not in self.seen]
            self.seen.update(batch)
            queue = []
            for deb in self.download(batch):
                run("dpkg-deb", "-x", str(deb), str(self.root))
                for field in ("Pre-Depends", "Depends"):
                    queue += self.libraries(run("dpkg-deb", "-f", str(deb), field))
                deb.unlink()

    def download(self, names):
        if not names:
            return []
        command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *names]
        done = subprocess.run(command, cwd=self.downloads, capture_output=True, text=True)
        if done.returncode != 0 and not self.is_updated:
            # No package lists, or old ones.
            self.is_updated = True
            if os.geteuid() == 0:
                run("apt-get", "-qq", "update")
            run(*command, cwd=self.downloads)
        elif done.returncode != 0:
            raise SystemExit("build.sh: 'apt-get download' failed:\n" + done.stderr.strip())
        return sorted(self.downloads.glob("*.deb"))

    @staticmethod
    def libraries(depends):
        """The library packages of a Depends field; the first of alternatives."""
        names = (part.split("|")[0].split("(")[0].split(":")[0].strip() for part in depends.split(","))
        return [name for name in names if name.startswith("lib") or name.startswith("zlib")]


def merged(path):
    """Debian's merged /usr: /bin and /lib are links into it."""
    parts = path.split("/")
    if parts[0] in ("bin", "sbin", "lib", "lib64", "lib32"):
        return "usr/" + path
    return path


def build_layer(recipe, folder):
    """Puts a layer's files together in a folder of their own."""
    packages = Packages(folder)
    packages.add(*recipe.packages)
    layer = folder / "layer"
    layer.mkdir()
    for pattern in recipe.files:
        matches = sorted(packages.root.glob(pattern))
        if not matches:
            raise SystemExit("build.sh: no file '%s' in %s" % (pattern, ", ".join(recipe.packages)))
        for source in matches:
            target = layer / merged(str(source.relative_to(packages.root)))
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir() and not source.is_symlink():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(source, target, follow_symlinks=False)
    if recipe.finish:
        recipe.finish(layer, packages.root)
    for library, source in needed_files(layer, packages.root).items():
        target = layer / merged(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    return layer


def fingerprint(image):
    """Changes when the image would: the scripts, the recipe's name, Debian's release."""
    digest = hashlib.sha256(image.name.encode())
    for script in sorted([*HERE.glob("*.py"), HERE / "build.sh"]):
        digest.update(script.read_bytes())
    release = Path("/etc/os-release")
    digest.update(release.read_bytes() if release.exists() else b"")
    digest.update(run("dpkg", "--print-architecture").encode())
    return digest.hexdigest()


def build(image, is_forced):
    target = OUT / (image.name + ".tar")
    stamp = OUT / (image.name + ".fresh")
    wanted = fingerprint(image)
    if not is_forced and target.exists() and stamp.exists() and stamp.read_text() == wanted:
        print("%s is fresh" % target.relative_to(HERE))
        return
    OUT.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="images-", dir=OUT) as work:
        layers = []
        for recipe in image.layers:
            folder = Path(work) / recipe.name
            folder.mkdir()
            layers.append((build_layer(recipe, folder), recipe.owners))
        half_made = Path(work) / "image.tar"
        size = write_archive(half_made, image, layers)
        half_made.replace(target)
    stamp.write_text(wanted)
    print("%s: %s, %.1f MB" % (target.relative_to(HERE), image.reference, size / 1e6))


def main():
    os.umask(0o022)
    arguments = sys.argv[1:]
    is_forced = "--force" in arguments
    names = [name for name in arguments if name != "--force"] or recipes.DEFAULT
    unknown = [name for name in names if name not in recipes.IMAGES]
    if unknown:
        known = ", ".join(recipes.IMAGES)
        raise SystemExit("build.sh: no image '%s'; there are %s" % (unknown[0], known))
    for name in names:
        build(recipes.IMAGES[name], is_forced)


if __name__ == "__main__":
    main()
