"""Writes an image as an OCI archive: the same files give the same bytes."""

import gzip
import hashlib
import io
import json
import os
import tarfile

# Every file's time: 2024-01-01. Registries and caches compare digests, so nothing may vary.
MODIFIED = 1704067200
CREATED = "2024-01-01T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_layer(folder, owners):
    """The tar of a folder; `owners` maps paths to (uid, gid)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            info = tar.gettarinfo(str(path), name)
            info.mtime = MODIFIED
            info.uid, info.gid = owners.get(name, (0, 0))
            info.uname = info.gname = ""
            if info.isreg():
                with path.open("rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)
    return buffer.getvalue()


def write_archive(target, image, layers, for_docker=False):
    """Writes the archive and answers with its size; `for_docker` adds what `docker load` before 25 reads."""
    blobs, descriptors, diff_ids = {}, [], []

    def add(data, media_type):
        blobs[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    for folder, owners in layers:
        plain = write_layer(folder, owners)
        diff_ids.append(digest_of(plain))
        packed = gzip.compress(plain, compresslevel=6, mtime=0)
        descriptors.append(add(packed, "application/vnd.oci.image.layer.v1.tar+gzip"))
    machine = os.uname().machine
    config = {
        "created": CREATED,
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": image.config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": CREATED, "created_by": "examples/images/build.sh"} for _ in layers],
    }
    platform = {"os": "linux", "architecture": config["architecture"]}
    config = add(dump(config), "application/vnd.oci.image.config.v1+json")
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": descriptors}
    entry = add(dump(manifest), manifest_type)
    entry["platform"] = platform
    entry["annotations"] = {
        "io.containerd.image.name": "docker.io/library/" + image.reference,
        "org.opencontainers.image.ref.name": image.reference.split(":")[1],
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": dump(index)}
    if for_docker:
        place = lambda part: "blobs/" + part["digest"].replace(":", "/")
        files["manifest.json"] = dump([{
            "Config": place(config), "RepoTags": [image.reference], "Layers": [place(layer) for layer in descriptors],
        }])
    files.update({"blobs/" + digest.replace(":", "/"): data for digest, data in blobs.items()})
    with tarfile.open(target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(files[name]), MODIFIED, 0o644
            tar.addfile(info, io.BytesIO(files[name]))
    return target.stat().st_size


def dump(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
