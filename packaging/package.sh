#!/usr/bin/env bash
# Makes what is given to others, in target/package: a static binary, a Debian package, an image of
# Longshore itself, a list of what is in them, checksums. Run through `./x package`.
#
#   package.sh [binary] [deb] [image]     only these; all without arguments
#
# LONGSHORE_PROFILE=dev packages a debug build: for trying the packaging, not for others.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${LONGSHORE_PROFILE:-release}
folder=$profile; [ "$profile" != dev ] || folder=debug
machine=$(uname -m)
architecture=$(dpkg --print-architecture)
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
target=$machine-unknown-linux-musl
build=${CARGO_TARGET_DIR:-target}
out=$build/package
name=longshore-$version-$machine-linux
# Every file's time is that of the last change, so that the same sources give the same bytes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

say() { printf '==> %s\n' "$*" >&2; }

# Debian's libseccomp.a is built for glibc, and all that it wants beyond what musl has is the checked
# form of fprintf.
musl_libraries() {
  local libraries=$build/musl-libraries
  mkdir -p "$libraries"
  cp "/usr/lib/$machine-linux-gnu/libseccomp.a" "$libraries/libseccomp.a"
  musl-gcc -O2 -c packaging/fortified.c -o "$libraries/fortified.o"
  ar r "$libraries/libseccomp.a" "$libraries/fortified.o" 2>/dev/null
  readlink -f "$libraries"
}

binary() {
  say "building the static binary ($profile)"
  rustup target list --installed | grep -qx "$target" || rustup target add "$target"
  local libraries variable=CC_${target//-/_}
  libraries=$(musl_libraries)
  env LIBSECCOMP_LIB_PATH="$libraries" "$variable=musl-gcc" \
    cargo build --profile "$profile" --package longshore --target "$target"
  install -m 755 "$build/$target/$folder/longshore" "$out/longshore"
  [ "$profile" = dev ] || strip "$out/longshore"
  if readelf --program-headers "$out/longshore" | grep -q INTERP; then
    echo "package.sh: the binary is not static" >&2; exit 1
  fi
  tar --create --gzip --file "$out/$name.tar.gz" --owner=0 --group=0 --mtime="@$SOURCE_DATE_EPOCH" \
    --transform "s,^,$name/," --directory "$out" longshore \
    --directory "$PWD" LICENSE README.md
}

deb() {
  say "making the Debian package"
  local root=$out/deb
  rm -rf "$root"
  install -D -m 755 "$out/longshore" "$root/usr/bin/longshore"
  for unit in packaging/systemd/*.service; do
    install -D -m 644 "$unit" "$root/lib/systemd/system/$(basename "$unit")"
  done
  install -D -m 644 packaging/config/longshore.toml "$root/etc/longshore/longshore.toml"
  local doc=$root/usr/share/doc/longshore
  for role in agent balancer; do
    install -D -m 644 "packaging/config/$role.env.example" "$doc/examples/$role.env"
  done
  install -m 644 packaging/debian/copyright "$doc/copyright"
  gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
  printf '%s (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n' longshore "$version" \
    "$(sed -n 's/^Maintainer: //p' packaging/debian/control.in)" \
    "$(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
  mkdir -p "$doc/guides"
  install -m 644 docs/guides/*.md "$doc/guides/"
  "$out/longshore" man "$root/usr/share/man/man1"
  gzip -9n "$root"/usr/share/man/man1/*.1
  local vendor=$root/usr/share
  mkdir -p "$vendor/bash-completion/completions" "$vendor/zsh/vendor-completions" \
    "$vendor/fish/vendor_completions.d"
  "$out/longshore" completions bash >"$vendor/bash-completion/completions/longshore"
  "$out/longshore" completions zsh >"$vendor/zsh/vendor-completions/_longshore"
  "$out/longshore" completions fish >"$vendor/fish/vendor_completions.d/longshore.fish"
  install -d "$root/DEBIAN"
  local size; size=$(du --summarize --block-size=1024 "$root" | cut -f1)
  sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@SIZE_KIB@/$size/" \
    packaging/debian/control.in >"$root/DEBIAN/control"
  echo /etc/longshore/longshore.toml >"$root/DEBIAN/conffiles"
  install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
  (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
  chmod -R u=rwX,go=rX "$root"
  dpkg-deb --build --root-owner-group -Zxz "$root" "$out/longshore_${version}_$architecture.deb" >/dev/null
  rm -rf "$root"
}

image() {
  say "making the image"
  /usr/bin/python3 -B packaging/image.py "$out/longshore" "$version" "$out/longshore-$version-image.tar"
}

mkdir -p "$out"
parts=("$@"); [ $# -gt 0 ] || parts=(binary deb image)
for part in "${parts[@]}"; do "$part"; done
say "writing down what is in them"
/usr/bin/python3 -B packaging/sbom.py "$target" "$version" >"$out/longshore-$version.cdx.json"
rm -f "$out/longshore.new"
(cd "$out" && sha256sum "$name.tar.gz" longshore_*.deb longshore-*-image.tar longshore-*.cdx.json 2>/dev/null >SHA256SUMS || true)
cat "$out/SHA256SUMS"
