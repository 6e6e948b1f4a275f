# Makes a root with JupyterLab, of this machine's own Debian or Ubuntu: sh make.sh RELEASE PLACE ARCHIVE, as root.
set -eu
release=$1 place=$2 archive=$3
. /etc/os-release
components=main
[ "$ID" = ubuntu ] && components=main,universe
debootstrap --variant=minbase --components="$components" --include=python3,python3-venv "$VERSION_CODENAME" "$place"
# Packages of PyPI come the way that they come to this machine.
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ -e "$file" ] || continue
    mkdir -p "$place${file%/*}"
    cp -L "$file" "$place$file"
done
chroot "$place" python3 -m venv /opt/jupyter
chroot "$place" /opt/jupyter/bin/pip install --quiet --disable-pip-version-check --no-cache-dir "jupyterlab==$release"
rm -rf "$place/etc/pip.conf" "$place/etc/resolv.conf" "$place"/var/cache/apt/* "$place"/var/lib/apt/lists/*
tar --create --gzip --numeric-owner --file "$archive" --directory "$place" .
chmod a+r "$archive"
