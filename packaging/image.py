"""Makes the image of Longshore itself, as an OCI archive that `docker load` takes too: image.py BINARY VERSION TARGET.

A small system (busybox), the static binary, and what an instance calls: nft, and certificates for
registries. `longshore up` in it needs --privileged: it makes containers.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples/images"))

import build  # noqa: E402
import recipes  # noqa: E402
from archive import write_archive  # noqa: E402

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def main():
    os.umask(0o022)
    binary, version, target = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

    def finish(layer, root):
        program = layer / "usr/bin/longshore"
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(binary, program)
        program.chmod(0o755)
        certificates = layer / CERTIFICATES[1:]
        certificates.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CERTIFICATES, certificates)
        recipes.folder(layer, "var/lib/longshore", 0o700)

    tools = recipes.Layer("longshore", ["nftables"], ["usr/sbin/nft"], finish)
    image = recipes.Image("longshore", [recipes.BASE, tools], {
        "Entrypoint": ["longshore"],
        # Inside a container only what is published or shares its network reaches it.
        "Cmd": ["up", "--listen", "0.0.0.0:4566", "--insecure-http"],
        "Env": [recipes.PATH, "SSL_CERT_FILE=" + CERTIFICATES],
        "ExposedPorts": {"4566/tcp": {}},
        "Volumes": {"/var/lib/longshore": {}},
        "StopSignal": "SIGTERM",
        "Labels": {
            "org.opencontainers.image.title": "Longshore",
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    })
    with tempfile.TemporaryDirectory(prefix="image-", dir=target.parent) as work:
        layers = []
        for recipe in image.layers:
            folder = Path(work) / recipe.name
            folder.mkdir()
            layers.append((build.build_layer(recipe, folder), recipe.owners))
        half_made = Path(work) / "image.tar"
        size = write_archive(half_made, image, layers, for_docker=True)
        half_made.replace(target)
    print("%s: longshore:latest, %.1f MB" % (target.name, size / 1e6), file=sys.stderr)


main()
